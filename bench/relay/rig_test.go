package relay_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	smtpserver "github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/bench/queue"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/dsn"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a relay between a generator and a sink with a ledger; notifications come back to an address of their own.
type rig struct {
	t        *testing.T
	ledger   string
	sink     *sink.Server
	relay    *relay.Relay
	cfg      relay.Config
	log      bytes.Buffer
	returned mailbox
	claims   []reconcile.Claim
	minimal  time.Duration

	sentMessages int

	unseenQueue bool // the judge gets no listings
	listings    [][]byte
}

// mailbox keeps the messages that are sent to it.
type mailbox struct {
	mu       sync.Mutex
	messages [][]byte
}

// Data implements smtpserver.Session.
func (b *mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, text)
	return err
}

// Mail, Rcpt, Reset and Logout implement smtpserver.Session.
func (b *mailbox) Mail(string, *smtpserver.MailOptions) error { return nil }
func (b *mailbox) Rcpt(string, *smtpserver.RcptOptions) error { return nil }
func (b *mailbox) Reset()                                     {}
func (b *mailbox) Logout() error                              { return nil }

// open has the mailbox take messages at an address.
func (b *mailbox) open(t *testing.T) (address string) {
	t.Helper()
	server := smtpserver.NewServer(smtpserver.BackendFunc(func(*smtpserver.Conn) (smtpserver.Session, error) { return b, nil }))
	server.EnableDSN = true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// quick is a policy in which a storm lasts seconds.
func quick() queue.Policy {
	return queue.Policy{First: 200 * time.Millisecond, Factor: 2, Max: 800 * time.Millisecond, Jitter: 0.2, Minimal: 200 * time.Millisecond, Lifetime: time.Minute, Concurrency: 10}
}

// start starts sink and relay.
func start(t *testing.T, plan string, lies ...relay.Lie) *rig {
	t.Helper()
	return startPatient(t, plan, 20*time.Second, lies...)
}

// startPatient starts sink and relay, which waits so long for each reply. Notifications don't come to the sink, so that nobody uses its listener
// for them, which the plans of storms name.
func startPatient(t *testing.T, plan string, patience time.Duration, lies ...relay.Lie) *rig {
	t.Helper()
	r := &rig{t: t, ledger: filepath.Join(t.TempDir(), "ledger.jsonl"), minimal: quick().Minimal}
	r.sink = sinktest.Start(t, sinktest.WithPlan(plan), sinktest.With(func(cfg *sink.Config) {
		cfg.Ledger = sink.LedgerConfig{Path: r.ledger, Durability: event.Batch}
		cfg.Listeners = []sink.Listener{{Name: "test", Address: "127.0.0.1:0"}, {Name: "dsn", Address: "127.0.0.1:0"}}
	}))
	r.cfg = relay.Config{
		Listen: "127.0.0.1:0", NextHop: r.sink.Addr("test").String(), ReturnPath: r.returned.open(t), Policy: quick(), Timeout: patience,
		Seed: 7, Lies: lies, Log: &r.log,
	}
	r.startRelay()
	return r
}

func (r *rig) startRelay() {
	r.t.Helper()
	var err error
	if r.relay, err = relay.Start(r.cfg); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.relay.Close() })
}

// mail is a message to be sent: what a test cares for.
type mail struct {
	to          []string
	notify, ret string
	bySender    bool   // known by a sender of its own, without ENVID and ORCPT
	byHeader    bool   // known by its headers and its recipient alone
	domain      string // of that sender; empty: src.test
}

// from returns the sender of the i-th message, and the token that it is known by.
func (m *mail) from(i int) (sender, token string) {
	if m.bySender {
		sender = fmt.Sprintf("run1-%d@%s", i, cmp.Or(m.domain, "src.test"))
		return sender, sender
	}
	return "load@src.test", fmt.Sprintf("run1-%d", i)
}

// text returns header and body of the i-th message.
func (m *mail) text(i int) (header, body string) {
	return fmt.Sprintf("X-Storm-Id: run1-%d\r\nMessage-ID: <m%d@src.test>\r\nSubject: a test\r\n folded\r\n\r\n", i, i), fmt.Sprintf("token %d\r\nfirst line\r\n.a dot\r\n", i)
}

// to returns n messages with a recipient each, in a domain that plans match.
func to(domain string, n int) []mail {
	out := make([]mail, n)
	for i := range out {
		out[i].to = []string{fmt.Sprintf("r%d@%s.test", i, domain)}
	}
	return out
}

