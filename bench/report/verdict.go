package report

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Judge says what runs come to: what the judge says, if there was one, and what else was found in their records. Console, page, summary and
// exit status render this one result. Of the options the records decide Stopped and Crossed.
func Judge(records []*result.Record, o reconcile.Options) *reconcile.Result {
	var legs []Leg
	for i, r := range records {
		legs = append(legs, newLeg(r, i))
	}
	return judge(legs, o)
}

func judge(legs []Leg, o reconcile.Options) *reconcile.Result {
	var parts []reconcile.Part
	var stopped, crossed []string
	for i := range legs {
		leg := &legs[i]
		part := reconcile.Part{Result: leg.record.Judgement, Findings: leg.mismatches()}
		named := func(what string) string { return what }
		if len(legs) > 1 {
			part.Name = leg.Label
			named = func(what string) string { return leg.Label + ": " + what }
		}
		if leg.Reconciliation != nil {
			part.Replies = leg.Reconciliation.Injected
		}
		parts = append(parts, part)
		if why := leg.stopped(); why != "" {
			stopped = append(stopped, named(why))
		}
		if what := crossedThresholds(leg.record.Load); len(what) > 0 {
			crossed = append(crossed, named(strings.Join(what, ", ")))
		}
	}
	o.Stopped, o.Crossed = strings.Join(stopped, "; "), strings.Join(crossed, "; ")
	return reconcile.Combine(o, parts...)
}

// mismatches returns what shows that the harness itself can't be trusted: replies that nothing explains, and draws that don't fit.
func (l *Leg) mismatches() []reconcile.Finding {
	var notes []string
	switch c := l.Reconciliation; {
	case c == nil:
	case unseen(l.record, c):
		notes = append(notes, "the sink saw no client: does the script connect to __ENV.SMTP_HOST and __ENV.SMTP_PORT?")
	default:
		notes = append(notes, c.Problems...)
	}
	if r := l.record; r.Judgement != nil && r.Judgement.Units == 0 && r.Client != nil && r.Load.Stopped == "" {
		if n := r.Client.Sum("smtp_messages", nil); n > 0 {
			notes = append(notes, fmt.Sprintf("k6 sent %.0f messages and claimed none: is it one of another version?", n))
		}
	}
	for i := range l.Fits {
		if f := &l.Fits[i]; f.Rejected {
			notes = append(notes, fmt.Sprintf("the draws of rule %s don't fit its weights (p = %s)", f.Rule, pValue(f.AdjustedP)))
		}
	}
	if len(notes) == 0 {
		return nil
	}
	found := reconcile.NewFinding(reconcile.KindHarness)
	found.Units = uint64(len(notes))
	for _, note := range notes {
		found.Evidence = append(found.Evidence, reconcile.Evidence{Note: note})
	}
	return []reconcile.Finding{found}
}

// unseen reports whether the clients spoke to somebody else than the sink, or to nobody, and nothing is known that kept them from it.
func unseen(r *result.Record, c *result.Reconciliation) bool {
	return c != nil && c.Injected == 0 && !r.Load.Interrupted && (r.Load.Stopped == "" || c.Observed > 0)
}

// stopped says why not all of the load was carried out.
func (l *Leg) stopped() string {
	load := &l.record.Load
	switch {
	case load.Stopped != "":
		return load.Stopped
	case load.Interrupted:
		return "interrupted"
	case load.ExitStatus != nil && *load.ExitStatus != 0 && *load.ExitStatus != result.ThresholdsCrossed:
		return fmt.Sprintf("k6 ended with status %d", *load.ExitStatus)
	}
	return ""
}

// crossedThresholds names the thresholds of the script that did not hold.
func crossedThresholds(l result.Load) []string {
	var crossed []string
	for _, t := range l.Thresholds {
		if !t.OK {
			crossed = append(crossed, t.Metric+" "+t.Expression)
		}
	}
	if len(crossed) == 0 && l.ExitStatus != nil && *l.ExitStatus == result.ThresholdsCrossed {
		crossed = append(crossed, "k6 ended with status 99")
	}
	return crossed
}
