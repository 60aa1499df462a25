package mta

import (
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// testbed is an agent between a generator and a sink, with all that the judge is told: claims, ledger, queue, notifications, incidents.
type testbed struct {
	t         *testing.T
	agent     Agent
	server    *sink.Server
	received  sinktest.Received
	dir       string // of ledger and notifications
	claims    []reconcile.Claim
	incidents []reconcile.Incident
	open      []*dialogue
}

// newTestbed starts a sink with the rules of a plan, and an agent before it.
func newTestbed(t *testing.T, c Candidate, rules string, o Options) *testbed {
	t.Helper()
	b := openSink(t, c, rules)
	b.start(c, o)
	return b
}

// openSink starts a sink with the rules of a plan, for an agent that can be started.
func openSink(t *testing.T, c Candidate, rules string) *testbed {
	t.Helper()
	if err := c.Ready(); err != nil {
		sinktest.Missing(t, "%v", err)
	}
	b := &testbed{t: t, dir: t.TempDir()}
	b.server = sinktest.Start(t, sinktest.WithPlan("version: 1\nrules:\n"+rules), sinktest.Record(&b.received), sinktest.With(func(cfg *sink.Config) {
		cfg.Ledger = sink.LedgerConfig{Path: filepath.Join(b.dir, "ledger.jsonl"), Durability: event.Batch}
		cfg.Farewell = 5 * time.Second // on a busy machine, too, the agent has left by then
		cfg.DSN.Dir = filepath.Join(b.dir, "notes")
	}))
	return b
}

// start starts an agent before the sink.
func (b *testbed) start(c Candidate, o Options) {
	t := b.t
	t.Helper()
	o.Dir, o.Relay = scratch(t, ""), b.server.Addr("").String()
	agent, err := Start(t.Context(), c.Name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(agent.LogPath())
			t.Logf("the log of %s:\n%s", agent.Version(), text[max(0, len(text)-12000):])
		}
		if err := agent.Close(); err != nil {
			t.Error(err)
		}
	})
	b.agent = agent
}

// candidate is an MTA of the registry.
func candidate(name string) Candidate {
	for _, c := range Find() {
		if c.Name == name {
			return c
		}
	}
	return Candidate{}
}

// dialogue is a connection to the agent.
type dialogue struct {
	*textproto.Conn
	conn net.Conn
	t    *testing.T
}

func (b *testbed) dial() *dialogue {
	b.t.Helper()
	conn, err := net.DialTimeout("tcp", b.agent.Addr(), 10*time.Second)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(25 * time.Second))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	d := &dialogue{textproto.NewConn(conn), conn, b.t}
	b.open = append(b.open, d)
	d.expect(220)
	d.say("EHLO generator.test", 250)
	return d
}

func (d *dialogue) expect(code int) {
	d.t.Helper()
	if _, _, err := d.ReadResponse(code); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialogue) say(line string, code int) {
	d.t.Helper()
	if err := d.PrintfLine("%s", line); err != nil {
		d.t.Fatal(err)
	}
	d.expect(code)
}

// body begins a message and sends its text, up to its final dot and without that.
func (d *dialogue) body(sender, recipient string) {
	d.t.Helper()
	d.say("MAIL FROM:<"+sender+">", 250)
	d.say("RCPT TO:<"+recipient+">", 250)
	d.say("DATA", 354)
	if err := d.PrintfLine("From: <%s>\r\nTo: <%s>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <%d@src.test>\r\n\r\nbody", sender, recipient, time.Now().UnixNano()); err != nil {
		d.t.Fatal(err)
	}
}

// submit sends a message that the agent accepts.
func (d *dialogue) submit(sender, recipient string) {
	d.t.Helper()
	d.body(sender, recipient)
	d.say(".", 250)
}

// claim says that a message was sent. Each has a sender of its own.
func (b *testbed) claim(sender, recipient string, ack reconcile.Ack) {
	b.claims = append(b.claims, reconcile.Claim{Token: sender, Recipient: recipient, Ack: ack})
}

// delivered waits for so many deliveries.
func (b *testbed) delivered(n int) {
	b.t.Helper()
	testkit.Await(b.t, fmt.Sprintf("%d deliveries", n), func() bool { return len(b.received.Deliveries()) >= n })
}

// drained waits until the agent's queue is empty. Depth isn't asked: after a crash Postfix keeps the file of a message that was cut.
func (b *testbed) drained() {
	b.t.Helper()
	testkit.Await(b.t, "an empty queue", func() bool {
		n := 0
		err := b.agent.Queue(b.t.Context(), func(*reconcile.QueueEntry) error { n++; return nil })
		return err == nil && n == 0
	})
}

// kill ends the agent as a crash does, and notes that.
func (b *testbed) kill() {
	b.t.Helper()
	if err := b.agent.Kill(); err != nil {
		b.t.Fatal(err)
	}
	b.incidents = append(b.incidents, reconcile.Incident{Time: time.Now(), What: "kill", Who: "mta"})
}

func (b *testbed) restart() {
	b.t.Helper()
	if err := b.agent.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// end closes the connections to the agent, for which it would wait, and stops it and the sink, which closes the ledger.
func (b *testbed) end() {
	b.t.Helper()
	for _, d := range b.open {
		_ = d.Close()
	}
	if err := errors.Join(b.agent.Stop(), b.server.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// judge says, after end, what the judge says: fates, findings, the exit status.
func (b *testbed) judge(incidents ...reconcile.Incident) string {
	b.t.Helper()
	j := reconcile.New(reconcile.Options{})
	check := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	for i := range b.claims {
		check(j.Claim(&b.claims[i]))
	}
	file, err := os.Open(filepath.Join(b.dir, "ledger.jsonl"))
	check(err)
	defer file.Close()
	_, err = ledger.Each(ledger.Input{Name: file.Name(), R: file}, j.Ledger().Row)
	check(err)
	j.Listing(time.Now(), true)
	check(b.agent.Queue(b.t.Context(), j.Queued))
	j.KnowNotifications()
	notes, err := os.Open(filepath.Join(b.dir, "notes", "dsn.jsonl"))
	if !errors.Is(err, os.ErrNotExist) { // else none came
		check(err)
		defer notes.Close()
		check(reconcile.ReadNotifications(notes, notes.Name(), j.Notify))
	}
	for i := range incidents {
		j.Incident(&incidents[i])
	}
	result, err := j.Finish(nil)
	check(err)
	var said []string
	for f, n := range result.Fates {
		if n > 0 {
			said = append(said, fmt.Sprintf("%d %v", n, reconcile.Fate(f)))
		}
	}
	for _, f := range result.Findings {
		said = append(said, fmt.Sprintf("%v %s %d", f.Severity, f.Kind, f.Units))
	}
	return strings.Join(append(said, fmt.Sprintf("exit %d", result.Verdict.Exit)), ", ")
}

// overlapped is what the judge may add where the copies before and after a crash were under way at the same time.
var overlapped = regexp.MustCompile(`, warning overlapped \d+`)

// want compares what the judge says, and shows the ledger where it says something else.
func (b *testbed) want(want string, incidents ...reconcile.Incident) {
	b.t.Helper()
	if got := overlapped.ReplaceAllString(b.judge(incidents...), ""); got != want {
		rows, _ := os.ReadFile(filepath.Join(b.dir, "ledger.jsonl"))
		b.t.Errorf("the judge says\n%s, want\n%s; the ledger:\n%s", got, want, rows)
	}
}