// send submits messages over a few connections, and claims them.
func (r *rig) send(mails ...mail) {
	r.t.Helper()
	const connections = 4
	first := r.sentMessages
	for i, m := range mails {
		sender, token := m.from(first + i)
		_, body := m.text(first + i)
		for _, to := range m.to {
			r.claims = append(r.claims, reconcile.Claim{
				Token: token, Recipient: to, Sender: sender, HasSender: true, Run: "run1", StormID: fmt.Sprintf("run1-%d", first+i), MessageID: fmt.Sprintf("<m%d@src.test>", first+i),
				Hashed: true, Body: xxhash.Sum64String(body), Size: int64(len(body)), Notify: m.notify, Sent: time.Now(),
			})
		}
	}
	r.sentMessages += len(mails)
	var work sync.WaitGroup
	for k := range connections {
		work.Go(func() { r.submit(mails, first, k, connections) })
	}
	work.Wait()
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// submit sends each step-th of the messages, from the k-th on.
func (r *rig) submit(mails []mail, first, k, step int) {
	cfg := client.Config{Address: r.relay.Addr(), Dialer: &net.Dialer{}, Timeouts: client.AllTimeouts(30 * time.Second), Now: time.Now}
	var greeting client.Greeting
	conn, err := client.Connect(r.t.Context(), &cfg, nobody{}, &greeting)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer conn.Close()
	var result client.Result
	for i := k; i < len(mails); i += step {
		sender, token := mails[i].from(first + i)
		header, body := mails[i].text(first + i)
		m := client.Message{From: sender, To: mails[i].to, Header: []byte(header), Body: client.NewBody([]byte(body))}
		if !mails[i].bySender && !mails[i].byHeader {
			m.DSN = &client.DSN{EnvID: token, Notify: mails[i].notify, Ret: mails[i].ret, ORcptSelf: true}
		}
		if err := conn.Send(r.t.Context(), &m, &result); err != nil || result.Recipients[0].Reply.Code != 250 {
			r.t.Errorf("submitting: %v %+v", err, result.Recipients)
			return
		}
	}
	if _, err := conn.Quit(r.t.Context()); err != nil {
		r.t.Error(err)
	}
}

// nobody observes nothing.
type nobody struct{}

// Reply and Lost implement client.Observer.
func (nobody) Reply(smtp.Stage, smtp.Code, smtp.Enhanced) {}
func (nobody) Lost(smtp.Stage, *client.Error)             {}

// drain waits until the relay holds nothing, and stops all.
func (r *rig) drain() {
	r.t.Helper()
	testkit.Await(r.t, "the relay has nothing left", func() bool { return r.relay.Depth() == 0 })
	r.stop()
}

// stop lists the queue in both forms and ends relay and sink.
func (r *rig) stop() {
	r.t.Helper()
	var ours, postqueue bytes.Buffer
	if err := r.relay.WriteQueue(&ours); err != nil {
		r.t.Fatal(err)
	}
	if err := r.relay.WritePostqueue(&postqueue); err != nil {
		r.t.Fatal(err)
	}
	r.listings = [][]byte{ours.Bytes(), postqueue.Bytes()}
	if err := r.relay.Close(); err != nil {
		r.t.Fatal(err)
	}
	testkit.Await(r.t, "the sink has no connection", func() bool { return r.sink.Stats().Open == 0 })
	if err := r.sink.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// judge returns what the judge finds.
func (r *rig) judge(incidents ...reconcile.Incident) *reconcile.Result {
	r.t.Helper()
	j := reconcile.New(reconcile.Options{MinimalBackoff: r.minimal})
	check := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for i := range r.claims {
		check(j.Claim(&r.claims[i]))
	}
	file, err := os.Open(r.ledger)
	check(err)
	defer func() { _ = file.Close() }()
	l := j.Ledger()
	_, err = ledger.Each(ledger.Input{Name: r.ledger, R: file}, l.Row)
	check(err)
	for i, listing := range r.listings {
		if r.unseenQueue {
			break
		}
		j.Listing(time.Now().Add(time.Duration(i)*5*time.Second), false)
		check(reconcile.ReadQueue(bytes.NewReader(listing), "queue", j.Queued))
	}
	j.KnowNotifications()
	r.returned.mu.Lock()
	defer r.returned.mu.Unlock()
	for _, text := range r.returned.messages {
		told, err := dsn.Parse(bytes.NewReader(text))
		check(err)
		for i := range told {
			check(j.Notify(&told[i]))
		}
	}
	check(reconcile.ReadLog(&r.log, "mta.jsonl", j.Log))
	for i := range incidents {
		j.Incident(&incidents[i])
	}
	result, err := j.Finish(nil)
	check(err)
	r.t.Log(result.Verdict.Sentence, result.Lacking)
	return result
}

// say puts a result in a line: fates, findings and the exit status.
func say(result *reconcile.Result) string {
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

// late tells whether retries that the relay made at once, as it was ordered to, came later than the policy's pause: a busy machine may be
// that slow, and then nothing is wrong with them.
func (r *rig) late(result *reconcile.Result) bool {
	var found uint64
	for _, f := range result.Findings {
		if f.Kind == reconcile.KindRetriedTooSoon {
			found = f.Units
		}
	}
	return found < uint64(r.relay.Told()[relay.RetrySoon])
}

// liar starts a relay that lies, has it relay the messages, and returns what the judge says. It does so again where the machine was too
// busy for a retry at once.
func liar(t *testing.T, plan string, lies []relay.Lie, mails []mail) (*rig, *reconcile.Result) {
	t.Helper()
	for range 10 {
		r := start(t, plan, lies...)
		r.send(mails...)
		r.drain()
		if result := r.judge(); !r.late(result) {
			return r, result
		}
	}
	t.Fatal("retries at once came too late ten times, or the judge doesn't see them")
	return nil, nil
}

// want compares what the judge says.
func (r *rig) want(want string, incidents ...reconcile.Incident) {
	r.t.Helper()
	r.said(r.judge(incidents...), want)
}

// said compares what the judge has said.
func (r *rig) said(result *reconcile.Result, want string) {
	r.t.Helper()
	if got := say(result); got != want {
		r.t.Errorf("the judge says\n%s, want\n%s", got, want)
		for _, f := range result.Findings {
			r.t.Logf("%s: %+v", f.Kind, f.Evidence)
		}
	}
	r.told()
}

// told compares how often each lie was told with what was ordered.
func (r *rig) told() {
	r.t.Helper()
	var ordered []string
	for _, l := range r.cfg.Lies {
		n := r.relay.Told()[l.Kind]
		victims := l.Count
		if strings.HasPrefix(string(l.Kind), "swap-") {
			victims *= 2
		}
		if n != victims {
			ordered = append(ordered, fmt.Sprintf("%s: %d, want %d", l.Kind, n, victims))
		}
	}
	if slices.Sort(ordered); len(ordered) > 0 {
		r.t.Errorf("lies were told another number of times: %v", ordered)
	}
}
