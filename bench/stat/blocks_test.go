package stat

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// autoregressive returns n windows of one value each, of which neighbours correlate by rho.
func autoregressive(r *rand.Rand, n int, rho float64) []Sample {
	out := make([]Sample, n)
	x := r.NormFloat64()
	for i := range out {
		out[i] = Sample{Cells: []Cell{{math.Exp(3 + 0.3*x), 1}}}
		x = rho*x + math.Sqrt(1-rho*rho)*r.NormFloat64()
	}
	return out
}

func TestBlocksFollowTheCorrelation(t *testing.T) {
	const seed = 19
	r := rand.New(rand.NewPCG(seed, 1))
	b := CutBlocks(autoregressive(r, 4000, 0.9))
	if b.Lag1 < 0.85 || b.Lag1 > 0.95 || b.Length < 31 || b.Length > 98 || len(b.blocks) != 4000/b.Length {
		t.Errorf("neighbours that correlate by 0.9 (seed %d): lag-1 %v, %d blocks of %d", seed, b.Lag1, len(b.blocks), b.Length)
	}
	near(t, "effective windows (seed 19)", b.Effective, 4000*(1-b.Lag1)/(1+b.Lag1), 1e-9)
	if b.Allows(0.5) != nil || b.Allows(0.9) != nil || b.Allows(0.99) == nil || b.Allows(0.999) == nil {
		t.Errorf("%d blocks: p50 %v, p90 %v, p99 %v, p99.9 %v", len(b.blocks), b.Allows(0.5), b.Allows(0.9), b.Allows(0.99), b.Allows(0.999))
	}
	b = CutBlocks(autoregressive(r, 5000, 0))
	if b.Length != 1 || len(b.blocks) != maxBlocks || b.Allows(0.99) != nil {
		t.Errorf("independent windows (seed %d): %+v", seed, b.Length)
	}
	rising := make([]Sample, 300)
	for i := range rising {
		rising[i] = Sample{Cells: []Cell{{float64(i), 1}}}
	}
	if b = CutBlocks(rising); b.Allows(0.5) == nil {
		t.Errorf("a run that only rises has %d independent blocks", len(b.blocks))
	}
	if b = CutBlocks(nil); b.Allows(0.5) == nil || len(b.blocks) != 0 {
		t.Errorf("no windows: %+v", b)
	}
	flat := slices.Repeat([]Sample{{Cells: []Cell{{5, 3}}}, {}}, 40)
	if b = CutBlocks(flat); b.Windows != 40 || b.Lag1 != 0 || b.Allows(0.5) != nil {
		t.Errorf("windows that don't vary, and empty ones: %+v", b)
	}
}

func TestResamplesHoldNever(t *testing.T) {
	windows := slices.Repeat([]Sample{{Cells: []Cell{{1, 5}, {2, 4}}, Never: 1}}, 20)
	rows := CutBlocks(windows).Resample([]float64{1, 0.5, 0.9, 0.6}, 5, 1)
	for _, row := range rows {
		if !slices.Equal(row, []float64{math.Inf(1), 1, 2, 2}) {
			t.Errorf("quantiles 1, .5, .9, .6 of equal windows: %v", row)
		}
	}
	if iv := CentralInterval([]float64{5, 1, 3, 2, 4}, 0.4); iv.Lo != 1 || iv.Hi != 4 {
		t.Errorf("central 60 %% of 1 to 5: %+v", iv)
	}
}
