package stat

import (
	"math"
	"slices"
)

// SignedRank tests whether the differences b[i]-a[i] of pairs, such as the two runs of a block, tend to be above or below 0
// (Wilcoxon's signed-rank test), exactly: with mid-ranks, over all 2^n signs. A difference of 0 is ranked with the others and has no sign
// (Pratt 1959); leaving zeros out, as R's wilcox.test does, would test other ranks than those that the interval inverts. The pairs must
// be independent of each other. Two +Inf have the difference 0. It errs like MannWhitney, and on sides of different sizes.
func SignedRank(a, b []float64) (*RankTest, error) {
	if err := checkRuns("A", a); err != nil {
		return nil, err
	}
	if err := checkRuns("B", b); err != nil {
		return nil, err
	}
	if len(a) != len(b) {
		return nil, errSizes
	}
	n := len(a)
	d, size := make([]float64, n), make([]float64, n)
	for i := range d {
		d[i] = difference(a[i], b[i])
		size[i] = math.Abs(d[i])
	}
	ranks := doubledRanks(size)
	var signed []int
	zeros, positive := 0, 0
	for i, r := range ranks {
		switch {
		case d[i] == 0:
			zeros++
			continue
		case d[i] > 0:
			positive += r
		}
		signed = append(signed, r)
	}
	half := zeros * (zeros + 1) / 2 // the pairs of zeros have Walsh averages of 0, each of which counts half
	walsh := n * (n + 1) / 2
	t := &RankTest{A: n, B: n, Paired: true, Least: LeastPaired(n), Shift: math.NaN(),
		null: signSums(signed, half, walsh), statistic: positive + half}
	t.P = t.null.p(t.statistic)
	t.Superiority = float64(t.statistic) / float64(2*walsh)
	if allFinite(d) {
		averages := appendWalsh(make([]float64, 0, walsh), d)
		slices.Sort(averages)
		t.differences, t.Shift = averages, middle(averages)
	}
	return t, nil
}

// appendWalsh appends the means of all pairs of differences, each with itself, too.
func appendWalsh(averages, d []float64) []float64 {
	for i := range d {
		for j := range i + 1 {
			averages = append(averages, (d[i]+d[j])/2)
		}
	}
	return averages
}

// signSums is the distribution of the doubled signed-rank statistic: half, plus the doubled ranks of a random subset.
func signSums(ranks []int, half, walsh int) null {
	frequencies := make([]float64, 2*walsh+1)
	sums := frequencies[half:]
	sums[0] = 1
	top := 0
	for _, r := range ranks {
		for s := top; s >= 0; s-- {
			sums[s] /= 2
			sums[s+r] += sums[s]
		}
		top += r
	}
	return newNull(frequencies)
}

// difference is b-a without the rounding of binary fractions, which would break ties between differences: 0.3-0.1 isn't 0.2. Twelve
// digits of the larger value are kept; a figure of a run has three to six that mean something.
func difference(a, b float64) float64 {
	if a == b { // also two infinities
		return 0
	}
	d := b - a
	larger := max(math.Abs(a), math.Abs(b))
	if math.IsInf(d, 0) || larger < 1e-290 || larger > 1e290 {
		return d
	}
	unit := math.Pow(10, math.Floor(math.Log10(larger))-12)
	return math.Round(d/unit) * unit
}
