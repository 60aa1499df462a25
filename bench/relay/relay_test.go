package relay_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	smtpserver "github.com/emersion/go-smtp"

	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/sink/dsn"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestTruthInAStorm: a relay that does its best under deferrals, refusals, lost replies, closed connections and delays is blamed for
// nothing.
func TestTruthInAStorm(t *testing.T) {
	t.Parallel()
	r := start(t, `version: 1
seed: 5
rules:
  - {name: greeting, stage: connect, outcomes: [{weight: 95}, {weight: 5, reply: 421/4.3.2}]}
  - {name: sender, stage: mail, outcomes: [{weight: 90}, {weight: 8, reply: 451/4.3.0}, {weight: 2, reply: 550/5.7.1}]}
  - {name: unknown, stage: rcpt, match: {recipient: "*@no.test"}, reply: 550/5.1.1}
  - {name: recipient, stage: rcpt, outcomes: [{weight: 80}, {weight: 10, reply: 450/4.2.0}, {weight: 5, reply: 552/5.5.3}, {weight: 5, close: rst}]}
  - name: content
    stage: message
    outcomes:
      - {weight: 60}
      - {weight: 10, reply: 451/4.3.0}
      - {weight: 5, reply: 554/5.7.1}
      - {weight: 8, close: fin, delivery: keep}
      - {weight: 4, close: rst, delivery: keep}
      - {weight: 4, close: fin}
      - {weight: 9, delay: 100ms}
`)
	mails := append(to("yes", 300), to("no", 40)...)
	for i := range 60 {
		mails = append(mails, mail{to: []string{fmt.Sprintf("a%d@yes.test", i), fmt.Sprintf("b%d@no.test", i), fmt.Sprintf("c%d@other.test", i)}})
	}
	for i := range mails {
		mails[i].bySender = i%3 == 0
	}
	r.send(mails...)
	r.drain()
	result := r.judge()
	said := say(result)
	t.Log(said)
	if result.Verdict.Exit != reconcile.ExitSound || strings.Contains(said, "fault") || strings.Contains(said, "warning") {
		t.Errorf("the judge says %s, want nothing but information: %+v", said, result.Findings)
	}
	for _, fate := range []reconcile.Fate{reconcile.Delivered, reconcile.DuplicatedAmbiguous, reconcile.Refused} {
		if result.Fates[fate] < 20 {
			t.Errorf("%d %v: the storm tries nothing", result.Fates[fate], fate)
		}
	}
}

func TestLostOfAnUnseenQueue(t *testing.T) {
	t.Parallel()
	r := start(t, calm, relay.Lie{Kind: relay.Lose, Count: 16, Of: 1000})
	r.unseenQueue = true
	r.send(to("r", 1000)...)
	r.drain()
	r.want("984 delivered, 16 undetermined, exit 3")
}

// TestQueued: what the relay holds at the end is queued in both forms of its listings, notifications among it.
func TestQueued(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"queue.jsonl", "postqueue -j"} {
		r := start(t, `version: 1
rules:
  - {name: later, stage: rcpt, match: {recipient: "*@slow.test"}, reply: 451/4.3.0}
  - {name: never, stage: rcpt, match: {recipient: "*@no.test"}, reply: 550/5.1.1}
  - {name: nobody home, stage: rcpt, match: {recipient: "*@src.test"}, reply: 451/4.3.0}
`)
		if err := r.relay.Close(); err != nil {
			t.Fatal(err)
		}
		r.cfg.ReturnPath = r.cfg.NextHop
		r.startRelay()
		mails := append(append(to("slow", 7), to("no", 5)...), to("yes", 3)...)
		for i := range mails {
			mails[i].bySender = true
		}
		r.send(mails...)
		testkit.Await(r.t, "all that can be done is done", func() bool { return r.relay.Depth() == 12 && r.sink.Stats().Open == 0 && returning(r) == 5 })
		r.stop()
		n := 0
		if form == "postqueue -j" {
			n = 1
		}
		r.listings = [][]byte{r.listings[n], r.listings[n]}
		if r.want("3 delivered, 5 refused, 7 queued, exit 0"); t.Failed() {
			t.Fatalf("by %s:\n%s", form, r.listings[0])
		}
	}
}

