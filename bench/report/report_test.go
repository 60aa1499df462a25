package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	counts "github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	outDir = flag.String("example", "", "a directory that the example's report.html is written to")
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// drawn is how often a synthetic rule at RCPT draws a code.
type drawn struct {
	code     int
	enhanced string
	p        float64
}

// run makes a synthetic record: seconds windows of perSecond messages whose
// final replies take about wait milliseconds, recipients getting the codes of rcpt.
func run(label string, seed uint64, seconds, perSecond int, wait float64, rcpt []drawn) *result.Record {
	r := rand.New(rand.NewPCG(seed, 1))
	rec := result.New(label)
	total := uint64(seconds * perSecond)
	status := 0
	rec.Load = result.Load{
		Script: "bounce-storm.js", ScriptSHA256: strings.Repeat("ab12", 16), Executor: "constant-arrival-rate", VUs: 50, RatePerSecond: float64(perSecond),
		ProbeRatePerSecond: 2.4 * float64(perSecond), IterationsPlanned: total, IterationsComplete: total, MessageSizeBytes: 1024, ExitStatus: &status,
		Thresholds: []result.Threshold{{Metric: "smtp_msg_waiting", Expression: "p(99)<250", OK: true}, {Metric: "smtp_msg_failed", Expression: "rate<0.2", OK: true}},
	}
	rec.Provenance = result.Provenance{
		Started: epoch, Ended: epoch.Add(time.Duration(seconds) * time.Second), Commit: "4680bf8c0ffee", Seed: seed, SinkMode: result.SinkEmbedded,
		Plan:     result.Plan{Name: label, Text: "seed: " + fmt.Sprint(seed) + "\nrules:\n  - stage: rcpt\n", SHA256: strings.Repeat("cd34", 16)},
		Versions: map[string]string{"go": "go1.26.1", "k6": "v2.2.0", "xk6-smtp": "v0.1.0"}, OS: "Debian GNU/Linux 13 (trixie)", Kernel: "6.12.0", Arch: "amd64",
		CPUModel: "Imaginary CPU @ 3 GHz", Cores: 2, GOMAXPROCS: 2, MemoryBytes: 8 << 30, OpenFilesLimits: "1024 soft, 524288 hard", CommandLine: []string{"smtpbench", "run"},
	}
	client, sink := &result.Client{Tool: "k6"}, &result.Sink{}
	sink.Connections, sink.Transactions, sink.BytesIn, sink.BytesOut = 50, total, total*1300, total*200
	trends := []struct {
		metric        string
		median, sigma float64
	}{
		{"smtp_msg_duration", wait + 0.6, 0.5}, {"smtp_msg_mail", 0.11, 0.4}, {"smtp_msg_rcpt", 0.13, 0.5}, {"smtp_msg_data", 0.10, 0.4},
		{"smtp_msg_sending", 0.02, 0.3}, {"smtp_msg_waiting", wait, 0.7}, {"iteration_duration", wait + 0.9, 0.5},
	}
	for _, tr := range trends {
		client.Series = append(client.Series, result.Series{Metric: tr.metric, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"scenario": "storm"}, Histogram: &result.Histogram{}})
	}
	replies := map[[2]string]float64{}
	injected := make([]uint64, len(rcpt))
	var failed uint64
	for s := range seconds {
		at := epoch.Add(time.Duration(s) * time.Second)
		w := result.Window{Start: at, LengthSeconds: 1}
		k := counts.Window{Start: at, LengthSeconds: 1}
		slow := math.Exp(0.15 * r.NormFloat64())
		for i, tr := range trends {
			h := &result.Histogram{}
			for range perSecond {
				h.Record(tr.median * slow * math.Exp(tr.sigma*r.NormFloat64()))
			}
			client.Series[i].Histogram.Merge(h)
			w.Series = append(w.Series, result.WindowSeries{Index: i, Histogram: h})
		}
		perCode := make([]uint64, len(rcpt))
		for range perSecond {
			perCode[draw(r.Float64(), rcpt)]++
		}
		for i, n := range perCode {
			injected[i] += n
			k.Replies = append(k.Replies, counts.WindowReply{Stage: smtp.StageRcpt, Code: smtp.Code(rcpt[i].code), Count: n})
			if rcpt[i].code >= 400 {
				failed += n
			}
		}
		client.Windows, sink.Windows = append(client.Windows, w), append(sink.Windows, k)
	}
	rule := counts.Rule{Name: "refusals", Stage: smtp.StageRcpt, Occurrences: total}
	for i, w := range rcpt {
		cause := counts.CauseRule + rule.Name
		if len(rcpt) == 1 {
			cause = counts.CausePlain
		}
		reply := replied("rcpt", w.code, w.enhanced, cause, injected[i])
		rule.Outcomes = append(rule.Outcomes, counts.Outcome{Code: reply.Code, Enhanced: reply.Enhanced, Probability: w.p, Injected: injected[i]})
		if len(rcpt) > 1 {
			reply.Planned = w.p * float64(total)
		}
		sink.Replies = append(sink.Replies, reply)
		replies[[2]string{"rcpt " + strconv.Itoa(w.code), w.enhanced}] = float64(injected[i])
	}
	if len(rcpt) > 1 {
		sink.Rules = []counts.Rule{rule}
	}
	plain := func(stage string, code int, enhanced string, n uint64) {
		sink.Replies = append(sink.Replies, replied(stage, code, enhanced, counts.CausePlain, n))
		replies[[2]string{stage + " " + strconv.Itoa(code), enhanced}] = float64(n)
	}
	plain("connect", 220, "", 50)
	plain("ehlo", 250, "", 50)
	plain("mail", 250, "2.1.0", total)
	plain("data", 354, "", total-failed)
	plain("message", 250, "2.0.0", total-failed)
	plain("quit", 221, "2.0.0", 50)
	sink.Messages = total - failed
	for k, n := range replies {
		stage, code, _ := strings.Cut(k[0], " ")
		client.Series = append(client.Series, result.Series{Metric: result.MetricReplies, Type: result.Counter,
			Tags: result.Tags{"phase": stage, "code": code, "enhanced": k[1]}, Stats: &result.Summary{Count: uint64(n), Sum: n, Min: 1, Max: 1}})
	}
	client.Series = append(client.Series, result.Series{Metric: failedMetric, Type: result.Rate, Passes: failed, Fails: total - failed})
	rec.Client, rec.Sink = client, sink
	return rec
}

