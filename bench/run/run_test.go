package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// options returns those of a run with the fake k6 in place of the real one; how says what it gets wrong.
func options(t *testing.T, how string) (Options, *bytes.Buffer) {
	t.Helper()
	t.Setenv("FAKE_K6", how)
	return soundOptions(t)
}

// soundOptions are those of a run with a fake k6 that gets nothing wrong.
func soundOptions(t *testing.T) (Options, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		k6.CalmScript: "// calm", k6.StormScript: "// storm",
		k6.StormPlan: "version: 1\nname: faults\nseed: 3\nrules:\n  - name: refuse some\n    stage: rcpt\n    outcomes:\n      - {weight: 1}\n      - {weight: 1, reply: {code: 450, enhanced: 4.2.0}}\n",
		k6.MTAPlan:   "version: 1\nname: mild\nrules:\n  - name: defer first attempts\n    stage: rcpt\n    match: {attempt: 1}\n    reply: 450\n",
	} {
		path := filepath.Join(dir, "scripts", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k6, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var console bytes.Buffer
	return Options{
		K6: k6, Scripts: filepath.Join(dir, "scripts"), Out: filepath.Join(dir, "out"), Rate: 100, Messages: fakeMessages, MTA: MTANone, Console: &console,
	}, &console
}

// files lists what a directory holds, sorted.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRunJoinsCalmAndStorm(t *testing.T) {
	o, console := options(t, "ok")
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Exit != 0 || outcome.Interrupted || len(outcome.Legs) != 2 {
		t.Fatalf("outcome %+v, want two legs and no problem\n%s", outcome, console)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	for i, script := range []string{k6.CalmScript, k6.StormScript} {
		if got := outcome.Legs[i].Record.Load.Script; got != script {
			t.Errorf("leg %d ran %s, want %s", i, got, script)
		}
	}
	want := []string{".smtpstorm-results", "calm", "calm.json", "comparison.txt", "k6-calm-summary.txt", "k6-calm.log", "k6-storm-summary.txt", "k6-storm.log",
		"plots", "report.html", "sink-calm.json", "sink-storm.json", "storm", "storm.json", "summary.json"}
	if got := files(t, o.Out); !slices.Equal(got, want) {
		t.Errorf("results hold %q\nwant %q", got, want)
	}
	if got := files(t, filepath.Dir(o.Out)); !slices.Equal(got, []string{"out", "scripts"}) {
		t.Errorf("beside the results: %q, want nothing temporary left", got)
	}
	storm, err := result.Read(filepath.Join(o.Out, "storm.json"))
	if err != nil {
		t.Fatal(err)
	}
	if p := storm.Provenance; p.Seed != 3 || p.Plan.Name != "faults" || p.SinkMode != result.SinkEmbedded || p.Plan.SHA256 == "" {
		t.Errorf("provenance of the storm: %+v", p)
	}
	if l := storm.Load; l.RatePerSecond != 100 || l.VUs != DefaultVUs || l.ExitStatus == nil || *l.ExitStatus != 0 {
		t.Errorf("load of the storm: %+v", l)
	}
	c := result.Reconcile(storm.Client, storm.Sink)
	i := slices.IndexFunc(c.Rows, func(r result.Row) bool { return r.Stage == smtp.StageRcpt && r.Code == 450 })
	if i < 0 {
		t.Fatalf("the storm refused no recipient: %+v", c.Rows)
	}
	if r := c.Rows[i]; r.Planned != fakeMessages/2 || r.Injected == 0 || r.Injected != r.Observed || r.Enhanced.String() != "4.2.0" {
		t.Errorf("row %+v; want %d planned, and injected = observed", r, fakeMessages/2)
	}
	for _, text := range []string{"calm against faults", "verdict  SOUND: all 80 units accounted for", "report   "} {
		if !strings.Contains(console.String(), text) {
			t.Errorf("the console lacks %q:\n%s", text, console)
		}
	}
	var summary report.Summary
	text, err := os.ReadFile(filepath.Join(o.Out, summaryFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &summary); err != nil || summary.Exit != 0 || summary.Units != 2*fakeMessages || len(summary.Legs) != 2 {
		t.Errorf("summary: %v, %+v", err, summary)
	}
}

func TestRunNamesADifferenceAndFails(t *testing.T) {
	o, console := options(t, "lose")
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	if outcome.Exit != reconcile.ExitFaults || !strings.Contains(console.String(), "verdict  FAULTS in 80 units: 2 harness-mismatch") {
		t.Errorf("exit status %d, want that of a fault in each leg:\n%s", outcome.Exit, console)
	}
	if want := "mail 250 2.1.0: injected 40, observed 39, in flight 0: 1 unexplained"; !strings.Contains(flat(console.String()), want) {
		t.Errorf("the console doesn't name the difference %q:\n%s", want, console)
	}
	if !slices.Contains(files(t, o.Out), "report.html") {
		t.Error("no report of the failed run was written")
	}
}

func TestRunTakesACrossedThresholdAsAResult(t *testing.T) {
	o, console := options(t, "crossed")
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	if outcome.Exit != reconcile.ExitThresholds || !strings.Contains(console.String(), "verdict  THRESHOLDS crossed (calm: smtp_msg_failed rate<0.01; faults") {
		t.Errorf("exit status %d, want that of a crossed threshold:\n%s", outcome.Exit, console)
	}
	if said := flat(console.String()); !strings.Contains(said, "1 of 1 crossed:") || !strings.Contains(said, "rate<0.01") {
		t.Errorf("the console doesn't name the crossed threshold:\n%s", console)
	}
}

func TestResultsReplaceOnlyResults(t *testing.T) {
	o, _ := options(t, "ok")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Errorf("a second run could not replace the first one's results: %v", err)
	}
	precious := t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "thesis.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o.Out = precious
	_, err := Run(t.Context(), o)
	var input *input.Error
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("got %v, want a refusal to replace a directory that holds no results", err)
	}
	if got := files(t, precious); !slices.Equal(got, []string{"thesis.txt"}) {
		t.Errorf("the directory now holds %q", got)
	}
}

