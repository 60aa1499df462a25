package run

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/queue"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// fetchArgument makes the test binary print what an address has to say: it is the --queue-command of a relay within the test.
const fetchArgument = "__fetch"

func printFrom(address string) int {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer conn.Close()
	if _, err := io.Copy(os.Stdout, conn); err != nil {
		return 1
	}
	return 0
}

// rig is a run through a relay that may lie.
type rig struct {
	t       *testing.T
	o       Options
	console fmt.Stringer
	relay   *relay.Relay
}

// freeAddress is one of loopback at which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// through prepares a run of so many messages through a relay whose next hop is the run's sink.
func through(t *testing.T, messages int, cfg relay.Config) *rig {
	t.Helper()
	t.Parallel()
	return prepare(t, messages, cfg)
}

func prepare(t *testing.T, messages int, cfg relay.Config) *rig {
	t.Helper()
	o, console := soundOptions(t)
	o.Env = []string{fmt.Sprintf("FAKE_MESSAGES=%d", messages)}
	o.SinkListen = freeAddress(t)
	cfg.Listen, cfg.NextHop, cfg.Seed, cfg.Timeout = "127.0.0.1:0", o.SinkListen, 7, 10*time.Second
	if cfg.Policy == (queue.Policy{}) {
		cfg.Policy = quick(200 * time.Millisecond)
	}
	p := &rig{t: t, o: o, console: console}
	var err error
	if p.relay, err = relay.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.relay.Close() })
	p.o.MTA, p.o.Target, p.o.Messages, p.o.CutoffSeconds = MTAAuto, p.relay.Addr(), messages, 2
	p.o.Flags.Replies = []string{"rcpt=250"}
	return p
}

// quick is a policy in which a storm lasts seconds.
func quick(first time.Duration) queue.Policy {
	return queue.Policy{First: first, Factor: 2, Max: 4 * first, Minimal: first, Lifetime: time.Minute, Concurrency: 10}
}

// seen has the run list the relay's queue.
func (p *rig) seen() *rig {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = p.relay.WritePostqueue(conn) // a listing that is cut off shows in the test
			_ = conn.Close()
		}
	}()
	p.t.Cleanup(func() { _ = l.Close(); <-done })
	p.o.QueueCommand = fmt.Sprintf("exec '%s' %s %s", p.o.K6, fetchArgument, l.Addr())
	p.o.CutoffSeconds = 60
	return p
}

// run runs, and returns what the run came to in one line. Console, page, summary and status say the same, and so do the files, judged again.
func (p *rig) run() string {
	p.t.Helper()
	outcome, err := Run(p.t.Context(), p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	again := agree(p.t, p.o.Out, p.console.String(), outcome.Exit)
	var parts []string
	for f, n := range again.Fates {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, reconcile.Fate(f)))
		}
	}
	for _, f := range again.Findings {
		parts = append(parts, fmt.Sprintf("%v %s %d", f.Severity, f.Kind, f.Units))
	}
	return strings.Join(append(parts, fmt.Sprintf("exit %d", outcome.Exit)), ", ")
}

// TestALyingRelayIsCaught has each lie named with its exact number, in runs of the whole.
func TestALyingRelayIsCaught(t *testing.T) {
	lie := func(lies ...relay.Lie) relay.Config { return relay.Config{Lies: lies, Late: 2 * time.Second} }
	for _, test := range []struct {
		name     string
		messages int
		relay    relay.Config
		seen     bool
		want     string
	}{
		{"truthful, queue unseen", 200, lie(), false, "200 delivered, exit 0"},
		{"2 lost, 2 others to strangers", 200, lie(relay.Lie{Kind: relay.Lose, Count: 2, Of: 200}, relay.Lie{Kind: relay.Copy, Count: 2, Of: 200}), false,
			"198 delivered, 2 undetermined, fault misrouted 2, exit 1"},
		{"2 lost, 2 others to strangers, queue seen", 200, lie(relay.Lie{Kind: relay.Lose, Count: 2, Of: 200}, relay.Lie{Kind: relay.Copy, Count: 2, Of: 200}), true,
			"198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"16 of 1,000 lost", 1000, lie(relay.Lie{Kind: relay.Lose, Count: 16, Of: 1000}), false, "984 delivered, 16 undetermined, exit 3"},
		{"16 of 1,000 lost, queue seen", 1000, lie(relay.Lie{Kind: relay.Lose, Count: 16, Of: 1000}), true, "984 delivered, 16 lost, fault lost 16, exit 1"},
		{"8 again long after a 250", 200, lie(relay.Lie{Kind: relay.DuplicateLate, Count: 8, Of: 200}), false, "8 duplicated, 192 delivered, fault duplicated 8, exit 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := through(t, test.messages, test.relay)
			if test.relay.Lies != nil && test.relay.Lies[0].Kind == relay.DuplicateLate {
				p.o.CutoffSeconds = 5
			}
			if test.seen {
				p.seen()
			}
			if got := p.run(); got != test.want {
				t.Errorf("%s\nwant %s\n%s", got, test.want, p.console)
			}
		})
	}
}

