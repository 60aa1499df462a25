package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// Style is the style sheet of all pages.
func Style() template.CSS {
	return template.CSS(pageStyle) // #nosec G203 -- this package's own file
}

// PageMark is what every page of HTML has in its first lines.
const PageMark = `<meta name="generator" content="smtpstorm">`

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
	Storm     []stormCard
	Fates     []fact
	Findings  []findingView
	Lacking   []string
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

type findingView struct {
	Kind, Severity, Means string
	Units                 string
	Evidence              []string
	More                  string // how many more there are, and where
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
	Errors        []ErrorCount
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
	Backoff  []backoffRow
	Figures  []figure
}

type backoffRow struct{ Gap, Count, P5, P50, P95 string }

type provRow struct {
	Name  string
	Cells []string
}

type planView struct{ Label, Name, SHA256, Text string }

type term struct{ Word, Meaning string }

func newPage(s *Summary) (*page, error) {
	p := &page{
		Style: template.CSS(pageStyle), Title: s.Title, Generated: timeText(s.Generated), OK: s.Exit == reconcile.ExitSound, // #nosec G203 -- a constant of this package, embedded from a file
		Headline: s.Sentence, Compared: len(s.Legs) > 1, Glossary: glossary(),
		Verdict: verdictRows(s), Failed: failedRows(s), Fits: fitRows(s), Prov: provenanceRows(s),
	}
	p.Storm, p.Fates, p.Findings = stormCards(s), fateFacts(s.Result), findingViews(s.Result)
	if s.Result.Fates[reconcile.Undetermined] > 0 {
		p.Lacking = s.Result.Lacking
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
		p.AnyDrawn = p.AnyDrawn || len(leg.Fits) > 0
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
		out = append(out, figure{c.Title, template.HTML(svg)}) // #nosec G203 -- drawn by package plot, which escapes the text in it
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
			row.Difference = fmt.Sprintf("%s points [%s, %s]", points(*f.Difference), points(*f.Lo), points(*f.Hi))
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
	v := legView{Label: leg.Label, Colour: leg.colour, Facts: legFacts(leg.record), Warnings: leg.Warnings, Notes: leg.Notes, Errors: leg.Errors}
	if leg.Reconciliation == nil {
		v.Unreconciled = notReconciled(leg.record)
	} else {
		v.Reconciled, v.Problems = true, leg.Reconciliation.Problems
	}
	if leg.record.Provenance.MTA != nil && leg.record.Client != nil {
		for _, r := range result.Reconcile(leg.record.Client, &result.Sink{}).Rows {
			v.FromMTA = append(v.FromMTA, stageLine{Reply: r.String(), Observed: count(r.Observed)})
		}
	}
	for _, st := range stagesOf(leg) {
		if len(st.Rows) == 1 && !st.Drawn {
			line := newStageLine(st.Rows[0], st.Total)
			line.Reply = st.Rows[0].String()
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
	line.Reply = r.Words()
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
		for i := range leg.Fits {
			out = append(out, newFitRow(leg.Label, &leg.Fits[i]))
		}
	}
	return out
}

func newFitRow(label string, f *stat.Fit) fitRow {
	row := fitRow{Leg: label, Rule: f.Rule, Stage: f.Stage, Rejected: f.Rejected}
	switch {
	case !f.Tested:
		row.Verdict = "not tested: " + f.Reason
	case f.Rejected:
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
