package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/queue"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestStorms puts agents through storms of seconds, all at the same time: each waits most of the time.
func TestStorms(t *testing.T) {
	tests := map[string]func(*testing.T){
		"truthful relay": truthfulRelay, "lying relay": lyingRelay, "copies are drops": copiesAreDrops, "crash": crash, "sink cut off": sinkCutOff, "stopped early": stoppedEarly,
		"postfix": shortPostfix, "an MTA that runs already": runsAlready,
	}
	release := make(chan struct{})
	var done sync.WaitGroup
	for name, test := range tests {
		done.Add(1)
		go func() { // t.Run returns when the test does: each has a goroutine of its own, and no turn to wait for
			defer done.Done()
			<-release
			t.Run(name, test)
		}()
	}
	close(release)
	done.Wait()
}

// shortPostfix: a real MTA, whose policy is read back and kept, with the attempts that its own log has.
func shortPostfix(t *testing.T) {
	for _, c := range mta.Find() {
		if c.Name == "postfix" && c.Ready() != nil {
			sinktest.Missing(t, "%v", c.Ready())
		}
	}
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.yaml")
	if err := os.WriteFile(plan, []byte(deferring), 0o600); err != nil {
		t.Fatal(err)
	}
	var console bytes.Buffer
	o := Options{MTA: "postfix", Storm: plan, Out: filepath.Join(dir, "out"), Messages: 40, Rate: 40, Seed: 3, Cutoff: time.Minute, Console: &console,
		Policy: mta.Policy{MinimalBackoff: 3 * time.Second, MaximalBackoff: 3 * time.Second}}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &console)
	}
	if r.Judgement.Verdict.Verdict != "sound" || r.Judgement.Fates[reconcile.Delivered]+r.Judgement.Fates[reconcile.Refused] != 40 || r.Log.Units != 0 || len(r.Findings) > 0 {
		t.Errorf("%s %v, log %+v, %q; want 40 delivered or refused, and the attempts of the log", r.Judgement.Verdict.Sentence, r.Judgement.Fates, r.Log, r.Findings)
	}
	if !r.Policy.ByAge || len(r.Policy.Gaps) != 1 || r.Policy.Gaps[0] != "3s" || !strings.Contains(r.Policy.Says, "minimal_backoff_time") {
		t.Errorf("policy %+v, want 3 s, as Postfix says it", r.Policy)
	}
	if r.Figures.Resources == nil || r.Figures.Depth == nil || r.Provenance.MTA.Version != "" && !strings.HasPrefix(r.Provenance.MTA.Version, "Postfix ") {
		t.Errorf("resources %+v, depth %+v, version %q", r.Figures.Resources, r.Figures.Depth, r.Provenance.MTA.Version)
	}
}

// relayAgent is the reference relay as an agent: its pauses are 0.2, 0.4, 0.8 s.
type relayAgent struct {
	cfg   relay.Config
	relay *relay.Relay

	mu  sync.Mutex
	log bytes.Buffer
}

func (a *relayAgent) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(p)
}

func (a *relayAgent) Start(context.Context) (err error) {
	if a.relay != nil {
		a.cfg.Listen, a.cfg.Spool = a.relay.Addr(), a.relay.Spool()
	}
	a.relay, err = relay.Start(a.cfg)
	return err
}

func (a *relayAgent) Kill() error  { a.relay.Kill(); return nil }
func (a *relayAgent) Close() error { return a.relay.Close() }

func (a *relayAgent) Addr() string        { return a.relay.Addr() }
func (a *relayAgent) Name() string        { return "relay" }
func (a *relayAgent) Version() string     { return "the reference relay" }
func (a *relayAgent) Config() string      { return fmt.Sprintf("%+v", a.cfg.Policy) }
func (a *relayAgent) Depth() (int, error) { return a.relay.Depth(), nil }
func (a *relayAgent) Usage() mta.Usage    { return mta.Usage{} }

func (a *relayAgent) Queue(_ context.Context, f func(*reconcile.QueueEntry) error) error {
	var listing bytes.Buffer
	if err := a.relay.WriteQueue(&listing); err != nil {
		return err
	}
	return reconcile.ReadQueue(&listing, "relay", f)
}

func (a *relayAgent) Log(f func(*reconcile.LogEvent) error) error {
	a.mu.Lock()
	text := bytes.Clone(a.log.Bytes())
	a.mu.Unlock()
	return reconcile.ReadLog(bytes.NewReader(text), "log", f)
}