// What is undetermined is named, and --fail-on changes the status alone.
// The bodies of the load that smtpbench brings along differ, so that it shows when two are exchanged.
func TestExchangedBodiesShowInTheLoad(t *testing.T) {
	k6 := realK6(t)
	p := through(t, 40, relay.Config{Lies: []relay.Lie{{Kind: relay.SwapBodies, Count: 1, Of: 40}}})
	p.o.K6 = k6
	if got, want := p.run(), "2 delivered-altered, 38 delivered, fault delivered-altered 2, fault bodies-swapped 2, exit 1"; got != want {
		t.Errorf("%s\nwant %s\n%s", got, want, p.console)
	}
}

func TestWhatFailsIsChosen(t *testing.T) {
	p := through(t, 40, relay.Config{Lies: []relay.Lie{{Kind: relay.Lose, Count: 3, Of: 40}}})
	p.o.Judge.FailOn = reconcile.FailOn{"lost": true}
	if got, want := p.run(), "37 delivered, 3 undetermined, exit 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if said := flat(p.console.String()); !strings.Contains(said, "verdict UNDETERMINED: 3 of 40 units") || !strings.Contains(said, "not known: the queue was not seen") {
		t.Errorf("the console doesn't say what is undetermined, and why:\n%s", said)
	}
	units, err := os.ReadFile(filepath.Join(p.o.Out, pipeline.UnitsFile))
	if n := strings.Count(string(units), `"fate":"undetermined"`); err != nil || n != 3 {
		t.Errorf("%v, %d undetermined units are named, want 3", err, n)
	}
}

// A listing that fails, or that nobody understands, is none: nothing is called lost then, and nothing is shown of the queue.
func TestAFailedListingIsNone(t *testing.T) {
	for command, why := range map[string]string{
		"exit 3":                    "--queue-command: exit status 3",
		"echo no queue >&2; exit 1": "exit status 1: no queue",
		"echo sunny":                "no listing of a queue that is known",
	} {
		t.Run(command, func(t *testing.T) {
			p := through(t, 40, relay.Config{Lies: []relay.Lie{{Kind: relay.Lose, Count: 3, Of: 40}}})
			p.o.QueueCommand = command
			if got, want := p.run(), "37 delivered, 3 undetermined, exit 3"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if said := flat(p.console.String()); !strings.Contains(said, why) {
				t.Errorf("the console doesn't say why, %q:\n%s", why, said)
			}
			if slices.Contains(files(t, p.o.Out), "queue.jsonl") {
				t.Error("there is a queue.jsonl")
			}
		})
	}
}

// Ctrl-C while delivery is watched: all that is queued could be sound, but what would have come is not known.
func TestAWatchThatIsInterrupted(t *testing.T) {
	const messages = 40
	p := through(t, messages, relay.Config{Policy: quick(time.Minute)}).seen()
	listings := filepath.Join(t.TempDir(), "listings")
	p.o.QueueCommand = fmt.Sprintf("echo >>'%s'; %s", listings, p.o.QueueCommand)
	p.o.Flags.Replies = []string{"rcpt=450"}
	stop := make(chan struct{})
	p.o.Stop = stop
	go func() {
		listed := 0
		for tick := time.Tick(20 * time.Millisecond); ; {
			select {
			case <-t.Context().Done():
				return
			case <-tick:
			}
			var queued bytes.Buffer
			_ = p.relay.WritePostqueue(&queued) // to memory
			text, _ := os.ReadFile(listings)    // before the first there is none
			switch {
			case bytes.Count(queued.Bytes(), []byte("\n")) < messages:
			case listed == 0:
				listed = max(1, len(text))
			case len(text) > listed+1: // the one before may have been of the load
				close(stop)
				return
			}
		}
	}()
	if got, want := p.run(), fmt.Sprintf("%d queued, exit 3", messages); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if said := flat(p.console.String()); !strings.Contains(said, "the watch after it was interrupted after") {
		t.Errorf("the console doesn't say why:\n%s", said)
	}
}

// The user says what the MTA's policy is; the files, judged again, know it.
func TestATargetsRetryPolicyIsJudged(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nrules:\n  - {stage: rcpt, match: {attempt: 1}, reply: 450}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Seconds, since on a busy machine what is tried again at once comes late, too.
	p := through(t, 40, relay.Config{Policy: quick(4 * time.Second), Lies: []relay.Lie{{Kind: relay.RetrySoon, Count: 6, Of: 40}}}).seen()
	p.o.Plan, p.o.Flags, p.o.Judge.MinimalBackoff, p.o.CutoffSeconds = plan, fault.Flags{}, 3*time.Second, 10
	if got, want := p.run(), "40 delivered, fault retried-too-soon 6, exit 1"; got != want {
		t.Errorf("%s, want %s\n%s", got, want, p.console)
	}
}