// replied counts replies of a sink, all of them sent.
func replied(stage string, code int, enhanced, cause string, n uint64) counts.Reply {
	at, err := smtp.ParseStage(stage)
	var e smtp.Enhanced
	if err = errors.Join(err, e.UnmarshalText([]byte(enhanced))); err != nil {
		panic(err)
	}
	return counts.Reply{Kind: counts.Kind{Stage: at, Code: smtp.Code(code), Enhanced: e, Cause: cause}, Decided: n, Sent: n}
}

func draw(u float64, table []drawn) int {
	for i, w := range table {
		if u -= w.p; u < 0 {
			return i
		}
	}
	return len(table) - 1
}

func calm() *result.Record {
	return run("calm", 7, 30, 700, 0.9, []drawn{{250, "2.1.5", 1}})
}

func storm() *result.Record {
	r := run("bounce storm", 8, 30, 700, 6, []drawn{{250, "2.1.5", 0.62}, {450, "4.2.0", 0.22}, {451, "4.3.0", 0.09}, {550, "5.1.1", 0.05}, {552, "5.2.2", 0.02}})
	crossed := result.ThresholdsCrossed
	r.Load.ExitStatus = &crossed
	r.Load.Thresholds[1].OK = false
	r.Sink.Replies[len(r.Sink.Replies)-1].Unread = 3 // of QUIT
	for i := range r.Client.Series {
		if s := &r.Client.Series[i]; s.Metric == result.MetricReplies && s.Tags["phase"] == "quit" {
			s.Stats.Sum -= 2
		}
	}
	return r
}