func (a *relayAgent) Schedule(context.Context) (mta.Schedule, error) {
	p := a.cfg.Policy
	s := mta.Schedule{Text: fmt.Sprintf("%+v", p), Late: time.Second, Later: time.Second}
	for n := 1; n < 8; n++ {
		s.Gaps = append(s.Gaps, p.Delay(0, 0, n))
	}
	return s, nil
}

// quick is a policy in which a storm lasts seconds.
func quick() queue.Policy {
	return queue.Policy{First: 200 * time.Millisecond, Factor: 2, Max: 800 * time.Millisecond, Minimal: 200 * time.Millisecond, Lifetime: time.Minute, Concurrency: 20}
}

// throughRelay puts a relay through a plan.
func throughRelay(t *testing.T, plan string, o Options, lies ...relay.Lie) (*Record, string) {
	t.Helper()
	dir := t.TempDir()
	o.Storm, o.Out, o.MTA = filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "out"), "relay"
	if err := os.WriteFile(o.Storm, []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Policy = mta.Policy{MinimalBackoff: 200 * time.Millisecond, MaximalBackoff: 800 * time.Millisecond}
	if o.Messages == 0 {
		o.Messages = 100
	}
	o.Rate, o.Cutoff = 100, 20*time.Second
	o.Prepare = func(_ context.Context, m mta.Options) (Agent, error) {
		a := &relayAgent{cfg: relay.Config{Listen: "127.0.0.1:0", NextHop: m.Relay, ReturnPath: m.Routes[0].Hops[0], Policy: quick(), Timeout: 10 * time.Second, Seed: 7, Lies: lies}}
		a.cfg.Log = a
		return &lazy{a}, nil
	}
	var console bytes.Buffer
	o.Console = &console
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &console)
	}
	if t.Failed() {
		t.Log(console.String())
	}
	return r, o.Out
}

