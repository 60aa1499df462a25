package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Report is what is to be rendered.
type Report struct {
	Title string
	// Generated is printed; the caller's clock.
	Generated time.Time
	// Legs are one to four runs; the others are compared with the first.
	Legs []*result.Record
	// Intervals are the options of confidence intervals.
	Intervals compare.IntervalOptions
	// Judge says what fails; see Judge.
	Judge reconcile.Options
	// Warnings are of the runs as a group, beside those of each.
	Warnings []string
}

// maxLegs is how many runs the charts' colours and dashes tell apart.
const maxLegs = 4

// quantiles of every table, the maximum last.
var quantiles = [...]float64{0.50, 0.90, 0.95, 0.99, 1}

func quantileName(q float64) string {
	if q >= 1 {
		return "max"
	}
	return "p" + fmt.Sprintf("%.4g", 100*q)
}

// Status of a check.
type Status string

// What a check can say.
const (
	Pass Status = "pass"
	Info Status = "info" // a figure that is neither good nor bad
	Note Status = "note" // worth reading; not a failure
	Fail Status = "fail"
	None Status = "n/a" // not recorded
)

// Check is one row of the verdict for one run.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Text   string `json:"text"`
}

// checks builds the verdict of one run, always the same rows in the same order.
func checks(r *result.Record, rec *result.Reconciliation, fits []stat.Fit, warnings []string) []Check {
	out := []Check{
		exitCheck(r.Load), thresholdCheck(r.Load), iterationCheck(r.Load), failedCheck(r.Client),
		reconcileCheck(r, rec), flightCheck(r, rec), fitCheck(fits),
	}
	if r.Delivery != nil {
		out = append(out, deliveryCheck(r.Judgement))
	} else {
		out = append(out, Check{"delivery through the MTA", None, "no MTA in this run"})
	}
	w := Check{"warnings", Pass, "none"}
	if n := len(warnings); n > 0 {
		w = Check{"warnings", Note, text.Counted(n, "warning") + ", listed below"}
	}
	return append(out, w)
}

func exitCheck(l result.Load) Check {
	c := Check{Name: "k6 exit status", Status: None, Text: "not recorded"}
	if l.ExitStatus == nil {
		return c
	}
	switch s := *l.ExitStatus; s {
	case 0:
		c.Status, c.Text = Pass, "0"
	case result.ThresholdsCrossed:
		c.Status, c.Text = Note, "99: a threshold was crossed"
	default:
		c.Status, c.Text = Fail, fmt.Sprintf("%d: the run failed", s)
	}
	return c
}

func thresholdCheck(l result.Load) Check {
	c := Check{Name: "thresholds", Status: None, Text: "the script sets none"}
	if len(l.Thresholds) == 0 {
		return c
	}
	crossed := crossedThresholds(l)
	c.Status, c.Text = Pass, fmt.Sprintf("all %d held", len(l.Thresholds))
	if len(l.Thresholds) == 1 {
		c.Text = "the one that is set held"
	}
	if len(crossed) > 0 {
		c.Status = Note
		c.Text = fmt.Sprintf("%d of %d crossed: %s", len(crossed), len(l.Thresholds), strings.Join(crossed, "; "))
	}
	return c
}

func iterationCheck(l result.Load) Check {
	c := Check{Name: "iterations", Status: None, Text: "not recorded"}
	if l.IterationsPlanned == 0 && l.IterationsComplete == 0 {
		return c
	}
	c.Status, c.Text = Pass, count(l.IterationsComplete)+" complete"
	if l.IterationsPlanned > 0 {
		c.Text = fmt.Sprintf("%s of %s planned", count(l.IterationsComplete), count(l.IterationsPlanned))
	}
	if l.IterationsDropped > 0 {
		c.Status = Note
		c.Text += ", " + count(l.IterationsDropped) + " dropped"
	}
	return c
}

// failedMetric is the rate of messages that lack an expected final reply.
const failedMetric = "smtp_msg_failed"

