package stat

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxRuns is the most values a side of a rank test may have: the exact distribution takes time with the fourth power.
const MaxRuns = 100

// RankTest is an exact rank test of 'B doesn't differ from A', and its inversion: the shifts of B that it would not reject.
// MannWhitney and SignedRank make one. It doesn't change afterwards and may be shared.
type RankTest struct {
	A, B   int // values a side
	Paired bool
	// P is the two-sided p over all labellings of these values, ties as they are: twice the smaller tail, at most 1.
	P float64
	// Least is the smallest P that so many values can give (without ties).
	Least float64
	// Shift is the Hodges-Lehmann estimate: the median of all differences B-A, or of the Walsh averages of the paired differences, in
	// the values' own unit. NaN without HasShift.
	Shift float64
	// Superiority is P(B > A) + P(equal)/2 over all pairs of a value of A and one of B; of paired values, over all Walsh averages. A
	// half means that neither is larger.
	Superiority float64

	null        null
	statistic   int       // doubled: 2 for each difference above 0, 1 for each that is 0
	differences []float64 // ascending; nil without HasShift
}

// HasShift is false where a value was infinite: a rank is known then, a difference isn't.
func (t *RankTest) HasShift() bool { return t.differences != nil }

// Direction is the decision at alpha, half of it in each direction: +1 B is greater, -1 B is less, 0 undecided. It is not 0 exactly if P is
// at most alpha, and, where the interval attains alpha, exactly if Interval(alpha) excludes 0.
func (t *RankTest) Direction(alpha float64) int {
	switch {
	case !atMost(t.P, alpha):
		return 0
	case t.Superiority > 0.5:
		return 1
	}
	return -1
}

// Interval is the set of shifts which the test doesn't reject at alpha (0.05 for an interval of 95 %): from one to another
// of the ordered differences, counted off by the same distribution that gives P. Where so many values are equal that no labelling could be
// rejected at alpha, it is counted off by the distribution without ties: a shift breaks them. Where the values are too
// few, it is the full range of the differences, with the level that this has. It must not be asked for without HasShift.
func (t *RankTest) Interval(alpha float64) ShiftInterval {
	null := t.null
	c, ok := null.critical(alpha)
	if !ok && atMost(t.Least, alpha) {
		null = t.untied()
		c, ok = null.critical(alpha)
	}
	if ok {
		iv := invert(t.differences, c)
		iv.Level = 1 - null.size(c)
		if atMost(t.P, alpha) == iv.Excludes(0) { // the other distribution mustn't decide what the test doesn't
			return iv
		}
	}
	return ShiftInterval{Lo: t.differences[0], Hi: t.differences[len(t.differences)-1], Level: 1 - null.extremes()}
}

// untied is the distribution that the statistic would have if no two values were equal.
func (t *RankTest) untied() null {
	if t.Paired {
		return signSums(doubled(t.A), 0, t.A*(t.A+1)/2)
	}
	return rankSums(doubled(t.A+t.B), t.B)
}

// doubled returns twice the ranks of n values without ties.
func doubled(n int) []int {
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = 2 * (i + 1)
	}
	return ranks
}

// ShiftInterval is a confidence interval of a shift.
type ShiftInterval struct {
	Lo, Hi float64
	// OpenLo and OpenHi: the bound itself is rejected, only what lies inside isn't. It takes differences that are equal; the bound
	// is 0 only if a value occurs on both sides.
	OpenLo, OpenHi bool
	// Level is the confidence that the interval has. Ranks are whole numbers, so it is above the one that was asked for.
	Level float64
	// Attained is false where the level that was asked for can't be had from so few values: the interval is their full range, its Level is
	// lower, and it decides nothing.
	Attained bool
}

// Excludes says whether v lies outside. A closed bound doesn't exclude itself: an interval that touches 0 is undecided.
func (i ShiftInterval) Excludes(v float64) bool {
	return v < i.Lo || v > i.Hi || i.OpenLo && v == i.Lo || i.OpenHi && v == i.Hi
}

// Within says whether the interval attains its level and lies between lo and hi, so that both are excluded. With Interval(0.10) these are
// two one-sided tests at 5 % (Schuirmann 1987): the sides are equivalent for whoever doesn't care about differences between
// lo and hi. An interval that touches a margin is none.
func (i ShiftInterval) Within(lo, hi float64) bool {
	return i.Attained && i.Lo >= lo && i.Hi <= hi && i.Excludes(lo) && i.Excludes(hi)
}

// Exp turns an interval of differences of logarithms into one of the ratio B/A.
func (i ShiftInterval) Exp() ShiftInterval {
	i.Lo, i.Hi = math.Exp(i.Lo), math.Exp(i.Hi)
	return i
}

// Logs returns the natural logarithms: the shift between logarithms is the logarithm of the ratio. A value must be above 0; +Inf stays.
func Logs(values []float64) ([]float64, error) {
	out := make([]float64, len(values))
	for i, v := range values {
		if !(v > 0) {
			return nil, fmt.Errorf("%v has no logarithm", v)
		}
		out[i] = math.Log(v)
	}
	return out, nil
}

// invert returns the shifts d at which the doubled statistic, 2 for each difference above d and 1 for each equal to d, isn't
// rejected. The differences ascend. Between differences the statistic must lie among the accepted values, as R's coin has it: with ties, it may
// take values there that no labelling gives without the shift. At a bound itself, it must only not be rejected.
func invert(differences []float64, c criticalValues) ShiftInterval {
	iv := ShiftInterval{Attained: true}
	above := 2 * len(differences) // the statistic left of the next group of equal differences
	for i := 0; i < len(differences); {
		j := i
		for j < len(differences) && differences[j] == differences[i] {
			j++
		}
		at, right := above-(j-i), above-2*(j-i)
		open := at <= c.rejectLo || at >= c.rejectHi
		if above > c.acceptHi && right <= c.acceptHi {
			iv.Lo, iv.OpenLo = differences[i], open
		}
		if above >= c.acceptLo && right < c.acceptLo {
			iv.Hi, iv.OpenHi = differences[i], open
		}
		above, i = right, j
	}
	return iv
}

// doubledRanks returns twice the mid-rank of each value, in the order of the values.
func doubledRanks(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	ranks := make([]int, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			ranks[k] = i + 1 + j // twice the mean of the ranks i+1 to j
		}
		i = j
	}
	return ranks
}

func checkRuns(side string, values []float64) error {
	switch {
	case len(values) == 0:
		return fmt.Errorf("side %s has no values", side)
	case len(values) > MaxRuns:
		return fmt.Errorf("side %s has %d values: an exact test takes at most %d", side, len(values), MaxRuns)
	case slices.ContainsFunc(values, math.IsNaN):
		return fmt.Errorf("side %s: a value is not a number", side)
	case slices.ContainsFunc(values, func(v float64) bool { return math.IsInf(v, -1) }):
		return fmt.Errorf("side %s: a value is -Inf", side)
	}
	return nil
}

var errSizes = errors.New("pairs need as many values of B as of A")

func allFinite(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return math.IsInf(v, 0) || math.IsNaN(v) })
}

// middle is the median of ascending values.
func middle(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return sorted[n/2-1] + (sorted[n/2]-sorted[n/2-1])/2
}