// A refusal comes home as a notification, which the sink keeps.
func TestNotificationsAreKept(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nrules:\n  - {stage: rcpt, match: {recipient: '*@dst.bench.test'}, reply: 550/5.1.1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := through(t, 40, relay.Config{Lies: []relay.Lie{{Kind: relay.WithholdDSN, Count: 5, Of: 40}}}).seen()
	p.o.Plan, p.o.Flags = plan, fault.Flags{}
	if got, want := p.run(), "40 refused, fault dsn-missing 5, exit 1"; got != want {
		t.Errorf("%s, want %s\n%s", got, want, p.console)
	}
	if whole := files(t, filepath.Join(p.o.Out, "dsn")); len(whole) != 35 {
		t.Errorf("%d notifications were kept whole, want 35", len(whole))
	}
}

// A notification that the storm refuses, too, is not missed.
func TestRefusedNotificationsAreNobodysFault(t *testing.T) {
	p := through(t, 40, relay.Config{}).seen()
	p.o.Flags.Replies = []string{"rcpt=550/5.1.1"}
	if got, want := p.run(), "40 refused, exit 0"; got != want {
		t.Errorf("%s, want %s\n%s", got, want, p.console)
	}
}

// Nobody listens at the target: no unit is lost, and the load was not carried out.
func TestAnUnreachableTarget(t *testing.T) {
	p := through(t, 40, relay.Config{})
	p.o.Target = freeAddress(t)
	p.o.CutoffSeconds = 1
	if got, want := p.run(), "40 never-accepted, exit 3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if said := flat(p.console.String()); !strings.Contains(said, "verdict UNDETERMINED: not all of the load was carried out (the MTA accepted none of 40 messages)") ||
		!strings.Contains(said, "connect 1212 connection refused 40") {
		t.Errorf("the console doesn't say that the target refuses connections:\n%s", p.console)
	}
}

// A script that speaks to another server than the sink: its claims are judged by nobody, and the verdict is one and the same everywhere.
func TestAScriptThatSpeaksToAnother(t *testing.T) {
	t.Parallel()
	other := sinktest.Start(t)
	o, console := soundOptions(t)
	host, port, err := net.SplitHostPort(other.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	o.Env = []string{"SMTP_HOST=" + host, "SMTP_PORT=" + port}
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	again := agree(t, o.Out, console.String(), outcome.Exit)
	if outcome.Exit != reconcile.ExitFaults || !strings.HasPrefix(again.Verdict.Sentence, "FAULTS: 2 harness-mismatch (calm: the sink saw no client") {
		t.Errorf("exit status %d, %s", outcome.Exit, again.Verdict.Sentence)
	}
}

// A k6 that claims nothing can't be judged, and no run of it is sound.
func TestAK6ThatClaimsNothing(t *testing.T) {
	o, console := options(t, "unclaimed")
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	again := agree(t, o.Out, console.String(), outcome.Exit)
	if outcome.Exit != reconcile.ExitFaults || !strings.Contains(again.Verdict.Sentence, "k6 sent 40 messages and claimed none") {
		t.Errorf("exit status %d, %s", outcome.Exit, again.Verdict.Sentence)
	}
}

// The first delivery after a storm's last phase is what a run says of its recovery.
func TestTheFirstDeliveryAfterAStorm(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	text := "version: 1\nphases:\n  - {name: outage, duration: 1s, rules: [{stage: rcpt, reply: 451/4.3.0}]}\n  - {name: recovery, duration: 1h}\n"
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := through(t, 40, relay.Config{}).seen()
	p.o.Plan, p.o.Flags = plan, fault.Flags{}
	if got, want := p.run(), "40 delivered, exit 0"; got != want {
		t.Errorf("%s, want %s\n%s", got, want, p.console)
	}
	record, err := result.Read(filepath.Join(p.o.Out, "mta.json"))
	if err != nil {
		t.Fatal(err)
	}
	if p := record.Phases; len(p) != 2 || p[0].Phase != "outage" || p[1].Phase != "recovery" || p[1].Time.Sub(p[0].Time) < 900*time.Millisecond {
		t.Errorf("phases %+v, want outage and, a second later, recovery", p)
	}
	if r := record.Recovery; r == nil || r.Phase != "recovery" || r.Seconds == nil || *r.Seconds > 5 {
		t.Errorf("recovery %+v, want a delivery soon after the phase recovery began", r)
	}
	if !strings.Contains(flat(p.console.String()), "s after the phase recovery began") {
		t.Errorf("the console doesn't tell of it:\n%s", p.console)
	}
}
