package report

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Charts returns every chart of a report that has something to show, in the
// page's order and with names fit for files.
func Charts(r Report) ([]*plot.Chart, error) {
	s, err := Summarize(r)
	if err != nil {
		return nil, err
	}
	all := append(curveCharts(s), timeCharts(s)...)
	for i := range s.Legs {
		for _, st := range stagesOf(&s.Legs[i]) {
			all = append(all, st.Chart)
		}
		all = append(all, deliveryCharts(&s.Legs[i])...)
	}
	return slices.DeleteFunc(all, func(c *plot.Chart) bool { return c == nil || c.Empty() }), nil
}

// curveCharts draws one percentile curve chart for each phase.
func curveCharts(s *Summary) []*plot.Chart {
	var out []*plot.Chart
	for _, p := range s.Latency {
		var curves []plot.Curve
		for i, leg := range s.Legs {
			if p.Legs[i].Count == 0 {
				continue
			}
			d := leg.record.Client.Total(p.Metric, nil)
			curves = append(curves, plot.Curve{Name: leg.Label, Hist: d, Seen: compare.SeenOf(leg.record, p.Metric), Style: i})
		}
		title := p.Name
		if title != p.Metric {
			title += " (" + p.Metric + ")"
		}
		out = append(out, plot.Percentiles("curve-"+p.Metric, title, curves))
	}
	return out
}

// leading is the metric whose time series stands for the run.
func leading(s *Summary) string {
	if len(s.Latency) == 0 {
		return ""
	}
	return s.Latency[0].Metric
}

func timeCharts(s *Summary) []*plot.Chart {
	metric := leading(s)
	var rate, p50, p99, refused []plot.Line
	var byClient, bySink []plot.Span // of the run that saw most of its storm
	for i, leg := range s.Legs {
		if c := leg.record.Client; c != nil {
			x := windowSeries(c, metric)
			if len(c.Windows) > 0 && len(leg.record.Phases) > len(byClient) {
				byClient = spans(leg.record, c.Windows[0].Start)
			}
			rate = append(rate, plot.Line{Name: leg.Label, Seconds: x.seconds, Values: x.rate, Style: i})
			p50 = append(p50, plot.Line{Name: leg.Label, Seconds: x.seconds, Values: x.p50, Style: i})
			p99 = append(p99, plot.Line{Name: leg.Label, Seconds: x.seconds, Values: x.p99, Style: i})
		}
		if k := leg.record.Sink; k != nil {
			refused = append(refused, refusals(leg.Label, k, i))
			if len(k.Windows) > 0 && len(leg.record.Phases) > len(bySink) {
				bySink = spans(leg.record, k.Windows[0].Start)
			}
		}
	}
	return []*plot.Chart{
		plot.OverTime("time-throughput", "Messages completed per second", "messages / s", false, rate, byClient...),
		plot.OverTime("time-refusals", "Share of sink replies that refuse (4xx and 5xx)", "% of replies", false, refused, bySink...),
		plot.OverTime("time-p50", "Median of "+metric, "latency (ms)", true, p50, byClient...),
		plot.OverTime("time-p99", "99th percentile of "+metric, "latency (ms)", true, p99, byClient...),
	}
}

type windowed struct{ seconds, rate, p50, p99 []float64 }

// windowSeries reads one trend over time. Windows without a value interrupt the
// lines. The load begins and ends in the middle of a window: the rates of the first and the
// last one in which messages were completed say nothing and are left out, and so is what comes after.
func windowSeries(c *result.Client, metric string) windowed {
	var out windowed
	first, last := -1, -1
	for i, w := range c.Windows {
		for _, ws := range w.Series {
			if c.Series[ws.Index].Metric == metric && ws.Histogram.Count() > 0 {
				if last = i; first < 0 {
					first = i
				}
			}
		}
	}
	for i, w := range c.Windows {
		h := &result.Histogram{}
		for _, ws := range w.Series {
			if c.Series[ws.Index].Metric == metric {
				h.Merge(ws.Histogram)
			}
		}
		out.seconds = append(out.seconds, since(c.Windows[0].Start, w.Start))
		rate, p50, p99 := math.NaN(), math.NaN(), math.NaN()
		if w.LengthSeconds > 0 && i > first && i < last {
			rate = float64(h.Count()) / w.LengthSeconds
		}
		if h.Count() > 0 {
			p50, p99 = h.Quantile(0.5), h.Quantile(0.99)
		}
		out.rate, out.p50, out.p99 = append(out.rate, rate), append(out.p50, p50), append(out.p99, p99)
	}
	return out
}

// refusals reads the share of replies that refuse over time. The load ends in the middle of a window, whose replies are those of few messages and of
// QUIT: the last one with any is left out.
func refusals(name string, k *result.Sink, style int) plot.Line {
	line := plot.Line{Name: name, Style: style}
	last := len(k.Windows) - 1
	for last > 0 && len(k.Windows[last].Replies) == 0 {
		last--
	}
	for i, w := range k.Windows {
		var refused, all float64
		for _, r := range w.Replies {
			all += float64(r.Count)
			if r.Code >= 400 {
				refused += float64(r.Count)
			}
		}
		v := math.NaN()
		if all > 0 && (i < last || last == 0) {
			v = 100 * refused / all
		}
		line.Seconds = append(line.Seconds, since(k.Windows[0].Start, w.Start))
		line.Values = append(line.Values, v)
	}
	return line
}

// spans are the storm's phases on a time axis that begins at start. The last one has no end.
func spans(r *result.Record, start time.Time) []plot.Span { return spansFrom(r.Phases, start) }

