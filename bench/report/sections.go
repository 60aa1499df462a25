package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// fateFacts says how many units have each fate.
func fateFacts(b *reconcile.Result) (out []fact) {
	for f, n := range b.Fates {
		if n > 0 {
			out = append(out, fact{reconcile.Fate(f).String(), count(n) + " of " + count(b.Units)})
		}
	}
	return out
}

func findingViews(b *reconcile.Result) (out []findingView) {
	for i := range b.Findings {
		f := &b.Findings[i]
		v := findingView{Kind: string(f.Kind), Severity: f.Severity.String(), Means: f.Means, Units: count(f.Units)}
		for _, e := range f.Evidence {
			v.Evidence = append(v.Evidence, e.String())
		}
		if shown := uint64(len(f.Evidence)); f.Units > shown {
			v.More = "and " + count(f.Units-shown) + " more"
			if _, listed := f.Kind.Counts(); listed {
				v.More += ": units.jsonl has all"
			}
		}
		out = append(out, v)
	}
	return out
}

func newDeliveryView(leg *Leg) (deliveryView, error) {
	d := leg.record.Delivery
	v := deliveryView{Label: leg.Label}
	if m := leg.record.Provenance.MTA; m != nil {
		v.MTA = strings.TrimSpace(m.Name + " " + m.Version)
	}
	units := uint64(0)
	for _, a := range d.Attempts {
		units += a.Messages
	}
	if b := leg.record.Judgement; b != nil {
		units = b.Units
	}
	of := func(n uint64) string {
		if units == 0 {
			return count(n)
		}
		return count(n) + " (" + share(float64(n)/float64(units)) + ")"
	}
	if b := leg.record.Judgement; b != nil {
		v.Facts = []fact{{"sent, a recipient each", count(b.Units)}}
		for f, n := range b.Fates {
			if n > 0 {
				v.Facts = append(v.Facts, fact{reconcile.Fate(f).String(), of(n)})
			}
		}
	}
	v.Facts = append(v.Facts, fact{"watched after the last send", fmt.Sprintf("%.0f s", d.CutoffSeconds)})
	if h := d.Latency; h != nil && h.Count() > 0 {
		for _, q := range quantiles {
			v.Facts = append(v.Facts, fact{"delivery latency " + quantileName(q), millis(h.Quantile(q)) + " ms"})
		}
	}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, fact{text.Counted(a.Attempts, "attempt"), of(a.Messages)})
	}
	for _, p := range d.Backoff {
		v.Backoff = append(v.Backoff, backoffRow{fmt.Sprintf("%d → %d", p.K, p.K+1), count(p.Count), millis(p.P5), millis(p.P50), millis(p.P95)})
	}
	var err error
	v.Figures, err = inline(deliveryCharts(leg))
	return v, err
}

func provenanceRows(s *Summary) []provRow {
	versions := map[string]bool{}
	for _, leg := range s.Legs {
		for name := range leg.record.Provenance.Versions {
			versions[name] = true
		}
	}
	var out []provRow
	row := func(name string, f func(*result.Record) string) {
		r := provRow{Name: name}
		any := false
		for _, leg := range s.Legs {
			c := f(leg.record)
			any = any || c != ""
			r.Cells = append(r.Cells, c)
		}
		if any {
			out = append(out, r)
		}
	}
	row("started", func(r *result.Record) string { return timeText(r.Provenance.Started) })
	row("ended", func(r *result.Record) string { return timeText(r.Provenance.Ended) })
	row("commit", func(r *result.Record) string {
		if p := r.Provenance; p.Commit != "" && p.Dirty {
			return p.Commit + " with changes"
		}
		return r.Provenance.Commit
	})
	row("seed", func(r *result.Record) string { return fmt.Sprint(r.Provenance.Seed) })
	row("plan sha256", func(r *result.Record) string { return r.Provenance.Plan.SHA256 })
	row("script sha256", func(r *result.Record) string { return r.Load.ScriptSHA256 })
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		row("version of "+name, func(r *result.Record) string { return r.Provenance.Versions[name] })
	}
	row("operating system", func(r *result.Record) string { return r.Provenance.OS })
	row("kernel", func(r *result.Record) string { return r.Provenance.Kernel })
	row("CPU", func(r *result.Record) string {
		p := r.Provenance
		if p.Cores == 0 {
			return p.CPUModel
		}
		return strings.TrimSpace(fmt.Sprintf("%s (%s, GOMAXPROCS %d, %s)", p.CPUModel, text.Counted(p.Cores, "core"), p.GOMAXPROCS, p.Arch))
	})
	row("memory", func(r *result.Record) string { return bytesText(r.Provenance.MemoryBytes) })
	row("open files", func(r *result.Record) string { return r.Provenance.OpenFilesLimits })
	row("MTA configuration", func(r *result.Record) string {
		if m := r.Provenance.MTA; m != nil {
			return m.Config
		}
		return ""
	})
	row("command line", func(r *result.Record) string { return strings.Join(r.Provenance.CommandLine, " ") })
	return out
}

func glossary() []term {
	return []term{
		{"sink", "The SMTP server of this test. It accepts mail, throws it away, and injects faults on purpose."},
		{"reply", "A server's answer to a command: a three-digit code (2xx success, 3xx go on, 4xx try again later, 5xx refused for good) and a text."},
		{"enhanced status code", "A finer code inside the reply's text, such as 4.2.0 (RFC 3463)."},
		{"stage", "A point in the dialogue at which the sink answers: connect, EHLO, MAIL, RCPT, DATA, message (after the final dot), QUIT, …"},
		{"planned", "What the fault plan's weights lead to expect: weight × how often the rule spoke. For replies that no rule drew it equals the count."},
		{"injected", "What the sink decided to say, counted at the sink."},
		{"observed", "What the client read, counted at the client. Injected and observed must be equal."},
		{"in flight", "Replies that were decided, but cut off when either side stopped. They form a class of their own and excuse a difference only as far as a side knew them to be unfinished."},
		{"p99", "99 % of the values are at most this (nearest rank, from HDR histograms: exact count, sum, minimum and maximum; values within 0.1 %)."},
		{"> max", "The percentile is unknown: iterations were dropped because no virtual user was free, and what they would have measured is missing above."},
		{"within-run interval", "Where the figure would lie if this very run were repeated out of its own time windows (block bootstrap), or by order statistics when there are fewer than twenty windows. None where neighbouring windows depend on each other so much that too few independent blocks are left. It doesn't cover what differs between runs: only repeated runs show that."},
		{"goodness of fit", "A chi-square test of whether the injected codes look drawn from the plan's weights. p is the probability of a worse fit by chance; below 0.001 (Holm-adjusted over the rules of a run) the fit is rejected."},
		{"threshold", "A condition that the script sets on its own metrics. k6 exits with status 99 when one is crossed: a finding, not a failure of the run."},
		{"arrival rate", "Messages started per second whether or not earlier ones have ended (k6's constant-arrival-rate). A saturated system drops iterations then, rather than slowing the load down."},
	}
}
