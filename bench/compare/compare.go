package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Compare compares two groups of runs. The sides' runs are put in order; else nothing that is given is changed. An *InputError says why no
// comparison makes sense.
func Compare(a, b *Side, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, inputErrorf("%v", err)
	}
	a.Name, b.Name = result.SideA, result.SideB
	if err := check(a, b); err != nil {
		return nil, err
	}
	r := &Result{Options: o}
	r.Design = arrange(a, b)
	if len(a.Runs) == 0 {
		return nil, inputErrorf("no block has both of its runs: there is nothing to compare")
	}
	label(a, b)
	r.A, r.B = info(a), info(b)
	p := pairing{a: a, b: b, paired: r.Design.Kind == Blocks && len(a.Runs) > 1, found: map[design]float64{}}
	for _, c := range o.Criteria {
		if err := p.knows(c); err != nil {
			return nil, err
		}
	}
	if !o.Saturated && saturated(a, b) {
		r.NoWinner = "a generator or the sink was saturated"
	}
	o.Progress("latencies and shares")
	r.Rows = append(p.primary(o), p.rest(o)...)
	r.Gates = p.gates(o)
	for i := range r.Gates {
		if g := &r.Gates[i]; r.NoWinner != "" && g.State != Open {
			g.State, g.Why = Open, r.NoWinner
		}
	}
	o.Progress("errors")
	r.Errors = p.errors(o)
	o.Progress("time to acceptance")
	r.Acceptance = p.acceptance(o)
	o.Progress("shift functions")
	r.Shifts = p.shifts(o)
	r.Drifts = p.drifts(r.Primary())
	r.Differ = differences(a, b)
	r.warn(a, b)
	r.Headline = r.headline()
	return r, nil
}

// knows refuses a criterion about something that no run measured: its name is wrong.
func (p pairing) knows(c Criterion) error {
	if c.Measure.IsShare() {
		return nil
	}
	var known []string
	for _, s := range []*Side{p.a, p.b} {
		for _, r := range s.Runs {
			for key := range r.series {
				if key.Metric == c.Measure.Key.Metric {
					return nil
				}
				if name := shortMetric(key.Metric); !foreign(key.Metric) && !slices.Contains(known, name) {
					known = append(known, name)
				}
			}
		}
	}
	slices.Sort(known)
	return inputErrorf("%q: no record has %s (they have %s)", c.Text, c.Measure.Key.Metric, strings.Join(known, " "))
}

// label names the sides: by what the runs are called, unless that is the same.
func label(a, b *Side) {
	for _, s := range []*Side{a, b} {
		if s.Label == "" {
			s.Label = s.Runs[0].Label
		}
		for _, r := range s.Runs {
			if r.Label != s.Runs[0].Label && s.Label == s.Runs[0].Label {
				s.Label = s.Name
			}
		}
	}
	if a.Label == b.Label || a.Label == "" || b.Label == "" {
		a.Label, b.Label = strings.TrimSpace(result.SideA+" "+a.Label), strings.TrimSpace(result.SideB+" "+b.Label)
	}
}

// headline says in words what the family came to.
func (r *Result) headline() []string {
	var out []string
	for _, g := range r.Gates {
		out = append(out, g.sentence())
	}
	if len(r.Gates) > 0 {
		return out
	}
	n := len(r.A.Runs)
	if n == 1 && len(r.B.Runs) == 1 {
		return []string{"no verdict: one run a side, and what varies from run to run shows only in repeated runs (smtpbench run --runs)"}
	}
	groups := map[Verdict][]string{}
	for _, row := range r.Primary() {
		said := row.Words()
		switch row.Verdict {
		case Less, Greater:
			out = append(out, r.sentence(&row))
		case NotCompared:
			groups[row.Verdict] = append(groups[row.Verdict], fmt.Sprintf("%s (%s)", said, row.Reason))
		default:
			groups[row.Verdict] = append(groups[row.Verdict], said)
		}
	}
	if len(out) > 0 && r.NoWinner != "" {
		out = []string{fmt.Sprintf("no side is called better, although %s: %s", plural(len(out), "figure differs", "figures differ"), r.NoWinner)}
	}
	list := func(v Verdict, comment string) {
		if said := groups[v]; len(said) > 0 {
			out = append(out, strings.Join(said, ", ")+": "+comment)
		}
	}
	list(Equivalent, "equivalent, within "+r.Options.Margins())
	list(Undecided, "undecided")
	list(NotCompared, "not compared")
	return out
}

// Margins says within which differences sides are equivalent.
func (o Options) Margins() string {
	return fmt.Sprintf("%.3g%% (shares: %s)", 100*o.Margin, points(o.MarginShare))
}

// sentence says of one row which side is which.
func (r *Result) sentence(row *Row) string {
	more := map[Verdict]string{Less: "less", Greater: "greater"}[row.Verdict]
	by := ""
	switch {
	case row.Measure.IsShare():
		by = fmt.Sprintf("by %.2f points", 100*math.Abs(row.Shift.Estimate))
	case row.Ratio != nil && row.Ratio.Estimate > 0:
		by = fmt.Sprintf("by %s", percentOf(row.Ratio.Estimate))
	case row.Shift != nil && !math.IsNaN(row.Shift.Estimate):
		by = fmt.Sprintf("by %.3g ms", math.Abs(row.Shift.Estimate))
	}
	s := strings.TrimSpace(fmt.Sprintf("%s is %s with %s %s", row.Words(), more, r.B.Label, by))
	if row.Within {
		s += ", but within the margin"
	}
	return s
}

func points(v float64) string {
	if v == 0.01 {
		return "1 point"
	}
	return fmt.Sprintf("%.3g points", 100*v)
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// percentOf writes by how much a ratio is more or less than 1; from 10 on, as a factor.
func percentOf(ratio float64) string {
	if ratio >= 10 {
		return fmt.Sprintf("a factor of %.3g", ratio)
	}
	return fmt.Sprintf("%.3g%%", 100*math.Abs(ratio-1))
}

// Words name a row.
func (r *Row) Words() string { return r.Measure.Words() }

// Words name the measure for people: "p99 of the whole message".
func (m Measure) Words() string {
	if m.IsShare() {
		return "share " + string(m.Share)
	}
	name := PhaseWords(m.Key.Metric)
	if o := m.Key.Outcome; o != Any && o != Accepted {
		name += ", " + string(o)
	}
	return fmt.Sprintf("%s of %s", m.Statistic, name)
}

// PhaseWords name a metric.
func PhaseWords(metric string) string {
	switch metric {
	case MetricDuration:
		return "the whole message"
	case MetricAcceptance:
		return "time to acceptance"
	case MetricDelivery:
		return "delivery at the sink"
	}
	return shortMetric(metric)
}

// sentence says what a criterion came to.
func (g *Gate) sentence() string {
	how := map[State]string{Worse: "crossed, proved", Inside: "holds, proved", Open: "undecided"}[g.State]
	s := fmt.Sprintf("%s: %s", g.Text, how)
	if g.Estimate != nil {
		s += fmt.Sprintf(" (%s, %.3g%% interval %s to %s)", g.amount(*g.Estimate), 100*g.Level, g.amount(*g.Lo), g.amount(*g.Hi))
	}
	if g.Why != "" {
		s += ": " + g.Why
	}
	return s
}

func (g *Gate) amount(v float64) string {
	switch {
	case g.Criterion.Relative:
		return fmt.Sprintf("%+.3g%%", 100*v)
	case g.Criterion.Measure.IsShare():
		return fmt.Sprintf("%+.3g points", 100*v)
	}
	return fmt.Sprintf("%+.3g ms", v)
}