func TestTargetLegCountsDeliveries(t *testing.T) {
	p := through(t, fakeMessages, relay.Config{})
	o, console := p.o, p.console
	o.Flags.Replies = []string{"rcpt=250"}
	o.CutoffSeconds = 1
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcome.Legs) != 1 || outcome.Exit != 0 {
		t.Fatalf("outcome %+v, want one leg\n%s", outcome, console)
	}
	d, b := outcome.Legs[0].Record.Delivery, outcome.Legs[0].Record.Judgement
	if d == nil || b.Units != fakeMessages || b.Fates[reconcile.Delivered] != fakeMessages {
		t.Errorf("fates %v, want all %d delivered", b.Fates, fakeMessages)
	}
	if d.Latency == nil || d.Latency.Count() != fakeMessages || len(d.Series) == 0 {
		t.Errorf("latency %v and %d samples, want both", d.Latency, len(d.Series))
	}
	if got := files(t, o.Out); !slices.Contains(got, "mta.json") {
		t.Errorf("results hold %q, want mta.json", got)
	}
}

func TestBadOptions(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name string
		set  func(*Options)
		want string
	}{
		{"k6 missing", func(o *Options) { o.K6 = "/nonexistent/k6" }, "build it with: make build"},
		{"k6 nowhere", func(o *Options) { o.K6, o.Program = "", "/nonexistent/smtpbench" }, "build it with: make build"},
		{"script missing", func(o *Options) { o.Script = "/nonexistent.js" }, "script /nonexistent.js can't be read: no such file or directory"},
		{"script is a directory", func(o *Options) { o.Script = t.TempDir() }, "can't be read"},
		{"scripts missing", func(o *Options) { o.Scripts = t.TempDir() }, "no calm.js in"},
		{"plan missing", func(o *Options) { o.Plan = "/nonexistent.yaml" }, "/nonexistent.yaml: no such file"},
		{"mode", func(o *Options) { o.Flags.Mode = "sunny" }, `"sunny"`},
		{"stage", func(o *Options) { o.Flags = fault.Flags{Mode: "bounce", At: []string{"lunch"}} }, `"lunch"`},
		{"reply", func(o *Options) { o.Flags.Replies = []string{"rcpt=999"} }, `"999"`},
		{"delay", func(o *Options) { o.Flags.Delays = []string{"rcpt=soon"} }, `"soon"`},
		{"plan and mode", func(o *Options) { o.Plan, o.Flags.Mode = "x.yaml", "bounce" }, "exclude each other"},
		{"rate", func(o *Options) { o.Rate = -5 }, "--rate -5"},
		{"vus", func(o *Options) { o.VUs = -1 }, "--vus -1"},
		{"messages", func(o *Options) { o.Messages = -1 }, "--messages -1"},
		{"cutoff", func(o *Options) { o.CutoffSeconds = -1 }, "--cutoff -1"},
		{"max-time", func(o *Options) { o.MaxTime = -1 }, "--max-time"},
		{"env", func(o *Options) { o.Env = []string{"NOVALUE"} }, `--env "NOVALUE"`},
		{"mta", func(o *Options) { o.MTA = "exchange" }, "valid: auto postfix none"},
		{"target elsewhere", func(o *Options) { o.Target, o.SinkListen = "192.0.2.1:25", "127.0.0.1:0" }, "--i-own-this-target"},
		{"target is the sink", func(o *Options) { o.Target, o.SinkListen = "127.0.0.1:2525", "127.0.0.1:2525" }, "is the sink at --sink-listen"},
		{"target is the sink by name", func(o *Options) { o.Target, o.SinkListen = "localhost:2525", "[::1]:2525" }, "is the sink at --sink-listen"},
		{"target is within the sink's", func(o *Options) { o.Target, o.SinkListen = "127.0.0.1:2525", "0.0.0.0:2525" }, "is the sink at --sink-listen"},
		{"target by name", func(o *Options) { o.Target, o.SinkListen = "mx.example.org:25", "127.0.0.1:0" }, "--i-own-this-target"},
		{"target without port", func(o *Options) { o.Target, o.SinkListen = "127.0.0.1", "127.0.0.1:0" }, "--target"},
		{"target port", func(o *Options) { o.Target, o.SinkListen = "127.0.0.1:smtp", "127.0.0.1:0" }, `port "smtp"`},
		{"target without sink", func(o *Options) { o.Target = "127.0.0.1:25" }, "--sink-listen"},
		{"policy without target", func(o *Options) { o.Judge.MinimalBackoff = time.Minute }, "--minimal-backoff goes with --target"},
		{"queue without target", func(o *Options) { o.QueueCommand = "mailq" }, "--queue-command goes with --target"},
		{"sink without target", func(o *Options) { o.SinkListen = "127.0.0.1:25" }, "--target"},
		{"vouching for nothing", func(o *Options) { o.OwnTarget = true }, "--target"},
		{"sink port in use", func(o *Options) { o.Target, o.SinkListen = "127.0.0.1:1", taken.Addr().String() }, "in use"},
		{"out is a file", func(o *Options) { o.Out = filepath.Join(o.Scripts, k6.CalmScript) }, "is not a directory"},
		{"out below a file", func(o *Options) { o.Out = filepath.Join(o.Scripts, k6.CalmScript, "x") }, "--out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, _ := options(t, "ok")
			tt.set(&o)
			before := files(t, filepath.Dir(o.Scripts))
			_, err := Run(t.Context(), o)
			var input *input.Error
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v; want an input error of one line with %q", err, tt.want)
			}
			if after := files(t, filepath.Dir(o.Scripts)); !slices.Equal(before, after) {
				t.Errorf("files changed from %q to %q", before, after)
			}
		})
	}
}