// runsAlready: an MTA that nobody starts, whose queue nobody sees, is watched until the cutoff.
func runsAlready(t *testing.T) {
	port, err := mta.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := port.Release(); err != nil {
			t.Error(err)
		}
	}()
	outside, err := relay.Start(relay.Config{Listen: "127.0.0.1:0", NextHop: port.Addr(), Policy: quick(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := outside.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.yaml")
	if err := os.WriteFile(plan, []byte(strings.ReplaceAll(deferring, "- {name: DSNs pass (connect), stage: connect, match: {listener: dsn}, reply: plain}", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Outside: &Outside{Address: outside.Addr(), Listen: port.Addr()}, Storm: plan, Out: filepath.Join(dir, "out"), Messages: 40, Rate: 40, Seed: 3, Cutoff: 4 * time.Second,
		Policy: mta.Policy{MinimalBackoff: time.Second, MaximalBackoff: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	refused, delivered := r.Judgement.Fates[reconcile.Refused], r.Judgement.Fates[reconcile.Delivered]
	if r.Judgement.Verdict.Verdict != "sound" || refused == 0 || refused+delivered != 40 || r.Notifications != int(refused) {
		t.Errorf("%s %v, %d notifications; want 40 delivered or refused, and a notification for each refusal", r.Judgement.Verdict.Sentence, r.Judgement.Fates, r.Notifications)
	}
	if r.Figures.Depth != nil || r.Figures.Adherence != nil || len(r.Warnings) > 0 {
		t.Errorf("depth %+v, adherence %+v, warnings %q; want none of what nobody saw", r.Figures.Depth, r.Figures.Adherence, r.Warnings)
	}
}

// lazy lets a relay that was never started be asked and closed.
type lazy struct{ *relayAgent }

func (l *lazy) Close() error {
	if l.relay == nil {
		return nil
	}
	return l.relayAgent.Close()
}

const deferring = `# It copies a test.
# Look for: deferrals.
version: 1
name: deferring
rules:
  - {name: DSNs pass (connect), stage: connect, match: {listener: dsn}, reply: plain}
  - {name: DSNs pass (rcpt), stage: rcpt, match: {sender: "<>"}, reply: plain}
phases:
  - name: bad
    duration: 2s
    rules:
      - name: no
        stage: rcpt
        key: recipient
        outcomes: [{weight: 40}, {weight: 40, reply: 450/4.2.0}, {weight: 20, reply: 550/5.1.1}]
`

// truthfulRelay: a truthful relay gets no finding, and its figures add up.
func truthfulRelay(t *testing.T) {
	r, out := throughRelay(t, deferring, Options{Seed: 3})
	b, f := r.Judgement, r.Figures
	if b.Verdict.Verdict != "sound" || len(b.Findings) > 0 || len(r.Findings) > 0 {
		t.Errorf("%s: findings %+v %v, want none", b.Verdict.Sentence, b.Findings, r.Findings)
	}
	refused, delivered := b.Fates[reconcile.Refused], b.Fates[reconcile.Delivered]
	if refused == 0 || delivered+refused != 100 || r.Notifications != int(refused) {
		t.Errorf("%d delivered, %d refused, %d notifications; want 100 in all, and a notification for each refusal", delivered, refused, r.Notifications)
	}
	if l := r.Log; l == nil || l.Units != 0 || l.Ledger != f.Attempts.Messages || l.Reached != l.Ledger {
		t.Errorf("log %+v, want as many attempts as the ledger has, %d", l, f.Attempts.Messages)
	}
	if a := f.Adherence; a == nil || a.Early > 0 {
		t.Errorf("adherence %+v, want no pause too short", a)
	}
	if f.Depth == nil || f.Depth.Peak == 0 || f.Depth.Rate < 2 || f.Recovery.Backlog == 0 || f.Recovery.To0 == nil {
		t.Errorf("depth %+v, recovery %+v; want a backlog that drains, and samples", f.Depth, f.Recovery)
	}
	if len(r.Storm.Phases) == 0 || r.Storm.Look != "deferrals." || r.Storm.Copies != "It copies a test." || !r.Storm.End.After(r.Storm.Begin.Add(2*time.Second)) {
		t.Errorf("storm %+v: want its phases, its comment, and an end that the seed drew later", r.Storm)
	}
	for _, name := range []string{"sent.jsonl", "ledger.jsonl", "queue.jsonl", "dsn.jsonl", "mta.jsonl", "units.jsonl", "summary.json", "storm.json", "sink.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	again, err := Read(out)
	if err != nil || again.Judgement.Verdict != b.Verdict || again.Figures.Attempts.Messages != f.Attempts.Messages {
		t.Errorf("read again: %v, %+v", err, again)
	}
}

// lyingRelay: each lie is named with its exact count.
func lyingRelay(t *testing.T) {
	r, _ := throughRelay(t, deferring, Options{Seed: 3}, relay.Lie{Kind: relay.Lose, Count: 3, Of: 90}, relay.Lie{Kind: relay.Duplicate, Count: 2, Of: 30})
	found := map[reconcile.Kind]uint64{}
	for _, f := range r.Judgement.Findings {
		found[f.Kind] = f.Units
	}
	if found[reconcile.KindLost] != 3 || found[reconcile.KindDuplicated] != 2 || len(found) != 2 || r.Judgement.Verdict.Exit != 1 {
		t.Errorf("%s: found %v, want 3 lost and 2 duplicated, and nothing else", r.Judgement.Verdict.Sentence, found)
	}
}

const dropping = `version: 1
name: dropping
rules:
  - {name: DSNs pass (message), stage: message, match: {sender: "<>"}, reply: plain}
phases:
  - name: drops
    duration: 2s
    rules:
      - {name: dropped, stage: message, outcomes: [{weight: 70}, {weight: 30, close: fin, delivery: keep}]}
`

// copiesAreDrops is S8's oracle: a message has exactly one copy more than connections were dropped after its dot.
func copiesAreDrops(t *testing.T) {
	r, out := throughRelay(t, dropping, Options{Seed: 4})
	drops := dropsOf(t, filepath.Join(out, "ledger.jsonl"))
	all := 0
	for name, n := range drops {
		all += n
		if n == 0 {
			delete(drops, name)
		}
	}
	if all < 10 {
		t.Fatalf("%d drops: this shows nothing", all)
	}
	copies, twice := 0, uint64(0)
	eachUnit(t, filepath.Join(out, "units.jsonl"), func(recipient string, deliveries int) {
		if deliveries-1 != drops[recipient] {
			t.Errorf("%s: %d copies and %d drops", recipient, deliveries, drops[recipient])
		}
		if copies += deliveries; deliveries > 1 {
			twice++
		}
	})
	if copies-100 != all || r.Judgement.Fates[reconcile.DuplicatedAmbiguous] != twice || r.Judgement.Verdict.Exit != 0 {
		t.Errorf("%d copies of 100 messages, %d drops; %d with several, %v; %s", copies, all, twice, r.Judgement.Fates, r.Judgement.Verdict.Sentence)
	}
	if l := r.Log; l.Units != 0 {
		t.Errorf("log %+v, want no difference", l)
	}
}

// crash: a storm that kills the sender excuses what it could not know of, and nothing is lost.
func crash(t *testing.T) {
	plan := strings.ReplaceAll(string(mustStorm(t, "crash")), "60s", "10s")
	plan = strings.ReplaceAll(plan, "delay: 1s", "delay: 300ms")
	old := Options{Seed: 5}
	old.beyond = &beyond{kill: true}
	r, _ := throughRelay(t, plan, old)
	if len(r.Storm.Incidents) != 1 || r.Storm.Incidents[0].Who != "mta" {
		t.Fatalf("incidents %+v, warnings %q; want the end of the sender", r.Storm.Incidents, r.Warnings)
	}
	if r.Judgement.Verdict.Exit != 0 || r.Judgement.Fates[reconcile.Lost]+r.Judgement.Fates[reconcile.Duplicated] > 0 || r.Judgement.Fates[reconcile.DuplicatedAmbiguous] == 0 {
		t.Errorf("%s %v; want no fault, and copies of what was under way", r.Judgement.Verdict.Sentence, r.Judgement.Fates)
	}
}

// sinkCutOff: the judging goes on over an end of the sink.
func sinkCutOff(t *testing.T) {
	o := Options{Seed: 6}
	o.beyond = &beyond{cut: 500 * time.Millisecond, away: 500 * time.Millisecond}
	r, _ := throughRelay(t, deferring, o)
	if len(r.Storm.Incidents) != 2 || r.Storm.Incidents[1].What != "restart" {
		t.Fatalf("incidents %+v, want the end of the sink and its return", r.Storm.Incidents)
	}
	if r.Judgement.Verdict.Exit != 0 || r.Judgement.Runs != 2 || r.Judgement.Fates[reconcile.Delivered]+r.Judgement.Fates[reconcile.Refused]+r.Judgement.Fates[reconcile.Expired] != 100 {
		// Whether a refusal was read that the end of the sink crossed nobody knows: the relay's giving up is then its own.
		t.Errorf("%s %v in %d runs of the sink; want 100 delivered, refused or given up, in 2", r.Judgement.Verdict.Sentence, r.Judgement.Fates, r.Judgement.Runs)
	}
}

// stoppedEarly: what was measured is kept, and called incomplete.
func stoppedEarly(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	r, _ := throughRelay(t, deferring, Options{Stop: stop})
	if r.Incomplete == "" || r.Judgement.Verdict.Exit != 3 {
		t.Errorf("incomplete %q, %s; want exit status 3", r.Incomplete, r.Judgement.Verdict.Sentence)
	}
}

// TestBadInput: one line, and nothing is written.
func TestBadInput(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"s99":                 func(o *Options) { o.Storm = "s99" },
		"no phases":           func(o *Options) { o.Storm = "../../scripts/plans/greylist.yaml" },
		"not applicable":      func(o *Options) { o.MTA, o.Storm = "sendmail", "S18" },
		"--messages -1":       func(o *Options) { o.Messages = -1 },
		"--rate -1":           func(o *Options) { o.Rate = -1 },
		"--out " + full:       func(o *Options) { o.Out = full },
		`unknown MTA "qmail"`: func(o *Options) { o.MTA = "qmail" },
		"minimal backoff 1.5s is": func(o *Options) {
			o.Policy = mta.Policy{MinimalBackoff: 1500 * time.Millisecond, MaximalBackoff: 3 * time.Second}
		},
		"--config": func(o *Options) { o.MTA, o.Config = "postfix", "/nowhere/main.cf" },
		"--sink-listen 192.0.2.1:25": func(o *Options) {
			o.MTA, o.Outside = "", &Outside{Address: "127.0.0.1:25", Listen: "192.0.2.1:25"}
		},
		"is not applicable to an MTA": func(o *Options) {
			o.MTA, o.Storm, o.Outside = "", "S10", &Outside{Address: "127.0.0.1:25", Listen: "127.0.0.1:2526"}
		},
		"--size 1: want 512 to":      func(o *Options) { o.Size = 1 },
		"--cutoff 25h0m0s: want a d": func(o *Options) { o.Cutoff = 25 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			o := Options{MTA: "haraka", Storm: "S0", Out: out, Console: io.Discard}
			change(&o)
			_, err := Run(t.Context(), o)
			var bad *input.Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line of bad input that has %q", err, name)
			}
			if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
				t.Errorf("%v was written, %v", entries, err)
			}
		})
	}
}
