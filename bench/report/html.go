package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// HTML writes one self-contained page: style and charts are inline, nothing is
// loaded from anywhere.
func HTML(w io.Writer, r Report) error {
	s, err := Summarize(r)
	if err != nil {
		return err
	}
	p, err := newPage(s)
	if err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("page template: %w", err)
	}
	return t.Execute(w, p)
}

// page is what the template sees: strings, ready to be printed.
type page struct {
	Style     template.CSS
	Title     string
	Generated string
	OK        bool
	Headline  string
	Method    string
	Legs      []legView
	Compared  bool
	Verdict   []verdictRow
	Failed    []failedRow
	Quantiles []string
	Phases    []phaseView
	Curves    []figure
	Times     []figure
	Fits      []fitRow
	AnyDrawn  bool
	Delivery  []deliveryView
	Prov      []provRow
	Plans     []planView
	Glossary  []term
}

type legView struct {
	Label, Colour string
	Facts         []fact
	Stages        []stagePage
	Quiet         []stageLine // stages with a single code
	FromMTA       []stageLine // what the client observed where an MTA answered
	Problems      []string
	Warnings      []string
	Notes         []string
	Reconciled    bool
	Unreconciled  string // why not
}

type fact struct{ Name, Value string }

type verdictRow struct {
	Name  string
	Cells []Check
}

type failedRow struct{ Label, Failed, Share, Difference string }

type phaseView struct {
	Name, Metric, Meaning string
	Rows                  []phaseRow
}

type phaseRow struct {
	Label, Colour, Count string
	Delta                bool
	Cells                []latencyCell
}

type latencyCell struct{ Value, Extra, Interval, Title string }

type figure struct {
	Title string
	SVG   template.HTML
}

type stagePage struct {
	stageView
	Figure *figure
	Lines  []stageLine
}

type stageLine struct{ Reply, Planned, Injected, Observed, InFlight, Difference, Share string }

type fitRow struct {
	Leg, Rule, Stage, Verdict, ChiSquare, DF, P string
	Rejected                                    bool
	Cells                                       []fitLine
}

type fitLine struct{ Label, Weight, Planned, Injected, Share, Bounds string }

type deliveryView struct {
	Label    string
	MTA      string
	Facts    []fact
	Attempts []fact
	Figures  []figure
}

type provRow struct {
	Name  string
	Cells []string
}

type planView struct{ Label, Name, SHA256, Text string }

type term struct{ Word, Meaning string }

func newPage(s *Summary) (*page, error) {
	p := &page{
		Style: template.CSS(pageStyle), Title: s.Title, Generated: timeText(s.Generated), OK: s.OK,
		Headline: headline(s), Compared: len(s.Legs) > 1, Glossary: glossary(),
		Verdict: verdictRows(s), Failed: failedRows(s), Fits: fitRows(s), Prov: provenanceRows(s),
	}
	for _, q := range quantiles {
		p.Quantiles = append(p.Quantiles, quantileName(q))
	}
	for _, ph := range s.Latency {
		p.Phases = append(p.Phases, newPhaseView(s, ph))
		for _, l := range ph.Legs[1:] {
			if l.Method != "" {
				p.Method = l.Method
			}
		}
	}
	var err error
	if p.Curves, err = inline(curveCharts(s)); err != nil {
		return nil, err
	}
	if p.Times, err = inline(timeCharts(s)); err != nil {
		return nil, err
	}
	for i := range s.Legs {
		leg := &s.Legs[i]
		v, err := newLegView(leg)
		if err != nil {
			return nil, err
		}
		p.Legs = append(p.Legs, v)
		p.AnyDrawn = p.AnyDrawn || len(leg.fits) > 0
		if leg.record.Delivery != nil {
			d, err := newDeliveryView(leg)
			if err != nil {
				return nil, err
			}
			p.Delivery = append(p.Delivery, d)
		}
		if plan := leg.record.Provenance.Plan; plan.Text != "" {
			p.Plans = append(p.Plans, planView{leg.Label, plan.Name, plan.SHA256, plan.Text})
		}
	}
	return p, nil
}

func headline(s *Summary) string {
	var failed, crossed []string
	for _, leg := range s.Legs {
		for _, c := range leg.Checks {
			switch {
			case c.Status == Fail:
				failed = append(failed, c.Name+" ("+leg.Label+")")
			case c.Status == Note && c.Name == "thresholds":
				crossed = append(crossed, leg.Label)
			}
		}
	}
	if len(failed) > 0 {
		return "Not to be trusted: " + strings.Join(failed, ", ") + "."
	}
	text := "The books balance: every reply that the sink injected was observed by the client, or was in flight when the run stopped."
	if slices.ContainsFunc(s.Legs, func(l Leg) bool { return l.Reconciliation == nil }) {
		text = "No check failed; not every run recorded both sides."
	}
	if len(crossed) > 0 {
		text += " Thresholds of the script were crossed in: " + strings.Join(crossed, ", ") + "."
	}
	return text
}

