package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	counts "github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// A storm's phases stand behind every time axis, in its own seconds, and the last one lasts as long as the chart.
func TestTheStormsPhasesAreShaded(t *testing.T) {
	r := example()
	r.Legs[1].Phases = []result.PhaseBegin{{Time: epoch, Phase: "outage"}} // this run ended before the rest of its storm
	r.Legs[2].Phases = []result.PhaseBegin{{Time: epoch.Add(5 * time.Second), Phase: "outage"}, {Time: epoch.Add(20 * time.Second), Phase: "recovery"}}
	got := spans(r.Legs[2], epoch)
	if len(got) != 2 || got[0] != (plot.Span{Name: "outage", From: 5, To: 20}) || got[1].From != 20 || got[1].To < 1e9 {
		t.Errorf("spans %+v, want outage from 5 to 20 s and recovery from then on", got)
	}
	charts, err := Charts(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range charts {
		svg, err := c.Inline()
		if err != nil {
			t.Fatal(err)
		}
		overTime := strings.HasPrefix(c.Name, "time-") || strings.HasPrefix(c.Name, "delivery-progress") || strings.HasPrefix(c.Name, "delivery-queue") || strings.HasPrefix(c.Name, "delivery-delay")
		if shaded := strings.Contains(svg, ">recovery<"); shaded != overTime {
			t.Errorf("%s: phases shaded %v, want %v", c.Name, shaded, overTime)
		}
	}
	r.Legs[2].Phases = []result.PhaseBegin{{Time: epoch, Phase: "outage"}, {Time: epoch.Add(time.Second)}}
	if got := spans(r.Legs[2], epoch); len(got) != 1 {
		t.Errorf("spans %+v, want none after the last phase", got)
	}
}

// A load begins and ends in the middle of a window: no curve falls at its end as if the server had failed.
func TestTheEdgesOfALoadAreNoCliff(t *testing.T) {
	c := &result.Client{Series: []result.Series{{Metric: "smtp_msg_duration", Type: result.Trend, Unit: result.UnitMillis}}}
	for i, n := range []int{0, 6, 10, 10, 0, 10, 3, 0} {
		h := &result.Histogram{}
		for range n {
			h.Record(1)
		}
		c.Windows = append(c.Windows, result.Window{Start: epoch.Add(time.Duration(i) * time.Second), LengthSeconds: 1, Series: []result.WindowSeries{{Histogram: h}}})
	}
	if got, want := fmt.Sprint(windowSeries(c, "smtp_msg_duration").rate), "[NaN NaN 10 10 0 10 NaN NaN]"; got != want {
		t.Errorf("rates %s, want %s", got, want)
	}
}

// Pauses between attempts are a table, a row for each in turn.
func TestThePausesBetweenAttemptsAreATable(t *testing.T) {
	r := example()
	const title = "pause between attempts"
	if page := render(t, func(b *bytes.Buffer) error { return HTML(b, r) }); strings.Contains(page, title) {
		t.Error("a table of pauses, of which none was seen")
	}
	r.Legs[2].Delivery.Backoff = []result.Pause{{K: 1, Count: 1312, P5: 3000, P50: 3510, P95: 4020}, {K: 2, Count: 412, P5: 5900, P50: 6200, P95: 8100}}
	page := render(t, func(b *bytes.Buffer) error { return HTML(b, r) })
	for _, want := range []string{title, `<th>1 → 2</th><td class="num">1,312</td><td class="num">3,000</td><td class="num">3,510</td><td class="num">4,020</td>`, "<th>2 → 3</th>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Commands that were sent at once took one time together.
func TestPipelinedPhasesAreOneRow(t *testing.T) {
	client := func(pipelined string) *result.Record {
		h := &result.Histogram{}
		h.Record(5)
		r := result.New("x")
		r.Client = &result.Client{}
		for _, m := range []string{"smtp_msg_mail", "smtp_msg_rcpt", "smtp_msg_data"} {
			r.Client.Series = append(r.Client.Series, result.Series{Metric: m, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"pipelined": pipelined}, Histogram: h})
		}
		return r
	}
	for _, tt := range []struct {
		name string
		legs []*result.Record
		want string
	}{
		{"pipelined", []*result.Record{client("true")}, "MAIL, RCPT and DATA"},
		{"one by one", []*result.Record{client("false")}, "MAIL|RCPT|DATA"},
		{"both", []*result.Record{client("true"), client("false")}, "MAIL|RCPT|DATA"},
	} {
		var names []string
		for _, p := range phasesOf(tt.legs) {
			names = append(names, p.name)
		}
		if got := strings.Join(names, "|"); got != tt.want {
			t.Errorf("%s: rows %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What an MTA answers is not compared with what the sink answers.
func TestAnMTALegIsNotComparedWithTheSink(t *testing.T) {
	r := example()
	s, err := Summarize(r)
	if err != nil {
		t.Fatal(err)
	}
	for i, leg := range r.Legs {
		compared := s.Latency[0].Legs[i].differences != nil
		if want := i > 0 && leg.Provenance.MTA == nil; compared != want {
			t.Errorf("%s: compared with the first run: %v, want %v", leg.Label, compared, want)
		}
	}
}

func TestJSONSummary(t *testing.T) {
	text := render(t, func(b *bytes.Buffer) error { return JSON(b, example()) })
	var s Summary
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != reconcile.SummarySchema || s.Exit != 3 || len(s.Legs) != 3 || s.Latency[0].Metric != "smtp_msg_duration" {
		t.Errorf("summary: schema %q, exit status %d, %d legs", s.Schema, s.Exit, len(s.Legs))
	}
	p90 := s.Latency[0].Legs[1].Figures[1]
	if p90.Percentile != "p90" || p90.Value == nil || p90.DifferenceLo == nil || *p90.DifferenceLo <= 0 || *p90.Lo > *p90.Value {
		t.Errorf("p90 of the storm: %+v", p90)
	}
	if p99 := s.Latency[0].Legs[1].Figures[3]; p99.Percentile != "p99" || p99.Value == nil || p99.Lo != nil || p99.DifferenceLo != nil {
		t.Errorf("p99 of the storm has an interval from fewer than 120 blocks: %+v", p99)
	}
	if f := s.Legs[1].Failed; f.Difference == nil || *f.Difference < 0.3 || *f.Lo > *f.Difference {
		t.Errorf("failed messages of the storm: %+v", f)
	}
}

func TestRecordsWithOneSideOnly(t *testing.T) {
	a, b := calm(), calm()
	a.Sink, b.Client = nil, nil
	report := Report{Title: "Halves", Legs: []*result.Record{a, b, result.New("empty")}, Intervals: compare.IntervalOptions{Resamples: 50}}
	for name, f := range map[string]func(*bytes.Buffer) error{
		"HTML": func(w *bytes.Buffer) error { return HTML(w, report) },
		"JSON": func(w *bytes.Buffer) error { return JSON(w, report) },
		"Text": func(w *bytes.Buffer) error { return Text(w, report) },
	} {
		if out := render(t, f); !strings.Contains(out, "empty") {
			t.Errorf("%s leaves the empty run out", name)
		}
	}
	if err := HTML(&bytes.Buffer{}, Report{}); err == nil {
		t.Error("a report without runs was rendered")
	}
}

func TestChartsHaveNamesFitForFiles(t *testing.T) {
	charts, err := Charts(example())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range charts {
		if seen[c.Name] || !regexp.MustCompile(`^[a-z0-9_-]+$`).MatchString(c.Name) {
			t.Errorf("chart name %q is taken or unfit for a file", c.Name)
		}
		seen[c.Name] = true
	}
	for _, want := range []string{"curve-smtp_msg_waiting", "time-throughput", "codes-bounce-storm-rcpt", "delivery-queue-via-postfix"} {
		if !seen[want] {
			t.Errorf("no chart %q among %v", want, seen)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.4123: "0.412", 4.126: "4.13", 41.26: "41.3", 412.6: "413", 41260: "41,260", -3: "-3.00", math.Inf(1): "∞", 0.99999: "1.00"} {
		if got := millis(v); got != want {
			t.Errorf("millis(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{11.23: "11.2", 461.4: "461", 1038.2: "1,040", 123456: "123,000"} {
		if got := factor(v); got != want {
			t.Errorf("factor(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{950: "950", 1400.04: "1,400", 12.34: "12.3", 18000.5: "18,000.5", 0.96: "1"} {
		if got := expected(v); got != want {
			t.Errorf("expected(%v) = %q, want %q", v, got, want)
		}
	}
}

// The page opens with the verdict, then says what the storm did in three figures, then what became of the messages, each finding with its
// units, and only then what clients measured.
func TestThePageOpensWithTheVerdict(t *testing.T) {
	r := example()
	f := reconcile.NewFinding(reconcile.KindLost)
	f.Units = 21
	for i := range 20 {
		f.Evidence = append(f.Evidence, reconcile.Evidence{Token: fmt.Sprintf("s+%d@src.test", i), Recipient: "<script>@dst.test"})
	}
	r.Legs[2].Judgement.Fates[reconcile.Lost], r.Legs[2].Judgement.Findings = 21, []reconcile.Finding{f}
	after := 2.34
	r.Legs[1].Recovery, r.Legs[2].Recovery = &result.Recovery{Phase: "recovery", Seconds: &after}, &result.Recovery{}
	r.Legs[1].Sink.Attempts = counts.Attempts{Delivered: 600, Deferred: 300, Bounced: 100}
	page := html.UnescapeString(render(t, func(b *bytes.Buffer) error { return HTML(b, r) }))
	at := 0
	for _, want := range []string{
		`class="headline bad">FAULTS in 3,600 units: 21 lost`, "The sink refused, deferred", "10.00 % refused, 30.00 % deferred of 1,000 attempts; 37.80 % of the clients",
		"A message took", "p50 ", " → ", "First delivery after the storm's end", "2.3 s after the phase recovery began", "none after its last phase was over",
		"What became of the messages", "fault: lost, 21", "via Postfix: s+19@src.test to", "and 1 more: units.jsonl has all", "Delivery through an MTA", "Latency per phase",
	} {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("the page lacks %q after what comes before it:\n%.3000s", want, page[at:])
		}
		at += i
	}
	if raw := render(t, func(b *bytes.Buffer) error { return HTML(b, r) }); strings.Contains(raw, "<script>") {
		t.Error("a recipient's text became markup")
	}
}
