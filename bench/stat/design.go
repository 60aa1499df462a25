package stat

import "math"

// LeastP is the smallest two-sided p that an exact test of a against b values can give: that of complete separation, in either
// direction, among all splits.
func LeastP(a, b int) float64 {
	splits := 1.0
	for i := 1; i <= min(a, b); i++ {
		splits = splits * float64(a+b-min(a, b)+i) / float64(i)
	}
	return min(1, 2/splits)
}

// LeastPaired is the smallest two-sided p of n pairs: all differences have one sign.
func LeastPaired(n int) float64 { return min(1, math.Ldexp(2, -n)) }

// MinRuns is the smallest number of runs a side with which an exact test can reject at alpha.
func MinRuns(alpha float64) int {
	n := 1
	for n < MaxRuns && !atMost(LeastP(n, n), alpha) {
		n++
	}
	return n
}

// MinBlocks is the smallest number of pairs with which an exact test can reject at alpha.
func MinBlocks(alpha float64) int {
	n := 1
	for n < MaxRuns && !atMost(LeastPaired(n), alpha) {
		n++
	}
	return n
}
