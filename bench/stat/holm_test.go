package stat

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The example of Holm, Scandinavian Journal of Statistics 6 (1979), as every textbook has it: 0.01, 0.04, 0.03, 0.005 at 5 %. R: p.adjust(p, "holm").
func TestHolmPublished(t *testing.T) {
	rows := Holm([]float64{0.01, 0.04, 0.03, 0.005}, 0.05)
	for i, want := range []HolmRow{
		{P: 0.01, Alpha: 0.05 / 3, Adjusted: 0.03, Rejected: true, Rank: 2},
		{P: 0.04, Alpha: 0.05 / 2, Adjusted: 0.06, Rank: 4},
		{P: 0.03, Alpha: 0.05 / 2, Adjusted: 0.06, Rank: 3},
		{P: 0.005, Alpha: 0.05 / 4, Adjusted: 0.02, Rejected: true, Rank: 1},
	} {
		got := rows[i]
		if got.Rank != want.Rank || got.Rejected != want.Rejected || math.Abs(got.Alpha-want.Alpha) > 1e-12 || math.Abs(got.Adjusted-want.Adjusted) > 1e-12 {
			t.Errorf("row %d: %+v, want %+v", i, got, want)
		}
	}
	rows = Holm([]float64{math.NaN(), 0.012}, 0.025)
	if rows[0].Rejected || rows[0].Adjusted != 1 || rows[0].Rank != 2 || !rows[1].Rejected || rows[1].Alpha != 0.0125 {
		t.Errorf("a row without a test must count and be last: %+v", rows)
	}
	if len(Holm(nil, 0.05)) != 0 {
		t.Error("an empty family has rows")
	}
}

// TestHolmLevelsDecide: in every family Rejected is P <= Alpha, and Adjusted <= the family's alpha.
func TestHolmLevelsDecide(t *testing.T) {
	const seed = 14
	r := rand.New(rand.NewPCG(seed, 1))
	for range 10_000 {
		ps := make([]float64, 1+r.IntN(6))
		for i := range ps {
			ps[i] = float64(1+r.IntN(30)) / 252
		}
		for _, row := range Holm(ps, 0.05) {
			if row.Rejected != atMost(row.P, row.Alpha) || row.Rejected != atMost(row.Adjusted, 0.05) {
				t.Fatalf("%v (seed %d): %+v", ps, seed, row)
			}
		}
	}
}

// The floors that decide how many runs a comparison needs.
func TestLeastP(t *testing.T) {
	for n, want := range map[int]float64{4: 0.0286, 5: 0.0079, 6: 0.0022} {
		near(t, fmt.Sprint(n, " runs a side"), LeastP(n, n), want, 5e-5)
	}
	near(t, "3 and 7 runs", LeastP(7, 3), 2.0/120, 1e-15)
	near(t, "8 blocks", LeastPaired(8), 2.0/256, 1e-15)
	near(t, "1 block", LeastPaired(1), 1, 0)
	var got []int
	for _, alpha := range []float64{0.05, 0.05 / 4} {
		got = append(got, MinRuns(alpha), MinBlocks(alpha))
	}
	if want := []int{4, 6, 5, 8}; !slices.Equal(got, want) {
		t.Errorf("least runs and blocks at 5 %%, then within Holm of 4: %v, want %v", got, want)
	}
}
