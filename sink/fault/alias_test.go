package fault

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// shares returns the probabilities that a table really has, from its thresholds.
func (t *aliasTable) shares() []float64 {
	n := len(t.threshold)
	shares := make([]float64, n)
	for i, threshold := range t.threshold {
		own := math.Ldexp(float64(threshold), -64)
		shares[i] += own / float64(n)
		shares[t.alias[i]] += (1 - own) / float64(n)
	}
	return shares
}

func TestAliasTableIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1e-9, 1e9), rapid.Just(1.0)), 1, 60).Draw(t, "weights")
		probabilities, err := normalise(weights)
		if err != nil {
			for _, w := range weights {
				if w > 0 {
					t.Fatalf("weights %v are refused: %v", weights, err)
				}
			}
			return
		}
		table := newAliasTable(probabilities)
		for i, share := range table.shares() {
			if math.Abs(share-probabilities[i]) > 1e-13 || (probabilities[i] == 0 && share != 0) {
				t.Fatalf("outcome %d of %v is drawn with %v, want %v", i, weights, share, probabilities[i])
			}
		}
	})
}

func TestAliasTableDraws(t *testing.T) {
	table := newAliasTable([]float64{0.75, 0, 0.25})
	for _, draw := range []uint64{0, 1, 1 << 62, 1 << 63, 3 << 62, math.MaxUint64} {
		if got := table.index(draw); got == 1 {
			t.Errorf("draw %#x falls on the outcome of weight 0", draw)
		}
	}
	one := newAliasTable([]float64{1})
	for _, draw := range []uint64{0, 1, math.MaxUint64} {
		if got := one.index(draw); got != 0 {
			t.Errorf("draw %#x of one outcome falls on %d", draw, got)
		}
	}
}

func TestNormalise(t *testing.T) {
	for _, weights := range [][]float64{nil, {}, {0}, {0, 0}, {-1, 2}, {math.NaN()}, {math.Inf(1)}, {math.MaxFloat64, math.MaxFloat64}} {
		if p, err := normalise(weights); err == nil {
			t.Errorf("weights %v give %v, want an error", weights, p)
		}
	}
}
