package stat

import (
	"fmt"
	"math"
)

// SharesTest compares the distribution of outcomes, such as reply codes at a stage, of two sets of runs.
type SharesTest struct {
	// MeanA and MeanB are the means over a side's runs of each category's share.
	MeanA, MeanB []float64
	// Distance is the sum over the categories of (a-b)²/(a+b) of these means: 0 for equal ones; 2 where no category is common, if shares sum to 1.
	Distance float64
	// P is the share of relabellings of whole runs (of exchanges within blocks, if paired) whose distance is at least as large.
	P     float64
	Least float64 // the smallest P that so many runs can give
	// Exact: all relabellings were tried. Else a sample was, and P = (1+hits)/(1+Relabellings).
	Exact        bool
	Relabellings int
}

// CompareShares tests whether two sets of runs differ in their shares: a[i][k] is the share of category k in run i of side A,
// each within 0 to 1. Runs are relabelled whole, because the outcomes within a run depend on each other; no bootstrap, which with five to ten runs
// finds differences that aren't there. A seed gives the sample where there are more than 200,000 relabellings. It errs
// where sides are empty, categories differ in number, or a share isn't one.
func CompareShares(a, b [][]float64, paired bool, seed uint64) (SharesTest, error) {
	if err := checkTable(a, b, paired); err != nil {
		return SharesTest{}, err
	}
	runs := append(append([][]float64(nil), a...), b...)
	categories := len(runs[0])
	total := make([]float64, categories)
	for i, run := range runs {
		for k, share := range run {
			if !(share >= 0 && share <= 1) {
				return SharesTest{}, fmt.Errorf("run %d: %v is no share", i+1, share)
			}
			total[k] += share
		}
	}
	var t SharesTest
	sumB := make([]float64, categories)
	distance := func(inB []bool) float64 {
		clear(sumB)
		for i, labelled := range inB {
			if labelled {
				for k, share := range runs[i] {
					sumB[k] += share
				}
			}
		}
		var d float64
		for k, sum := range sumB {
			if total[k] > 0 {
				x, y := max(0, total[k]-sum)/float64(len(a)), sum/float64(len(b))
				d += (x - y) * (x - y) / (x + y)
			}
		}
		return d
	}
	observed := make([]bool, len(runs))
	for i := range b {
		observed[len(a)+i] = true
	}
	t.Distance = distance(observed)
	t.MeanA, t.MeanB = make([]float64, categories), make([]float64, categories)
	for k := range sumB {
		t.MeanA[k], t.MeanB[k] = max(0, total[k]-sumB[k])/float64(len(a)), sumB[k]/float64(len(b))
	}
	hits := 0
	t.Exact = relabel(len(a), len(b), paired, seed, func(inB []bool) {
		t.Relabellings++
		if distance(inB) >= t.Distance*(1-slack)-1e-15 {
			hits++
		}
	})
	t.P = tail(hits, t.Relabellings, t.Exact)
	t.Least = leastSymmetric(len(a), len(b), paired, t.Exact, t.Relabellings)
	return t, nil
}

// leastSymmetric is the smallest p of a statistic that doesn't tell which side is which: exchanging all labels of equal sides gives the same.
func leastSymmetric(a, b int, paired, exact bool, relabellings int) float64 {
	switch {
	case !exact:
		return 1 / float64(1+relabellings)
	case paired:
		return LeastPaired(a)
	case a == b:
		return LeastP(a, b)
	}
	return LeastP(a, b) / 2
}

// checkTable checks rows per run and columns per category of two sides.
func checkTable(a, b [][]float64, paired bool) error {
	switch {
	case len(a) == 0 || len(b) == 0:
		return fmt.Errorf("%d runs of A and %d of B: both sides need some", len(a), len(b))
	case len(a) > MaxRuns || len(b) > MaxRuns:
		return fmt.Errorf("%d runs of A and %d of B: at most %d a side", len(a), len(b), MaxRuns)
	case paired && len(a) != len(b):
		return errSizes
	}
	for side, runs := range [][][]float64{a, b} {
		for i, run := range runs {
			if len(run) != len(a[0]) {
				return fmt.Errorf("run %d of %c has %d values, the first of A has %d", i+1, 'A'+side, len(run), len(a[0]))
			}
			for _, v := range run {
				if math.IsNaN(v) {
					return fmt.Errorf("run %d of %c: a value is not a number", i+1, 'A'+side)
				}
			}
		}
	}
	return nil
}
