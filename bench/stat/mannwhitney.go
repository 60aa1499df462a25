package stat

import (
	"math"
	"slices"
)

// MannWhitney tests whether the values of B tend to be larger or smaller than those of A (Wilcoxon's rank sum test), exactly: with mid-ranks,
// over all splits of the values into sides of these sizes. The values must be independent of each other, such as one figure
// per run. +Inf is larger than every number. It errs on a side that is empty, has more than MaxRuns values, NaN or -Inf.
func MannWhitney(a, b []float64) (*RankTest, error) {
	if err := checkRuns("A", a); err != nil {
		return nil, err
	}
	if err := checkRuns("B", b); err != nil {
		return nil, err
	}
	ranks := doubledRanks(slices.Concat(a, b))
	sum := 0
	for _, r := range ranks[len(a):] {
		sum += r
	}
	pairs := len(a) * len(b)
	t := &RankTest{A: len(a), B: len(b), Least: LeastP(len(a), len(b)), Shift: math.NaN(),
		null: rankSums(ranks, len(b)), statistic: sum - len(b)*(len(b)+1)}
	t.P = t.null.p(t.statistic)
	t.Superiority = float64(t.statistic) / float64(2*pairs)
	differences := appendDifferences(make([]float64, 0, pairs), a, b)
	if allFinite(differences) {
		slices.Sort(differences)
		t.differences, t.Shift = differences, middle(differences)
	}
	return t, nil
}

// appendDifferences appends all differences B-A.
func appendDifferences(differences, a, b []float64) []float64 {
	for _, x := range a {
		for _, y := range b {
			differences = append(differences, y-x)
		}
	}
	return differences
}

// rankSums is the distribution of the doubled Mann-Whitney statistic of size values drawn from those with the doubled
// ranks: the number of subsets of each sum, by dynamic programming over the values (Streitberg and Röhmel 1986).
func rankSums(ranks []int, size int) null {
	mirrored := 2*size > len(ranks) // the smaller side is quicker to count
	if mirrored {
		size = len(ranks) - size
	}
	most := 2*size*(len(ranks)-size) + size*(size+1) // the sum of the largest ranks
	counts := make([][]float64, size+1)              // counts[k][s]: subsets of k values with the sum s
	for k := range counts {
		counts[k] = make([]float64, most+1)
	}
	counts[0][0] = 1
	for i, r := range ranks {
		for k := min(i+1, size); k >= 1; k-- {
			from, to := counts[k-1], counts[k][min(r, most+1):]
			for s := range to {
				to[s] += from[s]
			}
		}
	}
	statistic := counts[size][size*(size+1):] // from 0 to twice the number of pairs
	if mirrored {
		slices.Reverse(statistic)
	}
	return newNull(statistic)
}
