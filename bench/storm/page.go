package storm

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

//go:embed page.html.tmpl
var pageTemplate string

// page is what the template of a record sees: strings, ready to be printed.
type page struct {
	Style    template.CSS
	Mark     template.HTML
	Title    string
	OK       bool
	Headline string
	About    string
	Look     string
	Fates    []Line
	Findings []found
	Bench    []string // what the benchmark found out about itself
	Warnings []string
	Notes    []string
	Figures  []Line
	Charts   []figure
	Gaps     []gapRow
	Policy   []Line
	Delays   []delayRow
	Domains  []delayRow
	Events   []Line
	Facts    []Line
	Plan     string
	Config   string
}

type found struct {
	Severity, Kind, Units, Means string
	Evidence                     []string
}

type figure struct {
	Title string
	SVG   template.HTML
}

type gapRow struct{ K, Units, P5, Median, P95, Ratio, Policy string }

// delayTable is a table of delays with the heading of its first column.
type delayTable struct {
	Head string
	Rows []delayRow
}

type delayRow struct{ Name, Note, Units, Delivered, Failed, Open, P50, P90, P99, Max string }

// WritePage writes the page of a record: self-contained, nothing is loaded from anywhere.
func WritePage(w io.Writer, r *Record) error {
	t, err := template.New("page").Funcs(template.FuncMap{"delayTable": func(head string, rows []delayRow) delayTable { return delayTable{head, rows} }}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("page template: %w", err)
	}
	p, err := newPage(r)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

func newPage(r *Record) (*page, error) {
	p := &page{
		Style: report.Style(), Mark: template.HTML(report.PageMark), // #nosec G203 -- a constant of this program
		Title: r.Provenance.MTA.Version + " under storm " + strings.TrimSpace(r.Storm.Number+" "+r.Storm.Name), OK: r.Judgement.Verdict.Exit == reconcile.ExitSound, Headline: r.Judgement.Verdict.Sentence,
		About: r.Storm.Copies, Look: r.Storm.Look, Bench: r.Findings, Warnings: r.Warnings, Notes: r.Notes, Figures: Lines(r), Plan: r.Provenance.Plan.Text, Config: r.Provenance.MTA.Config,
	}
	for f, n := range r.Judgement.Fates {
		if n > 0 {
			p.Fates = append(p.Fates, Line{reconcile.Fate(f).String(), text.Count(n)})
		}
	}
	for i := range r.Judgement.Findings {
		f := &r.Judgement.Findings[i]
		noun, _ := f.Kind.Counts()
		one := found{Severity: f.Severity.String(), Kind: string(f.Kind), Units: text.Counted(f.Units, noun), Means: f.Means}
		for _, e := range f.Evidence {
			one.Evidence = append(one.Evidence, e.String())
		}
		p.Findings = append(p.Findings, one)
	}
	for _, g := range r.Figures.Backoff {
		p.Gaps = append(p.Gaps, gapRow{fmt.Sprint(g.K), text.Count(g.Units), cell1(&g.P5), cell1(&g.Median), cell1(&g.P95), cell2(g.Ratio), cell1(g.Policy)})
	}
	p.Policy = []Line{{"asked for", r.Policy.Asked}}
	if r.Policy.Says != "" {
		p.Policy = append(p.Policy, Line{"the MTA says", r.Policy.Says}, Line{"which means pauses of", strings.Join(r.Policy.Gaps, ", ")})
	}
	if a := r.Figures.Adherence; a != nil {
		p.Policy = append(p.Policy, Line{"kept", fmt.Sprintf("%.1f%% of %s pauses, by the MTA's own rule; %s too early (by up to %.1f s), %s too late (by up to %.1f s)", 100*a.Share(), text.Count(a.Gaps),
			text.Count(a.Early), a.WorstEarly, text.Count(a.Late), a.WorstLate)})
	}
	for _, d := range r.Figures.Delay {
		p.Delays = append(p.Delays, delayOf(d.Injected, "", &d))
	}
	for i := range r.Figures.Domains {
		d := &r.Figures.Domains[i]
		note := "healthy"
		if d.Affected {
			note = "in the storm"
		}
		p.Domains = append(p.Domains, delayOf(d.Domain, note, &d.Delay))
	}
	if l := r.Log; l != nil {
		for _, kind := range []string{"accepted", "sent", "deferred", "suspended", "bounced", "expired"} {
			if n := l.Events[kind]; n > 0 {
				p.Events = append(p.Events, Line{kind, text.Count(n)})
			}
		}
	}
	p.Facts = facts(r)
	for _, chart := range charts(r) {
		if chart.Empty() {
			continue
		}
		svg, err := chart.Inline()
		if err != nil {
			return nil, err
		}
		p.Charts = append(p.Charts, figure{chart.Title, template.HTML(svg)}) // #nosec G203 -- drawn by bench/plot, which escapes its texts
	}
	return p, nil
}

func delayOf(name, note string, d *measure.Delay) delayRow {
	return delayRow{name, note, text.Count(d.Units), text.Count(d.Delivered), text.Count(d.Failed), text.Count(d.Censored), seconds(d.P50), seconds(d.P90), seconds(d.P99), seconds(d.Max)}
}

func cell1(v *float64) string { return cellOf("%.1f", v) }
func cell2(v *float64) string { return cellOf("%.2f", v) }

func cellOf(format string, v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf(format, *v)
}

// facts are what a reader needs to run the same again.
func facts(r *Record) (out []Line) {
	p := &r.Provenance
	add := func(name, format string, args ...any) { out = append(out, Line{name, fmt.Sprintf(format, args...)}) }
	add("load", "%s messages of %s octets at %v a second, an open loop; source: %s", text.Count(r.Load.Messages), text.Count(r.Load.Size), r.Load.Rate, r.Load.Source)
	add("storm", "%s to %s, %.1f s of it drawn by the seed", r.Storm.Begin.UTC().Format(time.TimeOnly), r.Storm.End.UTC().Format(time.TimeOnly), r.Storm.Drawn)
	add("watched until", "%s (cutoff %s)", r.Storm.Watched.UTC().Format(time.TimeOnly), r.Storm.Cutoff.UTC().Format(time.TimeOnly))
	for _, i := range r.Storm.Incidents {
		add("incident", "%s: %s of the %s", i.Time.UTC().Format(time.TimeOnly), i.What, i.Who)
	}
	add("notifications", "%s of failures came home", text.Count(r.Notifications))
	add("seed", "%d", p.Seed)
	if len(p.CommandLine) > 0 {
		add("command", "%s", strings.Join(p.CommandLine, " "))
	}
	add("machine", "%s, kernel %s, %s, %d cores", p.OS, p.Kernel, p.CPUModel, p.Cores)
	add("began", "%s", p.Started.UTC().Format(time.RFC3339))
	return out
}

// charts draw the record. Time runs from the first submission.
func charts(r *Record) []*plot.Chart {
	zero := r.Storm.Begin.Sub(r.Load.Begin).Seconds() // of the figures, whose time runs from the storm's begin
	spans := spansOf(r)
	depth := plot.Line{Name: "messages in the queue", Style: 0}
	for _, s := range r.Samples {
		if at := s.At.Sub(r.Load.Begin).Seconds(); at >= 0 {
			depth.Seconds, depth.Values = append(depth.Seconds, at), append(depth.Values, float64(s.Depth))
		}
	}
	attempts, connections := plot.Line{Name: "attempts", Style: plot.AtSink}, plot.Line{Name: "new connections", Style: plot.Planned}
	submitted, delivered := plot.Line{Name: "submitted", Style: plot.AtClient}, plot.Line{Name: "first deliveries", Style: plot.Delivered}
	open := plot.Line{Name: "open connections", Style: 0}
	for _, s := range r.Figures.Rates {
		at := zero + float64(s.At)
		for _, l := range []struct {
			line *plot.Line
			n    int
		}{{&attempts, s.Attempts}, {&connections, s.Connections}, {&submitted, s.Submitted}, {&delivered, s.Delivered}, {&open, s.Open}} {
			l.line.Seconds, l.line.Values = append(l.line.Seconds, at), append(l.line.Values, float64(l.n))
		}
	}
	done, failed := plot.Line{Name: "delivered", Style: plot.Delivered, Seconds: []float64{0}, Values: []float64{0}}, plot.Line{Name: "failed", Style: 1, Seconds: []float64{0}, Values: []float64{0}}
	for _, p := range r.Figures.Incidence.Points { // steps
		n := len(done.Values) - 1
		done.Seconds, done.Values = append(done.Seconds, p.After, p.After), append(done.Values, done.Values[n], 100*p.Delivered)
		failed.Seconds, failed.Values = append(failed.Seconds, p.After, p.After), append(failed.Values, failed.Values[n], 100*p.Failed)
	}
	median, policy := plot.Line{Name: "median pause", Style: 0}, plot.Line{Name: "the policy's", Style: plot.Planned}
	for _, g := range r.Figures.Backoff {
		median.Seconds, median.Values = append(median.Seconds, float64(g.K)), append(median.Values, g.Median)
		if g.Policy != nil {
			policy.Seconds, policy.Values = append(policy.Seconds, float64(g.K)), append(policy.Values, *g.Policy)
		}
	}
	outcomes := []plot.Line{done}
	if failed.Values[len(failed.Values)-1] > 0 {
		outcomes = append(outcomes, failed)
	}
	const since = "seconds since the first submission"
	return []*plot.Chart{
		plot.Over(since, "depth", "Queue depth", "messages", false, []plot.Line{depth}, spans...),
		plot.Over(since, "attempts", "Attempts per second at the next hop", "per second", false, []plot.Line{attempts, connections}, spans...),
		plot.Over(since, "deliveries", "Submitted and delivered per second", "messages / s", false, []plot.Line{submitted, delivered}, spans...),
		plot.Over("seconds since the message should have been submitted", "incidence", "Cumulative incidence: delivered, and failed", "% of accepted messages", false, outcomes),
		plot.Over("pause", "pauses", "Pauses between the attempts of a message, against the policy", "seconds", false, []plot.Line{median, policy}),
		plot.Over(since, "open", "Open connections to the next hop", "connections", false, []plot.Line{open}, spans...),
	}
}

// spansOf shades the storm: its phases, where the ledger has them, else from begin to end.
func spansOf(r *Record) (out []plot.Span) {
	since := func(t time.Time) float64 { return t.Sub(r.Load.Begin).Seconds() }
	for i, p := range r.Storm.Phases {
		if p.Phase == "" {
			continue
		}
		to := r.Storm.End
		if i+1 < len(r.Storm.Phases) {
			to = r.Storm.Phases[i+1].Time
		}
		out = append(out, plot.Span{Name: p.Phase, From: since(p.Time), To: since(to)})
	}
	if len(out) == 0 {
		out = append(out, plot.Span{Name: r.Storm.Name, From: since(r.Storm.Begin), To: since(r.Storm.End)})
	}
	return out
}
