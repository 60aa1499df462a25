package stat

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// How Detectable simulates. The seed is fixed: the answer belongs to the design, not to the data.
const (
	detectableDraws = 4000
	detectableSeed  = 80
	power           = 0.8
)

// Detectable is the smallest shift that an exact test of a against b runs (of a pairs) at alpha finds in 80 of 100 comparisons, in standard
// deviations: of a side's runs (PooledSD), or of the pairs' differences (SD). +Inf where so few values can't be
// rejected at alpha. It is simulated with normal values, by a fixed seed: the lower bound of each simulated interval without a shift
// is how far that comparison would have had to be shifted to be found. It takes up to a second at 100 runs a side.
func Detectable(a, b int, paired bool, alpha float64) float64 {
	t := RankTest{A: a, B: b, Paired: paired, Least: LeastP(a, b)}
	if paired {
		t.Least = LeastPaired(a)
	}
	if !atMost(t.Least, alpha) {
		return math.Inf(1)
	}
	c, _ := t.untied().critical(alpha)
	r := rand.New(rand.NewPCG(detectableSeed, uint64(a)<<32|uint64(b))) // #nosec G404 G115 -- a simulation that must repeat; numbers of runs
	normal := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = r.NormFloat64()
		}
		return out
	}
	draws := detectableDraws
	if a*b > 1000 {
		draws /= 4 // more runs vary less
	}
	needed := make([]float64, draws)
	var differences []float64
	for i := range needed {
		differences = differences[:0]
		if x := normal(a); paired {
			differences = appendWalsh(differences, x)
		} else {
			differences = appendDifferences(differences, x, normal(b))
		}
		slices.Sort(differences)
		needed[i] = -invert(differences, c).Lo
	}
	slices.Sort(needed)
	return stat.Quantile(power, stat.LinInterp, needed, nil)
}

// PooledSD is the standard deviation of a side's runs, pooled over both sides; NaN with fewer than two values on each.
func PooledSD(a, b []float64) float64 {
	var sum, df float64
	for _, side := range [][]float64{a, b} {
		if len(side) > 1 {
			n := float64(len(side) - 1)
			sum, df = sum+n*stat.Variance(side, nil), df+n
		}
	}
	return math.Sqrt(sum / df)
}

// SD is the standard deviation of values such as paired differences; NaN with fewer than two.
func SD(values []float64) float64 { return PooledSD(values, nil) }
