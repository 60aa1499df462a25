package sink

import (
	"fmt"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
)

// Bounds of a sink that is not saturated.
const (
	maxLag      = 10 * time.Millisecond // p99 of how long a loop was busy between two waits
	maxLateness = 10 * time.Millisecond // p99 of how late delayed replies were
)

// SelfCheck is what a sink says of itself, so that nobody blames an MTA for the sink.
type SelfCheck struct {
	OK bool `json:"ok"` // no rule was rejected and nothing was saturated
	// Fits compares what each rule has drawn with its weights, over distinct keys; rules that never spoke are left out.
	Fits []RuleFit `json:"fits,omitempty"`
	// Saturation says, a line each, why figures may be the sink's fault.
	Saturation []string `json:"saturation,omitempty"`
}

// RuleFit is the goodness of fit of one rule.
type RuleFit struct {
	Rule     string       `json:"rule"`
	Stage    string       `json:"stage"`
	Draws    uint64       `json:"draws"` // by distinct keys
	Outcomes []OutcomeFit `json:"outcomes"`
	Tested   bool         `json:"tested"`
	Reason   string       `json:"reason,omitempty"` // why it was not tested
	// P is the p-value of Pearson's chi-square test, adjusted for the number of tested rules (Holm).
	P        float64 `json:"p,omitempty"`
	Rejected bool    `json:"rejected,omitempty"` // at fit.Alpha
}

// OutcomeFit is one outcome's share.
type OutcomeFit struct {
	Outcome string       `json:"outcome"`
	Planned float64      `json:"planned"` // share
	Drawn   float64      `json:"drawn"`   // share
	Bounds  fit.Interval `json:"bounds"`  // of the share that was drawn: Clopper-Pearson, 95 %
}

// Check returns what the figures say of the sink itself.
func (s *Stats) Check() *SelfCheck {
	check := &SelfCheck{Saturation: s.saturation()}
	check.OK = len(check.Saturation) == 0
	var rules []fit.Rule
	for i := range s.Rules {
		if r := &s.Rules[i]; r.Occurrences > 0 && len(r.Outcomes) > 1 {
			rules = append(rules, drawsOf(r))
		}
	}
	for _, r := range fit.Test(rules) {
		f := RuleFit{Rule: r.Rule, Stage: r.Stage, Draws: r.N, Tested: r.Tested, Reason: r.Reason, P: r.AdjustedP, Rejected: r.Rejected()}
		for _, c := range r.Cells {
			f.Outcomes = append(f.Outcomes, OutcomeFit{Outcome: c.Label, Planned: c.Probability, Drawn: c.Share, Bounds: c.Bounds})
		}
		check.OK = check.OK && !f.Rejected
		check.Fits = append(check.Fits, f)
	}
	return check
}

// drawsOf returns a rule's draws over distinct keys.
func drawsOf(r *metrics.RuleCount) fit.Rule {
	out := fit.Rule{Name: r.Name, Stage: r.Stage.String()}
	for _, o := range r.Outcomes {
		label := "no reply"
		if o.Code != 0 {
			label = fmt.Sprintf("%d %s", o.Code, o.Enhanced.Append(nil))
		}
		if o.Fault != "" {
			label += " " + o.Fault
		}
		n := o.Injected
		if r.DistinctKeys > 0 {
			n = o.Distinct
		}
		out.Outcomes = append(out.Outcomes, fit.Outcome{Label: label, Probability: o.Probability, Drawn: n})
	}
	return out
}

func (s *Stats) saturation() (lines []string) {
	add := func(is bool, format string, args ...any) {
		if is {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	lag := time.Duration(s.Net.LagP99Micros) * time.Microsecond // #nosec G115 -- a metrics.Histogram holds at most 71 minutes
	add(lag > maxLag, "event loops were busy for up to %v between two waits (p99; want at most %v)", lag, maxLag)
	if s.Lateness != nil {
		late := time.Duration(s.Lateness.P99Micros) * time.Microsecond // #nosec G115 -- a metrics.Histogram holds at most 71 minutes
		add(late > maxLateness, "delayed replies were later than planned by up to %v (p99; want at most %v)", late, maxLateness)
	}
	add(s.ListenOverflows > 0, "%d connections met a full accept queue on this system", s.ListenOverflows)
	add(s.Net.AcceptPauses > 0, "accepting stopped %d times for want of descriptors or memory", s.Net.AcceptPauses)
	add(s.Counters.Evictions > 0, "%d attempt counters were forgotten, the oldest first, since there is room for %d of all kinds (--state-memory): "+
		"what was a second attempt may have counted as a first, and a replay may draw otherwise", s.Counters.Evictions, s.StateCapacity)
	add(s.Limits.Evictions > 0, "%d token buckets or greylisted triples were forgotten, the oldest first, since there is room for %d of all kinds "+
		"(--state-memory): limits were not what they should be", s.Limits.Evictions, s.StateCapacity)
	add(s.ReopenFailures > 0, "a listener could not be opened again %d times after a fault", s.ReopenFailures)
	add(s.Ledger != nil && s.Ledger.Lost > 0, "rows are missing in the ledger")
	return lines
}