func viaPostfix() *result.Record {
	r := run("via Postfix", 9, 30, 120, 2.5, []drawn{{250, "2.1.5", 1}})
	// The client talks to Postfix, whose replies the sink doesn't inject.
	for i := range r.Client.Series {
		if s := &r.Client.Series[i]; s.Metric == result.MetricReplies && s.Tags["phase"] == "message" {
			s.Stats.Sum += 11
		}
	}
	r.Provenance.MTA = &result.MTA{Name: "Postfix", Version: "3.10.1", Config: "minimal_backoff_time = 5s"}
	r.Provenance.Versions["postfix"] = "3.10.1"
	r.Load.IterationsDropped = 60
	r.Judgement = &reconcile.Result{Messages: 3600, Units: 3600, Runs: 1, Attempts: 5266, Deliveries: 3540}
	r.Judgement.Fates[reconcile.Delivered], r.Judgement.Fates[reconcile.DuplicatedAmbiguous], r.Judgement.Fates[reconcile.Refused], r.Judgement.Fates[reconcile.Undetermined] = 3540, 2, 51, 7
	d := &result.Delivery{CutoffSeconds: 60, Gaps: &result.Histogram{},
		Attempts: []result.AttemptCount{{Attempts: 1, Messages: 2230}, {Attempts: 2, Messages: 900}, {Attempts: 3, Messages: 412}}, Latency: &result.Histogram{}}
	x := rand.New(rand.NewPCG(3, 3))
	for range 3542 {
		d.Latency.Record(80 * math.Exp(1.4*x.NormFloat64()))
	}
	for range 1724 {
		d.Gaps.Record(5000 + 1000*x.Float64())
	}
	for s := range 60 {
		delay := 80 + 2*float64(s)
		queued := uint64(400 * math.Exp(-math.Pow(float64(s-30)/12, 2)))
		d.Series = append(d.Series, result.DeliverySample{Time: epoch.Add(time.Duration(s) * time.Second), Queued: &queued, Sent: 60, Attempts: 87, Delivered: 59, Delay: &delay})
	}
	r.Delivery = d
	r.Notes = []string{"The sink was the next hop of a private Postfix instance on a loopback port."}
	return r
}

func example() Report {
	return Report{Title: "Calm and bounce storm", Generated: epoch.Add(time.Hour), Legs: []*result.Record{calm(), storm(), viaPostfix()}, Intervals: compare.IntervalOptions{Seed: 1, Resamples: 300}}
}