func inline(charts []*plot.Chart) ([]figure, error) {
	var out []figure
	for _, c := range charts {
		if c == nil || c.Empty() {
			continue
		}
		svg, err := c.Inline()
		if err != nil {
			return nil, err
		}
		// The chart's own text is escaped by plot; nothing else enters it.
		out = append(out, figure{c.Title, template.HTML(svg)})
	}
	return out, nil
}

func verdictRows(s *Summary) []verdictRow {
	var out []verdictRow
	for i, c := range s.Legs[0].Checks {
		row := verdictRow{Name: c.Name}
		recorded := false
		for _, leg := range s.Legs {
			row.Cells = append(row.Cells, leg.Checks[i])
			recorded = recorded || leg.Checks[i].Status != None
		}
		if recorded {
			out = append(out, row)
		}
	}
	return out
}

func failedRows(s *Summary) []failedRow {
	var out []failedRow
	for _, leg := range s.Legs {
		f := leg.Failed
		if f.Messages == 0 {
			continue
		}
		row := failedRow{Label: leg.Label, Failed: count(f.Failed) + " of " + count(f.Messages), Share: share(float64(f.Failed) / float64(f.Messages))}
		if f.Difference != nil {
			row.Difference = fmt.Sprintf("%+.2f points [%+.2f, %+.2f]", 100**f.Difference, 100**f.Lo, 100**f.Hi)
		}
		out = append(out, row)
	}
	return out
}

func newPhaseView(s *Summary, p Phase) phaseView {
	v := phaseView{Name: p.Name, Metric: p.Metric, Meaning: p.meaning}
	for i, leg := range s.Legs {
		l := p.Legs[i]
		row := phaseRow{Label: leg.Label, Colour: leg.colour, Count: count(l.Count)}
		for _, q := range l.percentiles {
			c := latencyCell{Value: percentile(q, l.Count), Interval: interval(q.Within, millis)}
			if q.Few && l.Count > 0 && !q.Beyond {
				c.Extra, c.Title = "*", "fewer than ten values lie beyond this percentile"
			}
			row.Cells = append(row.Cells, c)
		}
		v.Rows = append(v.Rows, row)
	}
	for i, leg := range s.Legs {
		l := p.Legs[i]
		if l.differences == nil || l.Count == 0 {
			continue
		}
		row := phaseRow{Label: "Δ " + leg.Label, Delta: true}
		for _, d := range l.differences {
			c := latencyCell{Value: "unknown"}
			if d.Known {
				c = latencyCell{Value: signed(d.Delta), Extra: change(d), Interval: interval(d.Within, signed)}
			}
			row.Cells = append(row.Cells, c)
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

func newLegView(leg *Leg) (legView, error) {
	v := legView{Label: leg.Label, Colour: leg.colour, Facts: legFacts(leg.record), Warnings: leg.Warnings, Notes: leg.Notes}
	if leg.Reconciliation == nil {
		v.Unreconciled = notReconciled(leg.record)
	} else {
		v.Reconciled, v.Problems = true, leg.Reconciliation.Problems
	}
	if leg.record.Provenance.MTA != nil && leg.record.Client != nil {
		for _, r := range result.Reconcile(leg.record.Client, &result.Sink{}).Rows {
			v.FromMTA = append(v.FromMTA, stageLine{Reply: r.Reply.String(), Observed: count(r.Observed)})
		}
	}
	for _, st := range stagesOf(leg) {
		if len(st.Rows) == 1 && !st.Drawn {
			line := newStageLine(st.Rows[0], st.Total)
			line.Reply = st.Rows[0].Reply.String()
			v.Quiet = append(v.Quiet, line)
			continue
		}
		sp := stagePage{stageView: st}
		for _, r := range st.Rows {
			sp.Lines = append(sp.Lines, newStageLine(r, st.Total))
		}
		figures, err := inline([]*plot.Chart{st.Chart})
		if err != nil {
			return v, err
		}
		if len(figures) > 0 {
			sp.Figure = &figures[0]
		}
		v.Stages = append(v.Stages, sp)
	}
	return v, nil
}

func newStageLine(r result.Row, total uint64) stageLine {
	line := stageLine{Planned: expected(r.Planned), Injected: count(r.Injected), Observed: count(r.Observed), InFlight: count(r.InFlight), Difference: fmt.Sprint(r.Difference)}
	line.Reply, _ = strings.CutPrefix(r.Reply.String(), r.Stage+" ")
	if total > 0 {
		line.Share = share(float64(r.Injected) / float64(total))
	}
	return line
}

// legFacts says in a few words what was run.
func legFacts(r *result.Record) []fact {
	l, p := r.Load, r.Provenance
	var out []fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, value})
		}
	}
	add("script", l.Script)
	load := l.Executor
	if l.RatePerSecond > 0 {
		load = fmt.Sprintf("%s messages/s arriving", millis(l.RatePerSecond))
		if l.ProbeRatePerSecond > 0 {
			load += fmt.Sprintf(" (%.0f %% of the probed capacity)", 100*l.RatePerSecond/l.ProbeRatePerSecond)
		}
	}
	add("load", load)
	if l.VUs > 0 {
		add("virtual users", fmt.Sprint(l.VUs))
	}
	add("message size", bytesText(l.MessageSizeBytes))
	add("fault plan", p.Plan.Name)
	if r.Sink != nil {
		add("seed", fmt.Sprint(p.Seed))
		add("at the sink", fmt.Sprintf("%s connections, %s messages accepted", count(r.Sink.Connections), count(r.Sink.Messages)))
	}
	add("sink", p.SinkMode)
	if p.MTA != nil {
		add("mail transfer agent", strings.TrimSpace(p.MTA.Name+" "+p.MTA.Version))
	}
	if d := p.Duration(); d > 0 {
		add("took", fmt.Sprintf("%.1f s", d.Seconds()))
	}
	return out
}