func TestChooseMTA(t *testing.T) {
	present := []mta.Candidate{{Name: "postfix", Path: "/usr/sbin/postfix"}}
	absent := []mta.Candidate{{Name: "postfix", Fetch: "apt-get install -y postfix"}}
	for _, tt := range []struct {
		mta   string
		found []mta.Candidate
		root  bool
		use   bool
		say   string // part of the reason or the error
	}{
		{MTAAuto, present, true, true, ""},
		{MTAAuto, present, false, false, "root"},
		{MTAAuto, absent, true, false, "apt-get install -y postfix"},
		{MTANone, present, true, false, ""},
		{MTAPostfix, present, true, true, ""},
		{MTAPostfix, absent, true, false, "apt-get install -y postfix"},
		{MTAPostfix, present, false, false, "root"},
	} {
		o := Options{MTA: tt.mta}
		use, why, err := o.chooseMTA(tt.found, tt.root)
		if err != nil {
			why = err.Error()
		}
		if use != tt.use || !strings.Contains(why, tt.say) || (tt.say == "") != (why == "") {
			t.Errorf("--mta %s, postfix %q, root %v: %v, %q; want %v and a reason with %q", tt.mta, tt.found[0].Path, tt.root, use, why, tt.use, tt.say)
		}
		if (err != nil) != (tt.mta == MTAPostfix && !tt.use) {
			t.Errorf("--mta %s, postfix %q, root %v: error %v", tt.mta, tt.found[0].Path, tt.root, err)
		}
	}
}

func TestProbeMeter(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var m probeMeter
	messages := uint64(0)
	for i := range 24 { // six seconds: half a second of nothing, four of flow, then k6 winds down
		if i >= 2 && i < 18 {
			messages += 250
		}
		m.add(start.Add(time.Duration(i)*250*time.Millisecond), messages)
	}
	if got := m.rate(); got < 999 || got > 1001 {
		t.Errorf("rate %v, want 1000 messages a second", got)
	}
	if got := new(probeMeter).rate(); got != 0 {
		t.Errorf("rate without a look: %v, want 0", got)
	}
}

func TestHalfOf(t *testing.T) {
	for _, tt := range []struct{ capacity, want float64 }{{2350, 1100}, {9999, 4900}, {400, 200}, {37, 18}, {5, 2}, {1, 1}} {
		if got := halfOf(tt.capacity); got != tt.want {
			t.Errorf("halfOf(%v) = %v, want %v", tt.capacity, got, tt.want)
		}
	}
}

func TestLastingCoversAllMessages(t *testing.T) {
	for _, rate := range []float64{1, 3, 150, 999, 1000} {
		if d := lasting(20_000, rate); d.Seconds()*rate < 20_000 || (d.Seconds()-2)*rate >= 20_000 {
			t.Errorf("lasting(20000, %v) = %v", rate, d)
		}
	}
}

// TestNoLoadBeforeThePlaceIsKnownToBeGood runs as a whole into a directory that may not be replaced.
func TestNoLoadBeforeThePlaceIsKnownToBeGood(t *testing.T) {
	o, _ := options(t, "broken") // k6 would fail
	if err := errors.Join(os.MkdirAll(o.Out, 0o755), os.WriteFile(filepath.Join(o.Out, "thesis.txt"), []byte("mine"), 0o644)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var input *input.Error
	if _, err := Run(t.Context(), o); !errors.As(err, &input) || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
