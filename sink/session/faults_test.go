package session_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// verdicts is a Recorder that writes down who decided what, one short line for each row.
type verdicts struct {
	struck            int
	rows              []string
	decided, replied  int
	attempts, pending int
	connection        session.Connection
}

func (v *verdicts) Decided(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View) { v.decided++ }
func (v *verdicts) Replied(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View) { v.replied++ }
func (v *verdicts) Struck(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View)  { v.struck++ }

func (v *verdicts) Attempt(a *session.Attempt) {
	row := fmt.Sprintf("<%s> %v at %v", a.Recipient, a.Ending, a.Stage)
	if a.Delivered {
		row += " delivered"
	}
	switch a.Commit {
	case session.CommitPending:
		row += " pending"
		v.pending++
	case session.CommitDone:
		row += " committed"
		v.attempts++
	case session.CommitAmended:
		row += " amended"
		v.attempts++
	default:
		v.attempts++
	}
	v.rows = append(v.rows, row+opinion(a.Code, a.ReplySent, a.Origin, a.Phase))
}

func (v *verdicts) Transaction(t *session.Transaction) {
	v.rows = append(v.rows, fmt.Sprintf("transaction %v at %v", t.Ending, t.Stage)+opinion(t.Code, t.ReplySent, t.Origin, t.Phase))
}

func opinion(code smtp.Code, sent bool, verdict session.Origin, phase string) (s string) {
	if code != 0 {
		s += fmt.Sprintf(" %d", code)
		if !sent {
			s += " unsent"
		}
		s += fmt.Sprintf(" by %v", verdict.Cause)
	}
	if verdict.By != "" {
		s += fmt.Sprintf(" %q", verdict.By)
	}
	if verdict.Fault != "" {
		s += " " + verdict.Fault
	}
	if phase != "" {
		s += " in " + phase
	}
	return s
}

func (v *verdicts) Message(*event.Message)                   {}
func (v *verdicts) Told(*event.Exception)                    {}
func (v *verdicts) Standing(*event.Standing, session.Origin) {}
func (v *verdicts) Connection(c *session.Connection) {
	v.connection = *c
	row := fmt.Sprintf("connection: %v", c.Reason)
	if c.By != "" {
		row += fmt.Sprintf(" by %v %q", c.Cause, c.By)
	}
	if c.Fault != "" {
		row += " " + c.Fault
	}
	if c.Code != 0 {
		row += fmt.Sprintf(", last %v %d", c.Stage, c.Code)
	}
	v.rows = append(v.rows, row)
}

