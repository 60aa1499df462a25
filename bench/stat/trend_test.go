package stat

import (
	"math"
	"testing"
)

// TestTrendAsR compares with cor.test of R, and with all orders as R lists them (testdata/trend.R).
func TestTrendAsR(t *testing.T) {
	for _, v := range vectors(t, "trend") {
		got, err := Trend(v.numbers("first"), v.numbers("second"))
		if err != nil {
			t.Fatal(err)
		}
		v.expect("p", got.P)
	}
}

func TestTrendExtremes(t *testing.T) {
	got, err := Trend([]float64{1, 2, 3, 4, 5})
	if err != nil || got.Tau != 1 || math.Abs(got.P-2.0/120) > 1e-12 {
		t.Errorf("rising: %+v, %v", got, err)
	}
	got, err = Trend([]float64{3, 3, 3}, []float64{1})
	if err != nil || got.Tau != 0 || got.P != 1 {
		t.Errorf("constant: %+v, %v", got, err)
	}
	long := make([]float64, 2*MaxRuns)
	for i := range long {
		long[i] = float64(i % 7)
	}
	if got, err = Trend(long); err != nil || !(got.P > 0.1 && got.P <= 1) {
		t.Errorf("200 runs without a trend: %+v, %v", got, err)
	}
	for _, bad := range [][]float64{nil, {1}, {1, math.NaN()}, make([]float64, 2*MaxRuns+1)} {
		if _, err := Trend(bad); err == nil {
			t.Errorf("Trend(%v): no error", bad)
		}
	}
}
