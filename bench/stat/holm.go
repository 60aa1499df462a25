package stat

import (
	"cmp"
	"math"
	"slices"
)

// HolmRow is one test of a family after Holm's correction.
type HolmRow struct {
	P float64 // as given
	// Alpha is the level that decides this row, and that of the interval beside it: alpha/(m-i+1) for the i-th smallest p of m, and for all rows
	// after the first that isn't rejected that row's level. So Rejected is the same as P <= Alpha, and no interval at
	// this level contradicts the decision.
	Alpha float64
	// Adjusted is P corrected for the family, to be compared with its alpha. It is 1 where there was no test.
	Adjusted float64
	Rejected bool
	Rank     int // 1 for the smallest p
}

// Holm decides on a family of tests so that under any mixture of true and false hypotheses the chance of one false
// rejection or more is at most alpha (Holm 1979). The rows keep the order of ps. NaN stands for a test that could not be made: it still
// counts, since the family was declared before, and is never rejected.
func Holm(ps []float64, alpha float64) []HolmRow {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	key := func(i int) float64 {
		if math.IsNaN(ps[i]) {
			return math.Inf(1)
		}
		return ps[i]
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(key(i), key(j)) })
	rows := make([]HolmRow, len(ps))
	level, adjusted, stopped := 0.0, 0.0, false
	for at, i := range order {
		left := float64(len(ps) - at)
		if !stopped {
			level = alpha / left
			stopped = !atMost(key(i), level)
		}
		adjusted = max(adjusted, min(1, left*key(i)))
		rows[i] = HolmRow{P: ps[i], Alpha: level, Adjusted: adjusted, Rejected: !stopped, Rank: at + 1}
	}
	return rows
}
