package stat

import (
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// table reads runs that are separated by ';'.
func (v vector) table(column string) [][]float64 {
	v.t.Helper()
	var out [][]float64
	for run := range strings.SplitSeq(v.fields[column], ";") {
		var row []float64
		for _, s := range strings.Fields(run) {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				v.t.Fatalf("%s, column %s: %v", v.name(), column, err)
			}
			row = append(row, x)
		}
		out = append(out, row)
	}
	return out
}

// TestRelabellingsAsR compares with all relabellings as R lists them (testdata/relabel.R).
func TestRelabellingsAsR(t *testing.T) {
	for _, v := range vectors(t, "relabel") {
		a, b, paired := v.table("a"), v.table("b"), v.is("paired", "TRUE")
		if v.is("test", "distance") {
			got, err := CompareShares(a, b, paired, 1)
			if err != nil || !got.Exact {
				t.Fatalf("%s: %+v, %v", v.name(), got, err)
			}
			v.expect("statistic", got.Distance)
			v.expect("p", got.P)
			continue
		}
		got, err := ShiftFunction(a, b, paired, 0.05, 1)
		if err != nil || !got.Exact {
			t.Fatalf("%s: %+v, %v", v.name(), got, err)
		}
		v.expect("p", got.P)
		decided := false
		for _, row := range got.Rows {
			decided = decided || row.Direction != 0
			if row.Interval.Attained && (row.Direction != 0) != row.Interval.Excludes(0) {
				t.Errorf("%s: %+v", v.name(), row)
			}
		}
		if decided != (got.P <= 0.05) {
			t.Errorf("%s: p %v, decided %v", v.name(), got.P, decided)
		}
	}
}

// TestSampledRelabellings: above 200,000 relabellings p comes from a sample, repeats by its seed, is never 0, and is near the exact one.
func TestSampledRelabellings(t *testing.T) {
	const seed = 15
	r := rand.New(rand.NewPCG(seed, 1))
	shares := func(n int, p float64) [][]float64 {
		out := make([][]float64, n)
		for i := range out {
			x := p + 0.01*r.NormFloat64()
			out[i] = []float64{x, 1 - x}
		}
		return out
	}
	a, b := shares(11, 0.05), shares(11, 0.05) // 705,432 ways
	got, err := CompareShares(a, b, false, 7)
	if err != nil || got.Exact || got.Relabellings != 20_000 {
		t.Fatalf("%+v, %v", got, err)
	}
	if again, _ := CompareShares(a, b, false, 7); again.P != got.P {
		t.Errorf("the same seed gives %v, then %v", got.P, again.P)
	}
	var sum float64
	first := make([]float64, 0, 22)
	for _, run := range append(append([][]float64(nil), a...), b...) {
		first = append(first, run[0])
		sum += run[0]
	}
	n, hits := 0, 0
	for chosen := range uint(1) << 22 {
		if bits.OnesCount(chosen) != 11 {
			continue
		}
		n++
		x := -sum
		for rest := chosen; rest > 0; rest &= rest - 1 {
			x += 2 * first[bits.TrailingZeros(rest)]
		}
		x /= 11
		if both := sum / 11; x*x/both+x*x/(2-both) >= got.Distance*(1-1e-9) {
			hits++
		}
	}
	exact := float64(hits) / float64(n)
	near(t, "sampled p (seed 15)", got.P, exact, 0.015) // four standard errors
	far, err := CompareShares(shares(20, 0.05), shares(20, 0.5), true, 7)
	if err != nil || far.Exact || far.P != 1.0/20_001 || far.Least != far.P {
		t.Errorf("a difference that no relabelling reaches: %+v, %v", far, err)
	}
}

func TestTablesOfRuns(t *testing.T) {
	good := [][]float64{{0.5, 0.5}, {1, 0}}
	for name, bad := range map[string][][]float64{"empty": nil, "other categories": {{1}, {1}}, "no shares": {{2, -1}, {1, 0}}, "too many": make([][]float64, MaxRuns+1)} {
		if _, err := CompareShares(good, bad, false, 1); err == nil {
			t.Errorf("%s: no error", name)
		}
		if name != "no shares" {
			if _, err := ShiftFunction(good, bad, false, 0.05, 1); err == nil {
				t.Errorf("%s: no error of the shift function", name)
			}
		}
	}
	if _, err := CompareShares(good, good[:1], true, 1); err == nil {
		t.Error("pairs of different sizes: no error")
	}
	none, err := CompareShares([][]float64{{0, 0}, {0, 0}}, [][]float64{{0, 0}, {0, 0}}, false, 1)
	if err != nil || none.P != 1 || none.Distance != 0 {
		t.Errorf("nothing happened on either side: %+v, %v", none, err)
	}
}
