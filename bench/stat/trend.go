package stat

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// TrendTest is an exact test of 'the order of the runs doesn't matter'.
type TrendTest struct {
	// P is two-sided, over all orders of the values within each group.
	P float64
	// Tau is Kendall's, without a correction for ties: +1 where every later value is larger, -1 where every later one is smaller.
	Tau float64
}

// Trend tests for drift over the run order with Kendall's S (Mann 1945), exactly also with ties. Groups are tested together by
// the sum of their S (Hirsch and Slack 1982): give each side's runs in the order in which they were made, so that a difference
// between the sides is no trend; of blocks, one group with the mean of each. It errs on NaN, and where no group has two values or all together
// have more than twice MaxRuns.
func Trend(groups ...[]float64) (TrendTest, error) {
	total, n := 0, 0
	for _, g := range groups {
		n += len(g)
		total += len(g) * (len(g) - 1) / 2
		for _, v := range g {
			if math.IsNaN(v) {
				return TrendTest{}, errors.New("a trend of values one of which is not a number")
			}
		}
	}
	if total == 0 || n > 2*MaxRuns {
		return TrendTest{}, fmt.Errorf("a trend of %d values: it takes 2 to %d", n, 2*MaxRuns)
	}
	inversions, s := 0, 0
	frequencies := []float64{1}
	for _, g := range groups {
		for i := range g {
			for j := range i {
				switch {
				case g[i] > g[j]:
					s++
				case g[i] < g[j]:
					s--
					inversions++
				}
			}
		}
		frequencies = convolve(frequencies, inversionsOf(g))
	}
	return TrendTest{P: newNull(frequencies).p(inversions), Tau: float64(s) / float64(total)}, nil
}

// inversionsOf is the distribution of the number of pairs in falling order over all orders of the values: the
// q-multinomial coefficient of the sizes of their ties, as a polynomial in q (MacMahon 1913).
func inversionsOf(values []float64) []float64 {
	ties := map[float64]int{}
	for _, v := range values {
		ties[v]++
	}
	placed, out := 0, []float64{1}
	for _, size := range sortedCounts(ties) {
		out = convolve(out, gaussian(placed, size))
		placed += size
	}
	return out
}

// gaussian is the distribution of inversions between m and n values in any order: the binomial coefficient [m+n, n] in q.
func gaussian(m, n int) []float64 {
	row := make([][]float64, n+1) // row[k]: of i and k values, as probabilities
	for k := range row {
		row[k] = []float64{1}
	}
	for i := 1; i <= m; i++ {
		for k := 1; k <= n; k++ { // the last value is of the first kind, before which all k come, or of the second
			first, second := float64(i)/float64(i+k), float64(k)/float64(i+k)
			next := make([]float64, i*k+1)
			for s, p := range row[k] {
				next[s+k] += first * p
			}
			for s, p := range row[k-1] {
				next[s] += second * p
			}
			row[k] = next
		}
	}
	return row[n]
}

func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a)+len(b)-1)
	for i, x := range a {
		for j, y := range b {
			out[i+j] += x * y
		}
	}
	return out
}

// sortedCounts returns the counts in an order that doesn't change from call to call.
func sortedCounts(ties map[float64]int) []int {
	return slices.Sorted(maps.Values(ties))
}
