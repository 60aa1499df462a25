package stat

import (
	"github.com/smtpstorm/xk6-smtp/sink/fit"
)

// MinExpected is the smallest expected count of a cell in the chi-square test;
// smaller ones are merged (Cochran's rule).
const MinExpected = fit.MinExpected

// Alpha is the level at which a fit is rejected, after Holm's correction over
// all rules of a run.
const Alpha = fit.Alpha

// Fit is the goodness of fit of one rule's draws against its weights.
type Fit = fit.Result

// FitCell is one outcome of a rule.
type FitCell = fit.Cell

// ChiSquareTest is Pearson's test of observed against expected counts, which
// must have the same sum; degrees of freedom are the number of cells minus one.
func ChiSquareTest(observed, expected []float64) (chi2, p float64) {
	return fit.ChiSquare(observed, expected)
}

// Holm adjusts p-values for the number of tests (Holm 1979), in their order.
func Holm(ps []float64) []float64 { return fit.Holm(ps) }

// ClopperPearson returns the exact interval of a proportion of which k of n
// were seen (Clopper and Pearson 1934): its coverage is never less than the
// confidence. No trials give [0, 1].
func ClopperPearson(k, n uint64, confidence float64) Interval {
	return fit.ClopperPearson(k, n, confidence)
}
