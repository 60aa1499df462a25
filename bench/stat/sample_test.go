package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestQuantilesWithNever(t *testing.T) {
	s := Sample{Cells: []Cell{{10, 50}, {20, 40}, {30, 5}}, Never: 5}
	for q, want := range map[float64]float64{0.01: 10, 0.5: 10, 0.51: 20, 0.9: 20, 0.95: 30, 0.951: math.Inf(1), 0.99: math.Inf(1), 1: math.Inf(1)} {
		if got := s.Quantile(q); got != want {
			t.Errorf("p%v: %v, want %v", 100*q, got, want)
		}
	}
	if got := (Sample{}).Quantile(0.5); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}

// TestLater counts all pairs one by one, and compares with the Mann-Whitney statistic.
func TestLater(t *testing.T) {
	const seed = 16
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		sample := func() (s Sample, values []float64) {
			for v := range 6 {
				if n := r.IntN(4); n > 0 {
					s.Cells = append(s.Cells, Cell{float64(v), uint64(n)})
					for range n {
						values = append(values, float64(v))
					}
				}
			}
			for range r.IntN(3) {
				s.Never++
				values = append(values, math.Inf(1))
			}
			return s, values
		}
		a, x := sample()
		b, y := sample()
		if len(x) == 0 || len(y) == 0 {
			if !math.IsNaN(Later(a, b)) {
				t.Errorf("Later with an empty side: %v", Later(a, b))
			}
			continue
		}
		near(t, "P(B later)+P(equal)/2 (seed 16)", Later(a, b), rankTest(t, false, x, y).Superiority, 1e-12)
		near(t, "the other way (seed 16)", Later(b, a), 1-Later(a, b), 1e-12)
	}
}

func TestMergeOfSamples(t *testing.T) {
	got := merge([]Sample{{Cells: []Cell{{1, 2}, {3, 1}}, Never: 1}, {Cells: []Cell{{2, 1}, {3, 4}}}, {Cells: []Cell{{0, 1}}, Never: 2}})
	want := []Cell{{0, 1}, {1, 2}, {2, 1}, {3, 5}}
	if got.Never != 3 || len(got.Cells) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got.Cells[i] != want[i] {
			t.Errorf("cell %d: %+v, want %+v", i, got.Cells[i], want[i])
		}
	}
}