// failures returns how many of how many messages failed.
func failures(c *result.Client) (failed, all uint64) {
	if c == nil {
		return 0, 0
	}
	for _, s := range c.Find(failedMetric, nil) {
		failed += s.Passes
		all += s.Passes + s.Fails
	}
	return failed, all
}

func failedCheck(c *result.Client) Check {
	failed, all := failures(c)
	if all == 0 {
		return Check{"messages failed", None, "not recorded"}
	}
	iv := stat.Wilson(failed, all, 0.95)
	return Check{"messages failed", Info, fmt.Sprintf("%s of %s = %.2f %% [%.2f, %.2f]", count(failed), count(all), 100*float64(failed)/float64(all), 100*iv.Lo, 100*iv.Hi)}
}

// notReconciled says why a run has no reconciliation.
func notReconciled(r *result.Record) string {
	if r.Client != nil && r.Sink != nil {
		return "the MTA stands between client and sink"
	}
	return "only one side was recorded"
}

func reconcileCheck(r *result.Record, rec *result.Reconciliation) Check {
	const name = "injected = observed"
	switch {
	case rec == nil:
		return Check{name, None, notReconciled(r)}
	case unseen(r, rec):
		return Check{name, Fail, "the sink saw no client: does the script connect to __ENV.SMTP_HOST and __ENV.SMTP_PORT?"}
	case rec.Injected == 0 && rec.Observed == 0:
		return Check{name, None, "there were no replies"}
	case rec.Balanced && rec.InFlight == 0:
		return Check{name, Pass, fmt.Sprintf("%s = %s replies, every code at every stage", count(rec.Injected), count(rec.Observed))}
	case rec.Balanced:
		return Check{name, Pass, fmt.Sprintf("%s injected, %s observed, the rest in flight", count(rec.Injected), count(rec.Observed))}
	}
	return Check{name, Fail, fmt.Sprintf("%s: %s", text.Counted(len(rec.Problems), "unexplained difference"), rec.Problems[0])}
}

func flightCheck(r *result.Record, rec *result.Reconciliation) Check {
	const name = "replies in flight at the end"
	if rec == nil {
		return Check{name, None, notReconciled(r)}
	}
	return Check{name, Info, count(rec.InFlight)}
}

func fitCheck(fits []stat.Fit) Check {
	const name = "draws fit the weights"
	tested, rejected, smallest := 0, []string(nil), 1.0
	for i := range fits {
		f := &fits[i]
		if f.Tested {
			tested++
			smallest = math.Min(smallest, f.AdjustedP)
		}
		if f.Rejected {
			rejected = append(rejected, f.Rule)
		}
	}
	switch {
	case tested == 0:
		return Check{name, None, "nothing was drawn that could be tested"}
	case len(rejected) > 0:
		return Check{name, Fail, "rejected at 0.001: " + strings.Join(rejected, ", ")}
	}
	return Check{name, Pass, fmt.Sprintf("%s tested, smallest adjusted p = %s", text.Counted(tested, "rule"), pValue(smallest))}
}

func deliveryCheck(b *reconcile.Result) Check {
	c := Check{Name: "delivery through the MTA", Status: None, Text: "it was not judged"}
	if b == nil {
		return c
	}
	c.Status, c.Text = Pass, fmt.Sprintf("of %s: %s", text.Counted(b.Units, "unit"), strings.Join(fateTexts(b), ", "))
	for i := range b.Findings {
		if b.Findings[i].Severity == reconcile.Fault {
			c.Status = Fail
		}
	}
	if c.Status == Pass && b.Fates[reconcile.Undetermined] > 0 {
		c.Status = Note
	}
	return c
}

// fateTexts says how many units have each fate.
func fateTexts(b *reconcile.Result) []string {
	var out []string
	for f, n := range b.Fates {
		if n > 0 {
			out = append(out, count(n)+" "+reconcile.Fate(f).String())
		}
	}
	return out
}
