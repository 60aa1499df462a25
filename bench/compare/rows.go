package compare

import (
	"fmt"
	"math"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// pairing is the two sides as the tests take them.
type pairing struct {
	a, b   *Side
	paired bool // by block
	found  map[design]float64
}

// test makes the rank test that suits the design.
func (p pairing) test(a, b []float64) (*stat.RankTest, error) {
	if p.paired {
		return stat.SignedRank(a, b)
	}
	return stat.MannWhitney(a, b)
}

// unit is what the design counts.
func (p pairing) unit(n int) string {
	switch {
	case p.paired && n == 1:
		return "1 block"
	case p.paired:
		return fmt.Sprintf("%d blocks", n)
	}
	return fmt.Sprintf("%d runs a side", n)
}

// tested is a row with its tests, before it is known at which level it is decided.
type tested struct {
	row       Row
	raw, logs *stat.RankTest // of the values, and of their logarithms; nil where there is none
	ranks     bool           // a value is infinite: there are ranks, and no shift
	va, vb    []float64
}

func (t *tested) p() float64 {
	if t.raw == nil {
		return math.NaN()
	}
	return t.raw.P
}

// measure collects the values of all runs and makes the tests.
func (p pairing) measure(m Measure) *tested {
	t := &tested{row: Row{Measure: m, Name: m.Name(), Verdict: NotCompared}}
	t.row.A, t.va = values(p.a, m)
	t.row.B, t.vb = values(p.b, m)
	t.row.MedianA, t.row.MedianB = median(t.va), median(t.vb)
	if t.row.Reason, t.row.Why = unusable(p, m, t.row.A, t.row.B); t.row.Reason != "" {
		return t
	}
	t.run(p)
	return t
}

// run makes the tests of the row's values.
func (t *tested) run(p pairing) {
	var err error
	if t.raw, err = p.test(t.va, t.vb); err != nil {
		t.row.Reason, t.row.Why = Other, err.Error()
		return
	}
	infinite := func(v float64) bool { return math.IsInf(v, 0) }
	t.ranks = !t.raw.HasShift() || slices.ContainsFunc(t.va, infinite) || slices.ContainsFunc(t.vb, infinite)
	if t.row.Measure.IsShare() || t.ranks {
		return
	}
	la, errA := stat.Logs(t.va)
	lb, errB := stat.Logs(t.vb)
	if errA == nil && errB == nil {
		t.logs, _ = p.test(la, lb)
	}
}

func values(s *Side, m Measure) ([]Value, []float64) {
	var values []Value
	var v []float64
	for _, r := range s.Runs {
		x := r.Value(m)
		values, v = append(values, x), append(v, x.V)
	}
	return values, v
}

// unusable says why there can be no test; empty: there can.
func unusable(p pairing, m Measure, a, b []Value) (Reason, string) {
	for i, side := range [][]Value{a, b} {
		s := []*Side{p.a, p.b}[i]
		missing, hidden, few, least := 0, 0, 0, uint64(math.MaxUint64)
		for _, v := range side {
			switch {
			case math.IsNaN(v.V):
				missing++
			case math.IsInf(v.V, 1):
				hidden++
			case v.Few:
				few++
				least = min(least, v.N+v.Unseen)
			}
		}
		runs := fmt.Sprintf("of the %d runs of %s", len(side), s.Name)
		if len(side) == 1 {
			runs = "the run of " + s.Name
		}
		of := func(n int) string {
			if len(side) == 1 {
				return runs
			}
			return fmt.Sprintf("%d %s", n, runs)
		}
		switch {
		case missing > 0:
			return Missing, of(missing) + " measured nothing of it"
		case hidden > 0:
			return Hidden, of(hidden) + ": dropped or aborted work hides it (it lies above every value that was measured)"
		case few > 0:
			return Few, fmt.Sprintf("%s: too few values for a %s (%d, want %d)", of(few), m.Statistic, least, stat.MinSamples(m.Statistic.Q))
		}
	}
	if len(a) == 1 && len(b) == 1 {
		return Single, "one run a side: what varies from run to run is not known"
	}
	return "", ""
}

// median of values, +Inf among them; NaN if one is.
func median(v []float64) float64 {
	if len(v) == 0 || slices.ContainsFunc(v, math.IsNaN) {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	if math.IsInf(s[n/2], 1) {
		return math.Inf(1)
	}
	return s[n/2-1] + (s[n/2]-s[n/2-1])/2
}

// decide completes a row: it is tested at alpha.
func (t *tested) decide(p pairing, alpha float64, o Options) Row {
	r := &t.row
	r.Alpha = alpha
	if t.raw == nil {
		return *r
	}
	r.Verdict = Undecided
	switch t.raw.Direction(alpha) {
	case 1:
		r.Verdict = Greater
	case -1:
		r.Verdict = Less
	}
	if t.ranks {
		r.Shift = &Effect{Estimate: math.NaN(), Lo: math.NaN(), Hi: math.NaN(), P: t.raw.P}
	} else {
		r.Shift = effect(t.raw, alpha, false)
	}
	if t.logs != nil {
		r.Ratio = effect(t.logs, alpha, true)
	}
	r.Within = t.within(o)
	if r.Within && r.Verdict == Undecided {
		r.Verdict = Equivalent
	}
	if t.raw.Least > alpha*(1+1e-9) {
		r.Needs = stat.MinRuns(alpha)
		if p.paired {
			r.Needs = stat.MinBlocks(alpha)
		}
	}
	if r.Verdict == Undecided {
		r.Findable = t.findable(p, alpha)
	}
	return *r
}

// within says whether two one-sided tests at 5% prove that the sides differ by less than the margin.
func (t *tested) within(o Options) bool {
	const both = 0.10
	switch {
	case t.ranks:
		return false
	case t.row.Measure.IsShare():
		return t.raw.Interval(both).Within(-o.MarginShare, o.MarginShare)
	case t.logs != nil:
		m := math.Log1p(o.Margin)
		return t.logs.Interval(both).Within(-m, m)
	}
	return false
}

func effect(t *stat.RankTest, alpha float64, logs bool) *Effect {
	iv, shift := t.Interval(alpha), t.Shift
	if logs {
		iv, shift = iv.Exp(), math.Exp(shift)
	}
	return &Effect{Estimate: shift, Lo: iv.Lo, Hi: iv.Hi, OpenLo: iv.OpenLo, OpenHi: iv.OpenHi, Level: iv.Level, Attained: iv.Attained, P: t.P}
}

// primary compares the family, each row at its level in Holm's order.
func (p pairing) primary(o Options) []Row {
	family := o.family()
	var rows []*tested
	var ps []float64
	for _, m := range family {
		t := p.measure(m)
		t.row.Primary = true
		rows, ps = append(rows, t), append(ps, t.p())
	}
	var out []Row
	for i, h := range stat.Holm(ps, o.Alpha) {
		out = append(out, rows[i].decide(p, h.Alpha, o))
	}
	return out
}

// rest compares everything else, each row at the same level.
func (p pairing) rest(o Options) []Row {
	var out []Row
	for _, m := range exploratory(p.a, p.b, o.family()) {
		out = append(out, p.measure(m).decide(p, o.Alpha, o))
	}
	return out
}

func (o Options) family() []Measure {
	if len(o.Criteria) > 0 {
		return measures(o.Criteria)
	}
	return Family()
}
