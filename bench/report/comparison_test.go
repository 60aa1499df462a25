package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	counts "github.com/smtpstorm/xk6-smtp/sink/count"
)

// comparedRun is run i of a side: B is 20 ms slower and defers 7 % instead of 5 % of 2,000 messages, in ten windows with two phases.
func comparedRun(side string, block int) *result.Record {
	r := result.New(map[string]string{"A": "main", "B": "branch"}[side])
	order := 2*block - 1
	if (side == "B") != (block%2 == 0) {
		order++
	}
	start := epoch.Add(time.Duration(order) * time.Minute)
	r.Provenance = result.Provenance{Started: start, Ended: start.Add(10 * time.Second), Seed: uint64(block), Plan: result.Plan{Name: "storm"}}
	r.Load = result.Load{Script: "bounce-storm.js", Executor: "constant-arrival-rate", RatePerSecond: 200, DurationSeconds: 10, IterationsComplete: 2000}
	r.Design = &result.Design{Experiment: "x", Seed: 3, Side: side, Block: block, Order: order}
	r.Phases = []result.PhaseBegin{{Time: start.Add(2 * time.Second), Phase: "outage"}, {Time: start.Add(6 * time.Second), Phase: "recovery"}}
	c := &result.Client{Series: []result.Series{
		{Metric: compare.MetricDuration, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"code": "250"}, Histogram: &result.Histogram{}},
		{Metric: compare.MetricDuration, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"code": "451"}, Histogram: &result.Histogram{}},
		{Metric: compare.MetricFailed, Type: result.Rate, Stats: &result.Summary{}},
		{Metric: result.MetricReplies, Type: result.Counter, Tags: result.Tags{"phase": "message", "code": "250", "enhanced": "2.0.0"}, Stats: &result.Summary{}},
		{Metric: result.MetricReplies, Type: result.Counter, Tags: result.Tags{"phase": "message", "code": "451", "enhanced": "4.3.0"}, Stats: &result.Summary{}},
	}}
	deferred, extra := uint64(10), 0.0
	if side == "B" {
		deferred, extra = 14, 20
	}
	deferred += uint64(block % 3)
	for i := range 10 {
		w := result.Window{Start: start.Add(time.Duration(i) * time.Second), LengthSeconds: 1}
		for j, n := range []uint64{200 - deferred, deferred} {
			h := &result.Histogram{}
			for k := range n {
				h.Record(10 + extra + float64(block)*0.1 + float64(k%50))
			}
			c.Series[j].Histogram.Merge(h)
			sum := result.Summary{Count: n, Sum: float64(n), Min: 1, Max: 1}
			c.Series[3+j].Stats.Merge(sum)
			w.Series = append(w.Series, result.WindowSeries{Index: j, Histogram: h}, result.WindowSeries{Index: 3 + j, Stats: &sum})
		}
		c.Windows = append(c.Windows, w)
		c.Series[2].Passes += deferred
		c.Series[2].Fails += 200 - deferred
	}
	r.Client = c
	r.Sink = &result.Sink{Counts: counts.Counts{Replies: []counts.Reply{
		replied("message", 250, "2.0.0", "plain", 2000-10*deferred), replied("message", 451, "4.3.0", "rule", 10*deferred),
	}}}
	return r
}

func comparison(t *testing.T) Comparison {
	t.Helper()
	var sides [2]*compare.Side
	for i, name := range []string{"A", "B"} {
		sides[i] = &compare.Side{}
		for block := 1; block <= 8; block++ {
			run, err := compare.Reduce(fmt.Sprintf("%03d-%s.json", block, name), comparedRun(name, block), 0, false)
			if err != nil {
				t.Fatal(err)
			}
			sides[i].Runs = append(sides[i].Runs, run)
		}
	}
	r, err := compare.Compare(sides[0], sides[1], compare.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return Comparison{Result: r, Command: "smtpbench compare results/ab"}
}

// TestAComparisonInWords: the verdict stands before every figure, and finds what was put in: 20 ms and 2 points.
func TestAComparisonInWords(t *testing.T) {
	page := render(t, func(b *bytes.Buffer) error { return ComparisonText(b, comparison(t)) })
	flat := strings.Join(strings.Fields(page), " ")
	for _, want := range []string{
		"p50 of the whole message is greater with branch by", "share deferred is greater with branch by 2.00 points",
		"p50(msg_duration)", "greater", "message 451, of its stage", "+2.00pt", "Shift function of the whole message: differs at p10 +20.0ms",
		"all 256 relabellings",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("the text lacks %q:\n%s", want, page)
		}
	}
	if verdict, table := strings.Index(flat, "is greater with branch"), strings.Index(flat, "p50(msg_duration)"); verdict > table {
		t.Errorf("the table stands before the verdict:\n%s", page)
	}
}