func render(t *testing.T, f func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestTextGolden(t *testing.T) {
	r := example()
	r.Legs = r.Legs[:2]
	golden(t, "text.golden", render(t, func(b *bytes.Buffer) error { return Text(b, r) }))
}

func TestOneRunHasATableOfItsOwn(t *testing.T) {
	text := render(t, func(b *bytes.Buffer) error {
		return Text(b, Report{Title: "Calm", Legs: []*result.Record{calm()}, Intervals: compare.IntervalOptions{Resamples: 50}})
	})
	if !strings.Contains(text, "smtp_msg_waiting") || strings.Contains(text, "difference  ") {
		t.Errorf("a single run:\n%s", text)
	}
}

func TestDroppedIterationsPrintAsBeyondMax(t *testing.T) {
	a, b := calm(), storm()
	b.Load.IterationsDropped = 1500 // beside 21,000: above p93.3 nothing is known
	table := render(t, func(w *bytes.Buffer) error {
		return Text(w, Report{Title: "Dropped", Legs: []*result.Record{a, b}, Intervals: compare.IntervalOptions{Resamples: 50}})
	})
	row := regexp.MustCompile(`(?m)^smtp_msg_duration\n.*\n.* p90 .*\n.* p95 (.*)\n`).FindStringSubmatch(table)
	if row == nil || !strings.Contains(row[1], "> max") || !strings.Contains(row[1], "unknown") {
		t.Errorf("p95 with dropped iterations: %q in\n%s", row, table)
	}
}

// The page must open offline: no element may refer to anything outside it.
func TestHTMLIsSelfContained(t *testing.T) {
	page := render(t, func(b *bytes.Buffer) error { return HTML(b, example()) })
	if *outDir != "" {
		if err := os.WriteFile(filepath.Join(*outDir, "report.html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{
		`(?i)<(script|link|iframe|object|embed|img|base|form)\b`, `(?i)\b(src|href|action|poster|data|srcset)\s*=\s*["']?(?:[a-z]+:)?//`,
		`(?i)@import`, `(?i)url\(`, `(?i)xlink:href`, `(?i)http-equiv`,
	} {
		if m := regexp.MustCompile(bad).FindString(page); m != "" {
			t.Errorf("the page holds %q", m)
		}
	}
	for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if id, ok := strings.CutPrefix(href[1], "#"); !ok || !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("the page links to %q, which isn't on it", href[1])
		}
	}
	for _, address := range regexp.MustCompile(`https?://[^"<\s]*`).FindAllString(page, -1) {
		if address != "http://www.w3.org/2000/svg" { // a name, not a place
			t.Errorf("the page mentions %s", address)
		}
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "NaN") {
		t.Error("the page holds an unsafe or a missing value")
	}
}

func TestHTMLShowsWhatANewcomerNeeds(t *testing.T) {
	page := render(t, func(b *bytes.Buffer) error { return HTML(b, example()) })
	for _, want := range []string{
		"k6 exit status", "99: a threshold was crossed", "1 of 2 crossed: smtp_msg_failed rate&lt;0.2", "injected = observed", "replies in flight",
		"waiting for the verdict", "p50", "max", "&gt; max", "450 4.2.0", "Goodness of fit", "χ²", "Messages completed per second", "Delivery through an MTA",
		"duplicated-ambiguous", "Queue depth", "60 iterations were dropped", "plan sha256", "Postfix 3.10.1", "Glossary", "within-run",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
}

func TestHTMLEscapesWhatTheRecordSays(t *testing.T) {
	r := calm()
	r.Label = `<script>alert(1)</script>"`
	page := render(t, func(b *bytes.Buffer) error {
		return HTML(b, Report{Title: "<b>x", Legs: []*result.Record{r, r}, Intervals: compare.IntervalOptions{Resamples: 50}})
	})
	if strings.Contains(page, "<script") || strings.Contains(page, "<b>x") {
		t.Error("a label reached the page unescaped")
	}
}

func TestAnUnexplainedDifferenceFailsTheReport(t *testing.T) {
	r := storm()
	r.Sink.Replies[len(r.Sink.Replies)-1].Unread = 0 // of QUIT
	report := Report{Title: "Storm", Legs: []*result.Record{calm(), r}, Intervals: compare.IntervalOptions{Resamples: 50}}
	s, err := Summarize(report)
	if err != nil {
		t.Fatal(err)
	}
	if s.Exit != 1 || s.Legs[1].Reconciliation.Balanced {
		t.Fatalf("two lost replies: exit status %d, %+v", s.Exit, s.Legs[1].Reconciliation.Totals)
	}
	page := render(t, func(b *bytes.Buffer) error { return HTML(b, report) })
	text := render(t, func(b *bytes.Buffer) error { return Text(b, report) })
	const want = "quit 221 2.0.0: injected 50, observed 48, in flight 0: 2 unexplained"
	if !strings.Contains(page, want) || !strings.Contains(page, "FAULTS: 1 harness-mismatch (bounce storm: quit 221 2.0.0: injected 50") || !strings.Contains(strings.Join(strings.Fields(text), " "), "not reconciled: bounce storm: "+want) {
		t.Errorf("page or text don't name the difference:\n%s", text)
	}
}

// Behind an MTA the two sides don't speak with each other: nothing balances, and
// nothing has to.
func TestAnMTALegIsNotReconciled(t *testing.T) {
	s, err := Summarize(Report{Legs: []*result.Record{viaPostfix()}, Intervals: compare.IntervalOptions{Resamples: 50}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Exit != 3 || s.Legs[0].Reconciliation != nil {
		t.Errorf("exit status %d, reconciliation %+v", s.Exit, s.Legs[0].Reconciliation)
	}
	page := render(t, func(b *bytes.Buffer) error { return HTML(b, example()) })
	for _, want := range []string{"the MTA stands between client and sink", "what the MTA answered to the client", "3,611"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
}

func TestTheVerdictSaysWhatWasProved(t *testing.T) {
	fates := func(r *Report, delivered, lost uint64) {
		b := &reconcile.Result{Messages: delivered + lost, Units: delivered + lost, Attempts: delivered}
		b.Fates[reconcile.Delivered], b.Fates[reconcile.Lost] = delivered, lost
		if lost > 0 {
			f := reconcile.NewFinding(reconcile.KindLost)
			f.Units, f.Evidence = lost, []reconcile.Evidence{{Token: "s+1", Recipient: "r1@dst.test"}}
			b.Findings = append(b.Findings, f)
		}
		r.Legs[2].Judgement = b
	}
	const balance, once = "each of the 152,424 replies that the sink injected was observed", "all 3,600 units accounted for"
	for _, tt := range []struct {
		what     string
		change   func(r *Report)
		verdict  string
		exit     int
		want     []string
		unwanted []string
	}{
		{"all arrived", func(r *Report) { fates(r, 3600, 0) }, "sound", 0, []string{balance, once}, nil},
		{"some did not", func(*Report) {}, "undetermined", 3, []string{"UNDETERMINED: 7 of 3,600 units"}, []string{once, balance}},
		{"16 of 1,000 are lost", func(r *Report) { fates(r, 984, 16) }, "faults", 1, []string{"FAULTS in 1,000 units: 16 lost"}, []string{once}},
		{"not all was sent", func(r *Report) { fates(r, 3600, 0); r.Legs[1].Load.Stopped = "9 of 10 were sent" }, "undetermined", 3,
			[]string{"UNDETERMINED: not all of the load was carried out (bounce storm: 9 of 10 were sent); of the 3,600 units that were sent, none is lost"}, []string{once, balance}},
		{"a threshold was crossed", func(r *Report) { fates(r, 3600, 0); r.Legs[0].Load.Thresholds[0].OK = false }, "thresholds", 99,
			[]string{"THRESHOLDS crossed (calm: smtp_msg_waiting p(99)<250)", once}, nil},
		{"faults go before all else", func(r *Report) {
			fates(r, 3599, 1)
			r.Legs[1].Load.Stopped, r.Legs[0].Load.Thresholds[0].OK = "9 of 10 were sent", false
		}, "faults", 1, []string{"FAULTS in 3,600 units: 1 lost; not all of the load was carried out (bounce storm: 9 of 10 were sent); thresholds crossed (calm: "}, nil},
		{"nobody came", func(r *Report) {
			r.Legs = r.Legs[:1]
			r.Legs[0].Client = &result.Client{}
			r.Legs[0].Sink = &result.Sink{}
		}, "faults", 1, []string{"FAULTS: 1 harness-mismatch (the sink saw no client: "}, []string{balance}},
		{"one side", func(r *Report) { r.Legs = r.Legs[:1]; r.Legs[0].Sink = nil }, "sound", 0, []string{"nothing was recorded on both sides"}, []string{balance}},
	} {
		r := example()
		for _, leg := range r.Legs { // but for what the case is about
			leg.Load.ExitStatus = nil
			leg.Load.Thresholds = []result.Threshold{{Metric: "smtp_msg_waiting", Expression: "p(99)<250", OK: true}}
		}
		tt.change(&r)
		s, err := Summarize(r)
		if err != nil {
			t.Fatal(err)
		}
		v := s.Verdict
		if v.Verdict != tt.verdict || v.Exit != tt.exit {
			t.Errorf("%s: %s, exit status %d; want %s, %d", tt.what, v.Verdict, v.Exit, tt.verdict, tt.exit)
		}
		for _, want := range tt.want {
			if !strings.Contains(v.Sentence, want) {
				t.Errorf("%s: the verdict %q lacks %q", tt.what, v.Sentence, want)
			}
		}
		for _, unwanted := range tt.unwanted {
			if strings.Contains(v.Sentence, unwanted) {
				t.Errorf("%s: the verdict %q says %q", tt.what, v.Sentence, unwanted)
			}
		}
		// The page says the same, and so does the summary.
		page := render(t, func(b *bytes.Buffer) error { return HTML(b, r) })
		if asJSON := render(t, func(b *bytes.Buffer) error { return JSON(b, r) }); !strings.Contains(html.UnescapeString(page), v.Sentence) || !strings.Contains(asJSON, v.Sentence) {
			t.Errorf("%s: page or summary lack the verdict %q", tt.what, v.Sentence)
		}
		if bad := strings.Contains(page, `class="headline bad"`); bad != (v.Exit != 0) {
			t.Errorf("%s: the page's headline is marked as bad: %v, exit status %d", tt.what, bad, v.Exit)
		}
	}
}

// An MTA's queue that nobody saw is no queue of 0.
func TestAnUnseenQueueIsNotDrawn(t *testing.T) {
	r := example()
	seen := render(t, func(b *bytes.Buffer) error { return HTML(b, r) })
	for i := range r.Legs[2].Delivery.Series {
		r.Legs[2].Delivery.Series[i].Queued = nil
	}
	unseen := render(t, func(b *bytes.Buffer) error { return HTML(b, r) })
	if !strings.Contains(seen, "Queue depth") || strings.Contains(unseen, "Queue depth") {
		t.Error("the depth of a queue must be drawn when it was seen, and only then")
	}
}