// planned returns the setup of a plan's rules, or of a whole plan without its first line.
func planned(t testing.TB, text string, flags ...string) sinktest.Setup {
	t.Helper()
	s := setup(t, flags...)
	if strings.HasPrefix(text, "- ") {
		text = "rules:\n" + text
	}
	file, err := plan.Parse("test", []byte("version: 1\n"+text+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.Plan = file.Plan
	return s
}

// newPlanned starts a session with a plan of its own.
func newPlanned(t testing.TB, env session.Env, text string, flags ...string) (*sinktest.SessionConn, *verdicts) {
	t.Helper()
	v := &verdicts{}
	env.Recorder = v
	return sinktest.NewSessionConn(planned(t, text, flags...), &env), v
}

// TestRowsOfFaults: the rows say what was done, and by which rule.
func TestRowsOfFaults(t *testing.T) {
	envelope := []string{"EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "DATA", "text", "."}
	for _, tt := range []struct {
		name, plan, flags string
		lines             []string // envelope, unless given
		codes             string
		want              string
	}{
		{"silence at RCPT", "- {name: hush, stage: rcpt, match: {recipient: c@s.example}, silence: true}", "", nil, "220 250 250 250",
			`<c@s.example> lost at rcpt 250 unsent by rule "hush" silence
<b@s.example> lost at rcpt "hush" silence
connection: fault by rule "hush" silence, last rcpt 250`},
		{"RST before the reply to MAIL", "- {name: cut, stage: mail, reply: 250, close: rst}", "", nil, "220 250",
			`transaction lost at mail 250 unsent by rule "cut" rst-before
connection: fault by rule "cut" rst-before, last ehlo 250`},
		{"FIN after the reply to MAIL", "- {name: cut, stage: mail, close: {mode: fin, when: after}}", "", nil, "220 250 250",
			`transaction lost at rcpt "cut" fin-after
connection: fault by rule "cut" fin-after, last mail 250`},
		{"FIN after a refused RCPT", "- {name: cut, stage: rcpt, reply: 550, close: {mode: fin, when: after}}", "", nil, "220 250 250 550",
			`<b@s.example> reply at rcpt 550 by rule "cut" fin-after
connection: fault by rule "cut" fin-after, last rcpt 550`},
		{"FIN after an accepted RCPT", "- {name: cut, stage: rcpt, close: {mode: fin, when: after}}", "", nil, "220 250 250 250",
			`<b@s.example> lost at data "cut" fin-after
connection: fault by rule "cut" fin-after, last rcpt 250`},
		{"half-close after a refused DATA", "- {name: cut, stage: data, reply: 451, close: {mode: half, when: after}}", "", nil, "220 250 250 250 250 451",
			`<b@s.example> reply at data 451 by rule "cut" half-after
<c@s.example> reply at data 451 by rule "cut" half-after
connection: fault by rule "cut" half-after, last data 451`},
		{"RST in the body", "- {name: cut, stage: data, body: {after: 2, close: rst}}", "", nil, "220 250 250 250 250 354",
			`<b@s.example> lost at message "cut" body-rst
<c@s.example> lost at message "cut" body-rst
connection: fault by rule "cut" body-rst, last data 354`},
		{"stopped for good", "- {name: stop, stage: data, body: {after: 2, stop_reading: true}}", "", nil, "220 250 250 250 250 354",
			`<b@s.example> lost at message "stop" body-stop
<c@s.example> lost at message "stop" body-stop
connection: fault by rule "stop" body-stop, last data 354`},
		{"FIN in a chunk", "- {name: cut, stage: bdat, body: {after: 1, close: fin}}", "", []string{"EHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "BDAT 3", "x"}, "220 250 250 250",
			`<b@s.example> lost at bdat "cut" body-fin
connection: fault by rule "cut" body-fin, last rcpt 250`},
		{"the lost reply after the dot", "- {name: lost, stage: message, close: rst, delivery: keep}", "", nil, "220 250 250 250 250 354",
			`<b@s.example> lost at message delivered 250 unsent by rule "lost" rst-before+keep
<c@s.example> lost at message delivered 250 unsent by rule "lost" rst-before+keep
connection: fault by rule "lost" rst-before+keep, last data 354`},
		{"the lost reply, silently", "- {name: lost, stage: message, silence: true, delivery: keep}", "", nil, "220 250 250 250 250 354",
			`<b@s.example> lost at message delivered 250 unsent by rule "lost" silence+keep
<c@s.example> lost at message delivered 250 unsent by rule "lost" silence+keep
connection: fault by rule "lost" silence+keep, last data 354`},
		{"a reply that is never sent delivers nothing", "- {stage: message, close: fin}", "", nil, "220 250 250 250 250 354",
			`<b@s.example> lost at message 250 unsent by rule "rule 1" fin-before
<c@s.example> lost at message 250 unsent by rule "rule 1" fin-before
connection: fault by rule "rule 1" fin-before, last data 354`},
		{"kept though refused", "- {stage: message, reply: 451, delivery: keep}", "", append(envelope, "QUIT"), "220 250 250 250 250 354 451 221",
			`<b@s.example> reply at message delivered 451 by rule "rule 1" keep
<c@s.example> reply at message delivered 451 by rule "rule 1" keep
connection: quit, last quit 221`},
		{"thrown away though accepted", "- {stage: message, delivery: discard}", "", append(envelope, "QUIT"), "220 250 250 250 250 354 250 221",
			`<b@s.example> reply at message 250 by rule "rule 1" discard
<c@s.example> reply at message 250 by rule "rule 1" discard
connection: quit, last quit 221`},
		{"LMTP: silence after the first", "- {name: hush, stage: message, match: {recipient: c@s.example}, silence: true, delivery: keep}", "--lmtp",
			[]string{"LHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "RCPT TO:<d@s.example>", "DATA", "."}, "220 250 250 250 250 250 354 250",
			`<b@s.example> reply at message delivered 250 by plain
<c@s.example> lost at message delivered 250 unsent by rule "hush" silence+keep
<d@s.example> lost at message "hush" silence+keep
connection: fault by rule "hush" silence+keep, last message 250`},
		{"malformed and wrong", "- {name: odd, stage: rcpt, malformed: wrong-code}", "", []string{"HELO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "QUIT"}, "220 250 250 354 221",
			`<b@s.example> reply at rcpt 354 by rule "odd" malformed-wrong-code
connection: quit, last quit 221`},
		{"a limit", "limits: [{name: few, kind: recipients, max: 1}]", "", append(envelope, "QUIT"), "220 250 250 250 452 354 250 221",
			`<c@s.example> reply at rcpt 452 by limit "few"
<b@s.example> reply at message delivered 250 by plain
connection: quit, last quit 221`},
		{"a trigger", "- {stage: rcpt, reply: 421}", "--triggers", []string{"HELO c", "MAIL FROM:<>", "RCPT TO:<450+x@s.example>", "QUIT"}, "220 250 250 450 221",
			`<450+x@s.example> reply at rcpt 450 by trigger
connection: quit, last quit 221`},
		{"a phase", "start: clock\nphases: [{name: bad, duration: 1h, rules: [{name: down, stage: mail, reply: 451}]}]", "", []string{"HELO c", "MAIL FROM:<>", "QUIT"}, "220 250 451 221",
			`transaction reply at mail 451 by rule "down" in bad
connection: quit, last quit 221`},
		{"protocol", "rules: []", "", []string{"RCPT TO:<b@s.example>", "QUIT"}, "220 503 221",
			`<b@s.example> reply at rcpt 503 by protocol
connection: quit, last quit 221`},
		{"421 with other recipients accepted", "- {name: away, stage: noop, reply: 421}", "", []string{"EHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "NOOP"}, "220 250 250 250 421",
			`<b@s.example> reply at noop 421 by rule "away"
connection: reply by rule "away", last noop 421`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, v := newPlanned(t, session.Env{}, tt.plan, strings.Fields(tt.flags)...)
			if tt.lines == nil {
				tt.lines = envelope
			}
			if got := say(t, p, tt.lines...); got != tt.codes {
				t.Errorf("got the replies %s, want %s", got, tt.codes)
			}
			for steps := 0; !p.Closed() && steps < 3; steps++ {
				if err := p.Pass(session.DefaultMaxHold); err != nil {
					t.Fatal(err)
				}
			}
			wantLines(t, "rows", v.rows, strings.Split(tt.want, "\n"))
			if !p.Session.AtRest() {
				t.Error("the session still owns something")
			}
		})
	}
}

// TestStopReading: the driver is told to read nothing at all, and then to go on.
func TestStopReading(t *testing.T) {
	s := planned(t, "- {stage: data, body: {after: 4, stop_reading: true, for: 5s}}")
	sn := session.New(&s.Config, &session.Env{Plans: sinktest.FixedPlan{Plan: s.Plan}}, session.ConnInfo{}, sinktest.Epoch)
	wantEffects(t, sn, "greeting", "write")
	sn.Feed(sinktest.Epoch, []byte("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n"))
	wantEffects(t, sn, "DATA", "write")
	if n := sn.Feed(sinktest.Epoch, []byte("body\r\n.\r\n")); n != 4 {
		t.Errorf("Feed took %d octets of the body, want 4", n)
	}
	wantEffects(t, sn, "in the body", "stop reading")
	if n := sn.Feed(sinktest.Epoch, []byte("\r\n.\r\n")); n != 0 {
		t.Errorf("Feed took %d octets while reading is stopped", n)
	}
	now := sinktest.Epoch.Add(5 * time.Second)
	sn.Advance(now)
	wantEffects(t, sn, "after 5s", "resume")
	sn.Feed(now, []byte("\r\n.\r\n"))
	wantEffects(t, sn, "the end", "write")
	sn.Shutdown(now)
	wantEffects(t, sn, "shutdown", "write, close FIN")
}

// TestSplitIsDrained: each piece waits until the kernel has taken the one before; a client that takes none is given up.
func TestSplitIsDrained(t *testing.T) {
	s := planned(t, "- {stage: noop, split: {packets: 3, pause: 1s}}")
	sn := session.New(&s.Config, &session.Env{Plans: sinktest.FixedPlan{Plan: s.Plan}}, session.ConnInfo{}, sinktest.Epoch)
	wantEffects(t, sn, "greeting", "write")
	now := sinktest.Epoch
	sn.Feed(now, []byte("NOOP\r\nNOOP\r\n"))
	wantEffects(t, sn, "the first piece", "write, pause, await drain")
	sn.Advance(now.Add(time.Minute))
	wantEffects(t, sn, "not taken yet", "")
	now = now.Add(time.Minute)
	sn.Drained(now)
	wantEffects(t, sn, "taken", "")
	now = now.Add(time.Second)
	sn.Advance(now)
	wantEffects(t, sn, "the second piece", "write, await drain")
	sn.Advance(now.Add(session.DefaultIdleTimeout))
	wantEffects(t, sn, "never taken", "close RST")
}

// shared is a session.Limits that counts, and admits the first few.
type shared struct {
	admit  int
	log    []string
	places map[state.Place]string
}

func (s *shared) Early(time.Time, *fault.Limit, *fault.Occurrence) bool { return false }

func (s *shared) Admit(now time.Time, l *fault.Limit, o *fault.Occurrence) bool {
	s.admit--
	s.log = append(s.log, fmt.Sprintf("%v %s %v <%s> %v", since(now), l.Name, o.Stage, o.Recipient, s.admit >= 0))
	return s.admit >= 0
}

func (s *shared) Return(l *fault.Limit, o *fault.Occurrence) {
	s.log = append(s.log, fmt.Sprintf("return %s %v <%s>", l.Name, o.Stage, o.Recipient))
}

func (s *shared) Enter(l *fault.Limit, p state.Place) bool {
	s.admit--
	s.log = append(s.log, fmt.Sprintf("enter %s %v", s.name(l, p), s.admit >= 0))
	return s.admit >= 0
}

func (s *shared) Occupy(p state.Place) { s.log = append(s.log, "occupy "+s.places[p]) }

func (s *shared) Release(p state.Place) { s.log = append(s.log, "release "+s.places[p]) }

// name notes which limit a place is of.
func (s *shared) name(l *fault.Limit, p state.Place) string {
	if s.places == nil {
		s.places = map[state.Place]string{}
	}
	s.places[p] = l.Name
	return l.Name
}

// TestSharedLimits: what connections share is asked for in order, for those whom the limit is for, after protocol errors; and what a
// limit of concurrency has granted is given back once.
func TestSharedLimits(t *testing.T) {
	const text = `limits:
- {name: crowd, kind: concurrency, scope: client, max: 2}
- {name: all, kind: concurrency, scope: all, max: 2, stage: connect}
- {name: grey, kind: greylist, delay: 1m, window: 1h, except: {sender: "<>"}}
- {name: pace, kind: rate, scope: recipient-domain, rate: 1/s}
rules: [{name: never asked, stage: rcpt, reply: 421}]`
	limits := &shared{admit: 4}
	p, _ := newPlanned(t, session.Env{Limits: limits}, text)
	got := say(t, p, "HELO c", "MAIL FROM:<a@c.example>", "RCPT TO:<bad@>", "RCPT TO:<b@s.example>", "RCPT TO:<b@s.example>")
	if want := "220 250 250 501 421"; got != want {
		t.Errorf("got %s, want %s: both limits admit the first RCPT, and the rule speaks", got, want)
	}
	wantLines(t, "what was asked", limits.log, []string{
		"enter crowd true", "enter all true", "0s grey rcpt <b@s.example> true", "0s pace rcpt <b@s.example> true",
		"release crowd", "release all",
	})
	limits = &shared{admit: 2}
	p, v := newPlanned(t, session.Env{Limits: limits}, text)
	if got := say(t, p, "HELO c", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RSET", "MAIL FROM:<>", "RCPT TO:<b@s.example>"); got != "220 250 250 451 250 250 451" {
		t.Errorf("got %s", got)
	}
	p.Session.Closed(p.Now, errors.New("gone"))
	wantLines(t, "rows", v.rows, []string{
		`<b@s.example> reply at rcpt 451 by limit "grey"`, `<b@s.example> reply at rcpt 451 by limit "pace"`, "connection: error, last rcpt 451",
	})
	limits = &shared{admit: 1}
	p, _ = newPlanned(t, session.Env{Limits: limits}, text)
	if got := codes(t, p); got != "421" || !p.Closed() {
		t.Errorf("beyond the second limit of concurrency got %s, closed %v", got, p.Closed())
	}
	wantLines(t, "what was asked", limits.log, []string{"enter crowd true", "enter all false", "release crowd"})
}

// TestOpenConnectionsCount: a connection counts towards limits of concurrency that come when it is open already: with the next phase, or
// with another plan, which it reads at MAIL.
func TestOpenConnectionsCount(t *testing.T) {
	const calm = `phases:
- {name: calm, duration: 1h}
- {name: crowded, duration: 1h, limits: [{name: few, kind: concurrency, max: 1}, {name: not for us, kind: concurrency, max: 1, match: {client: 198.51.100.0/24}}]}
`
	limits := &shared{admit: 9}
	plans := &swap{planned(t, calm).Plan}
	next := planned(t, "limits: [{name: all, kind: concurrency, scope: all, max: 1}, {name: few, kind: concurrency, max: 2}]").Plan
	for _, l := range next.AllLimits() {
		limits.name(l, state.PlaceOf(l, &fault.Occurrence{Client: netip.MustParseAddr("192.0.2.1")}))
	}
	p, _ := newPlanned(t, session.Env{Limits: limits, Plans: plans}, calm)
	say(t, p, "HELO c", "MAIL FROM:<>", "RSET")
	plans.plan = next
	say(t, p, "MAIL FROM:<>", "RSET", "MAIL FROM:<>", "QUIT")
	wantLines(t, "what was counted", limits.log, []string{"occupy few", "occupy all", "release few", "release all"})
}

// TestTokens: what identifies a message is taken from its header, if that is wanted.
func TestTokens(t *testing.T) {
	var got []string
	see := &tokens{see: func(a *session.Attempt) {
		got = append(got, fmt.Sprintf("%s|%s|%s|%d", a.Token, a.StormID, a.MessageID, a.Message))
	}}
	message := []string{"EHLO c", "MAIL FROM:<a@c.example> ENVID=e1", "RCPT TO:<b@s.example>", "DATA",
		"Subject: x", "x-storm-ID : 17", "X-Storm-Id: 18", "Message-Id:", " <m1@c.example>", "", "X-Storm-Id: 19", "."}
	p := sinktest.NewSessionConn(setup(t, "--capture-headers"), &session.Env{Recorder: see})
	say(t, p, message...)
	say(t, p, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", "", "X-Storm-Id: 19", ".")
	p = sinktest.NewSessionConn(setup(t), &session.Env{Recorder: see})
	say(t, p, message...)
	wantLines(t, "token, X-Storm-Id, Message-ID, message", got, []string{"e1|17|<m1@c.example>|1", "a@c.example|||2", "e1|||1"})
}

// tokens is a Recorder of attempts.
type tokens struct {
	verdicts
	see func(*session.Attempt)
}

func (r *tokens) Attempt(a *session.Attempt) { r.see(a) }

// TestLongHeader: what lies behind 64 KiB of a header is as if absent, and costs nothing.
func TestLongHeader(t *testing.T) {
	for _, padding := range []int{10, 65000, 70000, 5 << 20} {
		p, _ := newPlanned(t, session.Env{}, "- {stage: message, match: {header: {x-last: y}}, reply: 451}")
		say(t, p, "EHLO c", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA")
		for sent := 0; sent < padding; sent += 1000 {
			if err := p.Send([]byte("X-Padding: " + strings.Repeat("x", 987) + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		if held := p.Session.Held(); held > 256<<10 {
			t.Errorf("after %d octets of header the session holds %d", padding, held)
		}
		want := "451"
		if padding >= 64<<10 {
			want = "250"
		}
		if got := say(t, p, "X-Last: Y", "", "."); got != want {
			t.Errorf("after %d octets of header got %s, want %s", padding, got, want)
		}
	}
}

// TestTLS: what the connection's row says of the handshake, and when the plan is read.
func TestTLS(t *testing.T) {
	calm, storm := planned(t, "rules: []").Plan, planned(t, "- {stage: ehlo, match: {tls: true}, reply: 550}").Plan
	plans := &swap{calm}
	v := &verdicts{}
	s := setup(t, "--tls", "starttls", "--auth", "ann:secret")
	p := sinktest.NewSessionConn(s, &session.Env{Plans: plans, Recorder: v})
	if got := say(t, p, "EHLO c", "AUTH PLAIN AGFubgBzZWNyZXQ=", "STARTTLS", "NOOP", "RSET"); got != "220 250 235 220" {
		t.Errorf("got %s", got)
	}
	plans.plan = storm
	p.Session.TLSDone(p.Now, session.TLSInfo{Version: "TLS 1.3"}, nil)
	if err := p.StartTLS(fault.TLSNone); err != nil {
		t.Fatal(err)
	}
	if got := say(t, p, "EHLO c", "QUIT"); got != "550 221" {
		t.Errorf("after TLS got %s, want the plan that is in force now", got)
	}
	c := &v.connection
	if !c.TLS || c.TLSInfo.Version != "TLS 1.3" || c.Injections != 1 || c.User != "" || c.Reason != session.ClosedByQuit {
		t.Errorf("the connection's row is %+v; want TLS, one injection, and a user forgotten", c)
	}

	v = &verdicts{}
	p = sinktest.NewSessionConn(setup(t, "--tls", "starttls"), &session.Env{Recorder: v})
	say(t, p, "EHLO c", "STARTTLS")
	p.Session.TLSDone(p.Now, session.TLSInfo{}, errors.New("bad record"))
	wantEffects(t, p.Session, "a failed handshake", "close FIN")
	p.Session.Closed(p.Now, nil)
	if c := &v.connection; c.Reason != session.ClosedByTLS || c.Err == nil || c.TLS {
		t.Errorf("the connection's row is %+v", c)
	}

	v = &verdicts{}
	p = sinktest.NewSessionConn(setup(t, "--tls", "starttls", "--idle-timeout", "1m"), &session.Env{Recorder: v})
	say(t, p, "EHLO c", "STARTTLS")
	pass(t, p, time.Minute)
	if c := &v.connection; !p.Closed() || c.Reason != session.ClosedByTimeout {
		t.Errorf("after a minute without a handshake: closed %v, %v", p.Closed(), c.Reason)
	}
}

// TestShutdownOfFaults: a held connection and a handshake end at once and without a word; replies in pieces run out.
func TestShutdownOfFaults(t *testing.T) {
	for _, tt := range []struct{ plan, flags, say, want string }{
		{"- {stage: noop, silence: true}", "", "NOOP", "close FIN"},
		{"- {stage: noop, close: half}", "", "NOOP", "close FIN"},
		{"rules: []", "--tls starttls", "STARTTLS", "close FIN"},
		{"- {stage: noop, dribble: {octets: 1, every: 1s}}", "", "NOOP", ""},
	} {
		p, _ := newPlanned(t, session.Env{}, tt.plan, strings.Fields(tt.flags)...)
		if err := p.Send([]byte(tt.say + "\r\n")); err != nil {
			t.Fatal(err)
		}
		p.Session.Shutdown(p.Now)
		wantEffects(t, p.Session, tt.plan+": shutdown", tt.want)
	}
}

// TestRowOfAWaitingRcptWithoutMail: such a RCPT leaves its row, too, when the connection ends before its reply was sent: by the client, or by
// the fault that withholds it.
func TestRowOfAWaitingRcptWithoutMail(t *testing.T) {
	for plan, want := range map[string]string{
		`- {name: late, stage: rcpt, match: {sequence: bad}, delay: 1s}`:                          `<b@s.example> lost at rcpt 503 unsent by rule "late"`,
		`- {name: late, stage: rcpt, match: {sequence: bad}, dribble: {octets: 1, every: 1s}}`:    `<b@s.example> lost at rcpt 503 unsent by rule "late" dribble`,
		`- {name: late, stage: rcpt, match: {sequence: bad}, silence: true}`:                      `<b@s.example> lost at rcpt 503 unsent by rule "late" silence`,
		`- {name: late, stage: rcpt, match: {sequence: bad}, close: half}`:                        `<b@s.example> lost at rcpt 503 unsent by rule "late" half-before`,
		`- {name: late, stage: rcpt, match: {sequence: bad}, reply: 550, bandwidth: {out: 1B/s}}`: `<b@s.example> lost at rcpt 550 unsent by rule "late" bandwidth`,
	} {
		p, v := newPlanned(t, session.Env{}, plan)
		for _, line := range []string{"EHLO c.example\r\n", "RCPT TO:<b@s.example>\r\n"} {
			if err := p.Send([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		p.Vanish(errors.New("reset"))
		var rows []string
		for _, row := range v.rows {
			if strings.HasPrefix(row, "<") {
				rows = append(rows, row)
			}
		}
		if len(rows) != 1 || rows[0] != want {
			t.Errorf("%s\nleft the rows %q, want %q", plan, rows, want)
		}
	}
}