// TestAComparisonSaysInWhatTheSidesDiffer, also where that is what was to be compared.
func TestAComparisonSaysInWhatTheSidesDiffer(t *testing.T) {
	c := comparison(t)
	c.Differ = []compare.Differ{{What: "plans", A: []string{"calm"}, B: []string{"storm"}}, {What: "kernels", A: []string{"6.1", "6.2"}, B: []string{"6.1"}, Within: true}}
	for want, write := range map[string]func(io.Writer, Comparison) error{"differ   in plans (calm; storm)\n": ComparisonText, "The sides differ in plans (calm; storm).\n": ComparisonMarkdown} {
		if text := render(t, func(b *bytes.Buffer) error { return write(b, c) }); !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
}

func TestThePageOfAComparison(t *testing.T) {
	c := comparison(t)
	page := render(t, func(b *bytes.Buffer) error { return ComparisonHTML(b, c) })
	at := 0
	for _, want := range []string{
		"<title>main against branch</title>", `class="headline">`, "p50 of the whole message is greater with branch", `<h2 id="verdict">`, "p50(msg_duration)", "Time to acceptance",
		`<h2 id="curves">`, "<svg", `<h2 id="shift">`, `<h2 id="errors">`, "message 451", `<h2 id="time">`, "Durations of accepted messages over time: main", ">outage<", ">recovery<",
		"Codes over time: branch", `<h2 id="replies">`, "planned", "injected", "observed", `<h2 id="warnings">`, `<h2 id="provenance">`, "008-B.json", "<pre>smtpbench compare results/ab</pre>",
	} {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("the page lacks %q, or it stands before what belongs before it", want)
		}
		at += i
	}
	if len(page) > 3_000_000 {
		t.Errorf("the page has %d octets", len(page))
	}
	for _, loaded := range []string{"<script", "src=", "@import", "url("} {
		if strings.Contains(page, loaded) {
			t.Errorf("the page has %q: nothing is loaded", loaded)
		}
	}
}

// TestTheFiguresOfAComparisonHaveNames by which smtpbench plot finds them, and a file can be called.
func TestTheFiguresOfAComparisonHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, chart := range ComparisonCharts(comparison(t)) {
		if seen[chart.Name] || !regexp.MustCompile(`^[\w.-]+$`).MatchString(chart.Name) {
			t.Errorf("figure %q: twice, or no name of a file", chart.Name)
		}
		seen[chart.Name] = true
	}
	for _, want := range []string{"curve-smtp_msg_duration-accepted", "shift-smtp_msg_duration-accepted", "heat-A", "heat-B", "outcomes-A", "codes-over-time-A", "codes-over-time-B"} {
		if !seen[want] {
			t.Errorf("no figure %s among %v", want, seen)
		}
	}
}

func TestAComparisonForPrograms(t *testing.T) {
	c := comparison(t)
	var whole struct {
		Schema string
		Rows   []struct {
			Name, Verdict string
			Primary       bool
			Shift         *struct{ Estimate, Lo, Hi, P float64 }
		}
	}
	if err := json.Unmarshal([]byte(render(t, func(b *bytes.Buffer) error { return ComparisonJSON(b, c) })), &whole); err != nil {
		t.Fatal(err)
	}
	if r := whole.Rows[0]; whole.Schema != ComparisonSchema || r.Name != "p50(msg_duration)" || !r.Primary || r.Verdict != "greater" || r.Shift == nil || r.Shift.Lo > 20 || r.Shift.Hi < 20 || r.Shift.P > 0.008 {
		t.Errorf("%s: first row %+v", whole.Schema, whole.Rows[0])
	}
	rows, err := csv.NewReader(strings.NewReader(render(t, func(b *bytes.Buffer) error { return ComparisonCSV(b, c) }))).ReadAll()
	if err != nil || len(rows) != len(whole.Rows)+1 {
		t.Errorf("CSV: %d lines for %d rows, %v", len(rows), len(whole.Rows), err)
	}
	if md := render(t, func(b *bytes.Buffer) error { return ComparisonMarkdown(b, c) }); !strings.Contains(md, `| p50(msg\_duration) | 33.5 | 53.2 |`) {
		t.Errorf("Markdown:\n%s", md)
	}
}