func spansFrom(phases []result.PhaseBegin, start time.Time) []plot.Span {
	var out []plot.Span
	for i, p := range phases {
		to := math.Inf(1)
		if i+1 < len(phases) {
			to = since(start, phases[i+1].Time)
		}
		if p.Phase != "" {
			out = append(out, plot.Span{Name: p.Phase, From: since(start, p.Time), To: to})
		}
	}
	return out
}

func since(start, t time.Time) float64 { return t.Sub(start).Seconds() }

// stageView is the replies of one stage of one run.
type stageView struct {
	Stage string
	Rows  []result.Row
	Drawn bool // a rule spoke at this stage
	Total uint64
	Chart *plot.Chart // nil where a single code needs no picture
}

// rowsOf returns a run's reconciled rows. Where nothing was reconciled they tell
// only what the sink planned and injected.
func rowsOf(leg *Leg) (rows []result.Row, reconciled bool) {
	if leg.Reconciliation != nil {
		return leg.Reconciliation.Rows, true
	}
	if leg.record.Sink == nil {
		return nil, false
	}
	return result.Reconcile(&result.Client{}, leg.record.Sink).Rows, false
}

// stagesOf groups a run's rows by stage.
func stagesOf(leg *Leg) []stageView {
	rows, reconciled := rowsOf(leg)
	var out []stageView
	for _, row := range rows {
		if n := len(out); n == 0 || out[n-1].Stage != row.Stage.String() {
			out = append(out, stageView{Stage: row.Stage.String()})
		}
		v := &out[len(out)-1]
		v.Rows = append(v.Rows, row)
		v.Total += row.Injected
		v.Drawn = v.Drawn || row.Drawn > 0
	}
	for i := range out {
		v := &out[i]
		if len(v.Rows) < 2 {
			continue
		}
		refuses := slices.ContainsFunc(v.Rows, refusal)
		title := "Replies at "
		if refuses { // beside the 250s nobody would see them: the table has those
			title = "Refusals at "
		}
		var bars []plot.CodeBar
		for _, r := range v.Rows {
			if refuses && !refusal(r) {
				continue
			}
			bar := plot.CodeBar{Label: r.Words(), Planned: r.Planned, Injected: float64(r.Injected), Observed: float64(r.Observed)}
			if !reconciled {
				bar.Observed = math.NaN()
			}
			bars = append(bars, bar)
		}
		v.Chart = plot.Codes("codes-"+fileName(leg.Label)+"-"+fileName(v.Stage), title+v.Stage+", "+leg.Label, bars)
	}
	return out
}

func refusal(r result.Row) bool { return r.Code >= 400 }

// fileName keeps letters and digits.
func fileName(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s)), "-")
}

// deliveryCharts draws what happened between client and sink, second by second. What was not seen is not drawn.
func deliveryCharts(leg *Leg) []*plot.Chart {
	d := leg.record.Delivery
	if d == nil || len(d.Series) == 0 {
		return nil
	}
	queue, delay := plot.Line{Name: "in the MTA's queue", Style: leg.style}, plot.Line{Name: "median, by the time of sending", Style: leg.style}
	sent, attempts, delivered := plot.Line{Name: "sent by the client", Style: plot.AtClient}, plot.Line{Name: "attempts at the sink", Style: plot.AtSink}, plot.Line{Name: "delivered to the sink", Style: plot.Delivered}
	for i, x := range d.Series {
		t := since(d.Series[0].Time, x.Time)
		add := func(l *plot.Line, at, v float64) { l.Seconds, l.Values = append(l.Seconds, at), append(l.Values, v) }
		if i > 0 && x.Time.Sub(d.Series[i-1].Time) > time.Second { // nothing happened in between
			for _, l := range []*plot.Line{&sent, &attempts, &delivered} {
				add(l, since(d.Series[0].Time, d.Series[i-1].Time)+1, 0)
				add(l, max(t-1, since(d.Series[0].Time, d.Series[i-1].Time)+1), 0)
			}
		}
		if x.Queued != nil {
			add(&queue, t, float64(*x.Queued))
		}
		if x.Delay != nil {
			add(&delay, t, *x.Delay)
		}
		add(&sent, t, float64(x.Sent))
		add(&attempts, t, float64(x.Attempts))
		add(&delivered, t, float64(x.Delivered))
	}
	name, storm := fileName(leg.Label), spans(leg.record, d.Series[0].Time)
	out := []*plot.Chart{plot.OverTime("delivery-progress-"+name, "Per second: sent, attempted, delivered", "recipients / s", false, []plot.Line{sent, delivered, attempts}, storm...)}
	if len(queue.Values) > 0 {
		out = append(out, plot.OverTime("delivery-queue-"+name, "Queue depth", "messages", false, []plot.Line{queue}, storm...))
	}
	if len(delay.Values) > 0 {
		out = append(out, plot.OverTime("delivery-delay-"+name, "Time to delivery", "delay (ms)", true, []plot.Line{delay}, storm...))
	}
	if d.Latency != nil {
		out = append(out, plot.Percentiles("delivery-latency-"+name, "Delivery latency", []plot.Curve{{Name: leg.Label, Hist: d.Latency, Style: leg.style}}))
	}
	if d.Gaps != nil {
		out = append(out, plot.Percentiles("delivery-gaps-"+name, "Time between two attempts of a message", []plot.Curve{{Name: leg.Label, Hist: d.Gaps, Style: leg.style}}))
	}
	return out
}