func fitRows(s *Summary) []fitRow {
	var out []fitRow
	for _, leg := range s.Legs {
		for i := range leg.fits {
			out = append(out, newFitRow(leg.Label, &leg.fits[i]))
		}
	}
	return out
}

func newFitRow(label string, f *stat.Fit) fitRow {
	row := fitRow{Leg: label, Rule: f.Rule, Stage: f.Stage, Rejected: f.Rejected()}
	switch {
	case !f.Tested:
		row.Verdict = "not tested: " + f.Reason
	case f.Rejected():
		row.Verdict = "does not fit"
	default:
		row.Verdict = "fits"
	}
	if f.Tested {
		row.ChiSquare, row.DF, row.P = fmt.Sprintf("%.3g", f.ChiSquare), fmt.Sprint(f.DF), pValue(f.AdjustedP)
	}
	for _, c := range f.Cells {
		row.Cells = append(row.Cells, fitLine{c.Label, share(c.Probability), expected(c.Planned), count(c.Injected), share(c.Share),
			"[" + share(c.Bounds.Lo) + ", " + share(c.Bounds.Hi) + "]"})
	}
	return row
}

func newDeliveryView(leg *Leg) (deliveryView, error) {
	d := leg.record.Delivery
	v := deliveryView{Label: leg.Label}
	if m := leg.record.Provenance.MTA; m != nil {
		v.MTA = strings.TrimSpace(m.Name + " " + m.Version)
	}
	of := func(n uint64) string {
		if d.Accepted == 0 {
			return count(n)
		}
		return count(n) + " (" + share(float64(n)/float64(d.Accepted)) + ")"
	}
	v.Facts = []fact{
		{"sent by the client", count(d.Sent)}, {"accepted by the MTA", count(d.Accepted)}, {"delivered exactly once", of(d.DeliveredOnce)},
		{"delivered more than once", of(d.Duplicated)}, {"bounced to the sender", of(d.Bounced)},
		{fmt.Sprintf("missing at the cutoff (%.0f s after the last send)", d.CutoffSeconds), of(d.Undelivered)},
	}
	if h := d.Latency; h != nil && h.Count() > 0 {
		for _, q := range quantiles {
			v.Facts = append(v.Facts, fact{"delivery latency " + quantileName(q), millis(h.Quantile(q)) + " ms"})
		}
	}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, fact{plural(a.Attempts, "attempt"), of(a.Messages)})
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
		return strings.TrimSpace(fmt.Sprintf("%s (%s, GOMAXPROCS %d, %s)", p.CPUModel, plural(p.Cores, "core"), p.GOMAXPROCS, p.Arch))
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
		{"within-run interval", "Where the figure would lie if this very run were repeated out of its own time windows (block bootstrap), or by order statistics when there are too few windows. It doesn't cover what differs between runs: only repeated runs show that."},
		{"goodness of fit", "A chi-square test of whether the injected codes look drawn from the plan's weights. p is the probability of a worse fit by chance; below 0.001 (Holm-adjusted over the rules of a run) the fit is rejected."},
		{"threshold", "A condition that the script sets on its own metrics. k6 exits with status 99 when one is crossed: a finding, not a failure of the run."},
		{"arrival rate", "Messages started per second whether or not earlier ones have ended (k6's constant-arrival-rate). A saturated system drops iterations then, rather than slowing the load down."},
	}
}