// returning counts the notifications in the queue.
func returning(r *rig) int {
	var b bytes.Buffer
	if err := r.relay.WriteQueue(&b); err != nil {
		r.t.Fatal(err)
	}
	return strings.Count(b.String(), `"kind":"dsn"`)
}

// TestKilled: what a kill makes the relay forget comes again, and the incident excuses it; nothing is lost.
func TestKilled(t *testing.T) {
	t.Parallel()
	r := start(t, `version: 1
rules:
  - {name: slow, stage: message, match: {attempt: 1, recipient: "*@slow.test"}, silence: true, delivery: keep}
`)
	r.send(append(to("slow", 9), to("yes", 60)...)...)
	testkit.Await(r.t, "nine wait for a reply", func() bool { return r.relay.Depth() == 9 })
	r.relay.Kill()
	killed := time.Now()
	if n := r.relay.Depth(); n != 9 {
		t.Errorf("%d messages in the spool of a killed relay, want 9", n)
	}
	r.cfg.Spool = r.relay.Spool()
	r.startRelay()
	r.drain()
	result := r.judge(reconcile.Incident{Time: killed, What: "kill", Who: "mta"})
	if got := result.Fates[reconcile.Delivered] + result.Fates[reconcile.DuplicatedAmbiguous]; got != 69 || result.Verdict.Exit != 0 || result.Fates[reconcile.DuplicatedAmbiguous] == 0 {
		t.Errorf("the judge says %s", say(result))
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	r := start(t, calm, relay.Lie{Kind: relay.Split, Count: 4})
	for i := range 10 {
		r.send(mail{to: []string{fmt.Sprintf("a%d@x.test", i), fmt.Sprintf("b%d@x.test", i), fmt.Sprintf("c%d@y.test", i)}})
	}
	r.drain()
	r.want("30 delivered, information split 12, exit 0")
}

// TestAddresses: an address keeps the quotes that it needs.
func TestAddresses(t *testing.T) {
	t.Parallel()
	r := start(t, calm)
	for _, to := range []string{`"a b"@x.test`, `"a\"b\\c"@x.test`, `"plain"@x.test`, "user..name@x.test", "user.@x.test", "o'neill+tag=1@x.test", "u@[127.0.0.1]"} {
		r.send(mail{to: []string{to}}, mail{to: []string{to}, bySender: true})
	}
	r.drain()
	r.want("14 delivered, exit 0")
}

// TestExpired: who is deferred for longer than the lifetime is given up, and the sender is told so.
func TestExpired(t *testing.T) {
	t.Parallel()
	r := start(t, `version: 1
rules: [{name: later, stage: rcpt, match: {recipient: "*@slow.test"}, reply: 451/4.3.0}]`)
	if err := r.relay.Close(); err != nil {
		t.Fatal(err)
	}
	r.cfg.Policy.Lifetime = time.Second
	r.startRelay()
	r.send(append(to("slow", 6), to("yes", 4)...)...)
	r.drain()
	r.want("4 delivered, 6 expired, exit 0")
}

// TestNotification: what a notification says, field by field (RFC 3464), and who gets none (RFC 3461 section 4.1).
func TestNotification(t *testing.T) {
	t.Parallel()
	r := start(t, `version: 1
rules: [{name: never, stage: rcpt, match: {recipient: "*@no.test"}, reply: {code: 550, enhanced: 5.1.1, text: no such user}}]`)
	r.send(mail{to: []string{"a@no.test", "b@yes.test", "c@no.test"}, ret: "HDRS"}, mail{to: []string{"d@no.test"}, notify: "NEVER"}, mail{to: []string{"e@no.test"}, notify: "SUCCESS"})
	r.drain()
	r.want("1 delivered, 4 refused, exit 0")
	if n := len(r.returned.messages); n != 1 {
		t.Fatalf("%d notifications, want that of the first message alone", n)
	}
	text := string(r.returned.messages[0])
	told, err := dsn.Parse(strings.NewReader(text))
	if err != nil || len(told) != 2 {
		t.Fatalf("%+v, %v", told, err)
	}
	for i, rcpt := range []string{"a@no.test", "c@no.test"} {
		want := reconcile.Notification{
			ID: told[i].ID, Token: "run1-0", Sender: "load@src.test", StormID: "run1-0", MessageID: "<m0@src.test>", Recipient: rcpt, Original: rcpt, Action: "failed", Status: "5.1.1", Time: told[i].Time,
		}
		if told[i] != want || !strings.HasSuffix(told[i].ID, "@relay.test>") || time.Since(told[i].Time) > time.Minute {
			t.Errorf("told %+v, want %+v", told[i], want)
		}
	}
	if strings.Contains(text, "first line") || !strings.Contains(text, "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n") {
		t.Errorf("RET=HDRS, and the notification is\n%s", text)
	}
}

// TestNextHopWithoutDSN: who wants to know of a success is told by the relay if the next hop can't be asked to (RFC 3461 section 5.2.2).
func TestNextHopWithoutDSN(t *testing.T) {
	t.Parallel()
	var returned, hop mailbox
	server := smtpserver.NewServer(smtpserver.BackendFunc(func(*smtpserver.Conn) (smtpserver.Session, error) { return &hop, nil }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	r := &rig{t: t}
	r.cfg = relay.Config{Listen: "127.0.0.1:0", NextHop: l.Addr().String(), ReturnPath: returned.open(t), Policy: quick()}
	r.startRelay()
	r.send(mail{to: []string{"a@x.test"}, notify: "SUCCESS,FAILURE"}, mail{to: []string{"b@x.test"}})
	testkit.Await(r.t, "the relay has nothing left", func() bool { return r.relay.Depth() == 0 })
	if len(hop.messages) != 2 || len(returned.messages) != 1 || !strings.Contains(string(returned.messages[0]), "Final-Recipient: rfc822; a@x.test\r\nAction: relayed\r\nStatus: 2.0.0\r\n") {
		t.Errorf("%d delivered, and notified:\n%s", len(hop.messages), returned.messages)
	}
}

func TestWhatCannotStart(t *testing.T) {
	good := relay.Config{Listen: "127.0.0.1:0", NextHop: "127.0.0.1:1", Policy: quick()}
	for name, test := range map[string]struct {
		spoil func(*relay.Config)
		want  string
	}{
		"a policy that is wrong": {func(c *relay.Config) { c.Policy.First = 0 }, "First"},
		"an unknown lie":         {func(c *relay.Config) { c.Lies = []relay.Lie{{Kind: "fib", Count: 1}} }, `"fib"`},
		"no place to listen":     {func(c *relay.Config) { c.Listen = "203.0.113.1:1" }, "203.0.113.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.spoil(&cfg)
			if _, err := relay.Start(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %s", err, test.want)
			}
		})
	}
}

func TestParseLie(t *testing.T) {
	for _, kind := range relay.Kinds() {
		want := relay.Lie{Kind: kind, Count: 8, Of: 200}
		if got, err := relay.ParseLie(string(kind) + "=8/200"); got != want || err != nil {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if got, err := relay.ParseLie("lose=3"); err != nil || got != (relay.Lie{Kind: relay.Lose, Count: 3}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "lose", "lose=", "lose=0", "lose=-1", "lose=x", "fib=1", "lose=8/7", "lose=8/", "swap-bodies=8/15", "lose=1/-1"} {
		if l, err := relay.ParseLie(text); err == nil {
			t.Errorf("%q is %+v", text, l)
		}
	}
}

// TestLog: the log tells in the form of mta.jsonl what the relay did, in order.
func TestLog(t *testing.T) {
	t.Parallel()
	r := start(t, refusing)
	r.send(to("slow", 1)...)
	r.send(to("no", 1)...)
	r.drain()
	var got []string
	err := reconcile.ReadLog(bytes.NewReader(r.log.Bytes()), "mta.jsonl", func(e *reconcile.LogEvent) error {
		got = append(got, strings.Join([]string{e.Recipient, e.Event, fmt.Sprint(e.Code)}, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"r0@slow.test accepted 0", "r0@slow.test deferred 451", "r0@slow.test sent 250"}, {"r0@no.test accepted 0", "r0@no.test bounced 550"},
		{"load@src.test accepted 0", "load@src.test sent 250"},
	} {
		var of []string
		for _, line := range got {
			if strings.HasPrefix(line, strings.Fields(want[0])[0]) {
				of = append(of, line)
			}
		}
		if strings.Join(of, ", ") != strings.Join(want, ", ") {
			t.Errorf("logged %q, want %q", of, want)
		}
	}
}
