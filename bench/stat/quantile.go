package stat

import (
	"math"
	"sort"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a closed range; a side without a bound is infinite.
type Interval = fit.Interval

// OrderStatistics returns the ranks (1 being the smallest of n values) whose
// values enclose the q-quantile with at least the given confidence, whatever
// the distribution: l is the largest rank with P(Binomial(n,q) < l) <= alpha/2,
// u the smallest with P(Binomial(n,q) < u) >= 1-alpha/2 (Hahn and Meeker,
// Statistical Intervals, 1991, section 5.2.2). Values must be independent. l is
// 0 or u is n+1 when n is too small for that side.
//
// #nosec G115 -- a histogram counts to MaxInt64 at most, and Search returns 0 to n
func OrderStatistics(n uint64, q, confidence float64) (l, u uint64) {
	tail := (1 - confidence) / 2
	bin := distuv.Binomial{N: float64(n), P: q}
	below := func(rank int) float64 { return bin.CDF(float64(rank - 1)) }
	const slack = 1e-12 // the CDF's rounding, so that an exact alpha/2 counts
	l = uint64(sort.Search(int(n), func(i int) bool { return below(i+1) > tail+slack }))
	u = uint64(sort.Search(int(n), func(i int) bool { return below(i+1) >= 1-tail-slack }) + 1)
	return l, u
}

// MinSamples is how many values a percentile needs before it says anything
// about the tail: ten beyond it (1,000 for p99).
func MinSamples(q float64) uint64 {
	if q >= 1 {
		return 1
	}
	return uint64(math.Ceil(10/(1-q) - 1e-6))
}
