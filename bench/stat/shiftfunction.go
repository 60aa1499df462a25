package stat

import (
	"fmt"
	"math"
	"slices"
)

// ShiftFunctionTest tells where in the distribution two sets of runs differ (Doksum 1974): at each decile the shift between the runs'
// deciles, with intervals that all hold together.
type ShiftFunctionTest struct {
	// P is the p of the largest difference in ranks over all deciles.
	P float64
	// Exact: all relabellings of runs were tried. Else a sample of Relabellings was.
	Exact        bool
	Relabellings int
	Rows         []DecileShift // one for each column of the input
}

// DecileShift is one row of a shift function.
type DecileShift struct {
	Shift float64 // Hodges-Lehmann, B-A
	// Interval is simultaneous: the chance that any row's misses is at most alpha.
	Interval ShiftInterval
	// Direction is +1 where B is greater, -1 where it is less, by Interval; else 0.
	Direction int
}

// ShiftFunction compares the runs' deciles: a[i][k] is the k-th decile (or another quantile) of run i of side A; all must be finite.
//
// Each column has its rank statistic, Mann-Whitney's or, paired, Wilcoxon's signed-rank. The critical value for all of
// them is that of the largest deviation from the middle over the columns, under relabelling of whole runs: it allows for
// the columns' dependence, and no column is decided that the family's error rate doesn't cover (Westfall and Young 1993). The
// intervals are counted off by that value. The seed gives the sample where there are more than 200,000 relabellings.
func ShiftFunction(a, b [][]float64, paired bool, alpha float64, seed uint64) (ShiftFunctionTest, error) {
	if err := checkTable(a, b, paired); err != nil {
		return ShiftFunctionTest{}, err
	}
	columns := len(a[0])
	var t ShiftFunctionTest
	tests := make([]*RankTest, columns)
	deviations := make([]func(inB []bool) int, columns)
	observed := 0
	for k := range tests {
		x, y := columnOf(a, k), columnOf(b, k)
		var err error
		if paired {
			tests[k], err = SignedRank(x, y)
		} else {
			tests[k], err = MannWhitney(x, y)
		}
		if err != nil {
			return ShiftFunctionTest{}, err
		}
		if !tests[k].HasShift() {
			return ShiftFunctionTest{}, fmt.Errorf("column %d: a value is infinite", k+1)
		}
		observed = max(observed, abs(tests[k].deviation()))
		deviations[k] = deviationOf(x, y, paired)
	}
	var largest []int
	t.Exact = relabel(len(a), len(b), paired, seed, func(inB []bool) {
		most := 0
		for _, deviation := range deviations {
			most = max(most, abs(deviation(inB)))
		}
		largest = append(largest, most)
	})
	t.Relabellings = len(largest)
	slices.Sort(largest)
	pOf := func(deviation int) float64 {
		below, _ := slices.BinarySearch(largest, deviation)
		return tail(len(largest)-below, len(largest), t.Exact)
	}
	t.P = pOf(observed)
	critical := -1 // the least deviation that is rejected
	accepted := 0  // the largest that isn't
	for i, d := range largest {
		if i > 0 && d == largest[i-1] {
			continue
		}
		if atMost(pOf(d), alpha) {
			critical = d
			break
		}
		accepted = d
	}
	pairs := len(a) * len(b)
	if paired {
		pairs = len(a) * (len(a) + 1) / 2
	}
	for _, test := range tests {
		row := DecileShift{Shift: test.Shift}
		d := test.differences
		if critical < 0 {
			row.Interval = ShiftInterval{Lo: d[0], Hi: d[len(d)-1], Level: 1 - pOf(largest[len(largest)-1])}
		} else {
			row.Interval = invert(d, criticalValues{rejectLo: pairs - critical, rejectHi: pairs + critical, acceptLo: pairs - accepted, acceptHi: pairs + accepted})
			row.Interval.Level = 1 - pOf(critical)
			if abs(test.deviation()) >= critical {
				row.Direction = 1
				if test.deviation() < 0 {
					row.Direction = -1
				}
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// deviation is the doubled statistic less its middle.
func (t *RankTest) deviation() int {
	if t.Paired {
		return t.statistic - t.A*(t.A+1)/2
	}
	return t.statistic - t.A*t.B
}

// deviationOf returns the doubled statistic of a labelling, less its middle.
func deviationOf(a, b []float64, paired bool) func(inB []bool) int {
	if !paired {
		ranks := doubledRanks(slices.Concat(a, b))
		middle := len(b) * (len(a) + len(b) + 1)
		return func(inB []bool) int {
			sum := -middle
			for i, labelled := range inB {
				if labelled {
					sum += ranks[i]
				}
			}
			return sum
		}
	}
	d, size := make([]float64, len(a)), make([]float64, len(a))
	for i := range d {
		d[i] = difference(a[i], b[i])
		size[i] = math.Abs(d[i])
	}
	ranks := doubledRanks(size)
	return func(inB []bool) int {
		sum := 0 // of signed doubled ranks: twice the deviation
		for i, v := range d {
			if v != 0 {
				if (v > 0) != inB[i] { // not flipped and above 0, or flipped and below
					sum += ranks[i]
				} else {
					sum -= ranks[i]
				}
			}
		}
		return sum / 2
	}
}

func columnOf(rows [][]float64, k int) []float64 {
	out := make([]float64, len(rows))
	for i, row := range rows {
		out[i] = row[k]
	}
	return out
}

func abs(x int) int { return max(x, -x) }
