package plan

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// TestChancesAreMetBySessions sends messages through sessions, as a client does, and compares what becomes of them with the chances that
// are told: of every shipped plan, and of plans that were told wrongly once.
func TestChancesAreMetBySessions(t *testing.T) {
	paths, err := ShippedPlans()
	if err != nil || len(paths) == 0 {
		t.Fatal("no plans", err)
	}
	for _, path := range paths {
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) { simulatePlan(t, f.Plan) })
	}
	const lmtp = "listeners: [{name: store, address: \"127.0.0.1:0\", protocol: lmtp}]\n"
	for _, c := range []struct {
		name, text string
		recipients int
		accepted   float64 // by the first kind of mail with so many recipients
	}{
		{"LMTP", lmtp + "rules: [{stage: message, outcomes: [{weight: 70}, {weight: 20, reply: 451}, {weight: 10, reply: 550}]}]", 5, 0.16807},
		{"LMTP, one draw for all", lmtp + "rules: [{stage: message, key: message, outcomes: [{weight: 70}, {weight: 20, reply: 451}, {weight: 10, reply: 550}]}]", 5, 0.7},
		{"LMTP, closed between replies", lmtp + "rules: [{stage: message, outcomes: [{weight: 6}, {weight: 1, reply: 421}, {weight: 1, close: fin}, {weight: 1, close: {mode: fin, when: after}}, {weight: 1, reply: 550, close: {mode: fin, when: after}}]}]", 1, 0.7},
		{"EHLO refused, but not HELO", "rules: [{stage: ehlo, outcomes: [{weight: 2}, {reply: 502}, {reply: 451}]}]", 1, 0.75},
		{"EHLO refused, and sometimes HELO", "rules: [{stage: ehlo, reply: 550}, {stage: helo, outcomes: [{weight: 6}, {weight: 3, reply: 550}, {weight: 1, reply: 421}]}]", 5, 0.6},
		{"LHLO refused", lmtp + "rules: [{stage: ehlo, outcomes: [{weight: 3}, {reply: 502}]}]", 1, 0.75},
		{"550, then closed, at rcpt", "rules: [{stage: rcpt, outcomes: [{}, {reply: 550, close: {mode: fin, when: after}}]}]", 1, 0.5},
		{"closed around mail", "rules: [{stage: mail, outcomes: [{}, {reply: 550, close: {mode: rst, when: after}}, {reply: 451, close: {mode: fin, when: after}}, {close: {mode: fin, when: after}}]}]", 1, 0.25},
		{"the first attempt", "rules: [{stage: rcpt, match: {attempt: 1}, outcomes: [{weight: 20}, {weight: 80, reply: 451}]}]", 1, 0.2},
		{"the first connection and message", "rules: [{stage: mail, match: {connection: 1, message: 1}, outcomes: [{}, {reply: 550}]}]", 1, 0.5},
		{"later attempts", "rules: [{stage: rcpt, match: {attempt: 2-}, reply: 550}]", 1, 1},
		{"recipients that are drawn alone", `
rules:
  - {stage: connect, outcomes: [{weight: 19}, {reply: 421}]}
  - {stage: mail, outcomes: [{weight: 18}, {reply: 451}, {reply: 550}]}
  - {stage: rcpt, outcomes: [{weight: 14}, {weight: 2, reply: 450}, {weight: 2, reply: 550}, {reply: 421}, {close: rst}]}
  - {stage: data, outcomes: [{weight: 18}, {reply: 451}, {reply: 554}]}
  - {stage: message, outcomes: [{weight: 16}, {reply: 452}, {reply: 554}, {close: fin, delivery: keep}, {malformed: no-code}]}`, 1, 0.95 * 0.9 * 0.7 * 0.9 * 0.8},
		{"recipients that share a draw", `
rules:
  - {stage: rcpt, key: message, outcomes: [{weight: 6}, {weight: 2, reply: 450}, {weight: 1, reply: 550}, {weight: 1, reply: 421}]}
  - {stage: message, outcomes: [{weight: 3}, {weight: 1, reply: 554}]}`, 5, 0.45},
		{"half of a phase's rules", `
phases:
  - name: p
    duration: 1s
    ramp: {from: 0.5, to: 0.5}
    rules:
      - {stage: rcpt, key: message, outcomes: [{weight: 1}, {weight: 1, reply: 450}, {weight: 1, reply: 550}]}
      - {stage: message, reply: 451}`, 1, 1. / 3},
		{"limits at rcpt", `
limits:
  - {name: pace, kind: rate, rate: 3/s, reply: 451}
  - {name: few, kind: recipients, max: 2, match: {recipient: "*@recipient.invalid"}, reply: 550}
rules: [{stage: rcpt, outcomes: [{weight: 9}, {weight: 1, reply: 450}]}]`, 1, 0.9},
		{"a quota at rcpt, and one for each recipient", `
limits:
  - {name: day, kind: quota, scope: [client, sender-domain], max: 3, per: 1h, from: clock, reply: 452}
  - {name: each, kind: quota, scope: recipient, max: 1, per: 1h}
  - {name: at once, kind: concurrency, scope: sender, max: 1}
rules: [{stage: rcpt, outcomes: [{weight: 9}, {weight: 1, reply: 450}]}]`, 1, 0.9},
		{"exceptions", `
rules:
  - {stage: rcpt, except: [{sender: "*@good.test"}, {client: 203.0.113.0/24}], outcomes: [{weight: 4}, {weight: 1, reply: 550}]}
  - {stage: mail, match: {client: 192.0.2.0/24}, except: {client: 192.0.2.0/25}, outcomes: [{}, {reply: 451}]}`, 1, 0.8},
		{"size, declared and counted", "rules: [{stage: mail, match: {size: 10KiB-}, outcomes: [{}, {reply: 552}]}, {stage: rcpt, match: {size: 10KiB-}, outcomes: [{weight: 9}, {reply: 450}]}, {stage: message, match: {size: 0-1000}, outcomes: [{}, {reply: 554}]}]", 1, 1},
		{"size of nobody", "rules: [{stage: message, match: {size: 1-}, outcomes: [{}, {reply: 554}]}]", 1, 0.5},
		{"time of day", "rules: [{stage: connect, match: {time: [\"22:00-06:00 Europe/Berlin\", 12:00-13:00]}, outcomes: [{weight: 3}, {reply: 421}]}, {stage: rcpt, except: {time: 00:00-12:00}, outcomes: [{weight: 4}, {reply: 450}]}]", 1, 0.8},
		{"fields that occur often, or not at all", "rules: [{stage: message, match: {repeats: {received: 30-}}, reply: 554}, {stage: message, match: {repeats: {x-none: 0-1}}, reply: 550}]", 1, 1},
		{"local parts", "rules: [{stage: rcpt, match: {recipient: \"bounce+*@\"}, outcomes: [{}, {reply: 550}]}, {stage: mail, match: {sender: \"*-request@*.example\"}, reply: 550}, {stage: rcpt, match: {recipient: \"abuse@*\"}, reply: 450}]", 1, 1},
		{"a draw for the connection, and a fault in the body", `
rules:
  - {stage: connect, key: connection, outcomes: [{weight: 9}, {weight: 1, reply: 554}]}
  - {stage: data, outcomes: [{weight: 8}, {weight: 1, body: {after: 1KiB, close: rst}}, {weight: 1, body: {after: 1KiB, stop_reading: true, for: 1s}}]}`, 1, 0.81},
		{"implicit TLS", "listeners: [{name: a, address: \"127.0.0.1:0\", tls: implicit}]\nrules: [{stage: connect, outcomes: [{weight: 8}, {weight: 1, tls: garbage}, {weight: 1, tls: expired}]}]", 1, 0.9},
		{"what is met at first sight", `
react:
  - {name: new, of: client, when: {stage: message, code: 250}, after: 0, then: {limits: [{name: few, kind: quota, stage: rcpt, max: "doubling(3,9)", per: 1d}],
      rules: [{stage: mail, outcomes: [{weight: 3}, {weight: 1, reply: 451}]}]}}
  - {name: bad, of: client, when: {stage: rcpt, code: 450}, then: {rules: [{stage: rcpt, reply: 550}]}}
rules: [{stage: rcpt, outcomes: [{weight: 9}, {weight: 1, reply: 450}]}, {stage: mail, match: {standing: bad}, reply: 550}]`, 1, 0.75 * 0.9},
		{"own octets, some of which nobody can read", "rules: [{stage: mail, outcomes: [{weight: 9}, {raw: \"250 fine\\r\\n\"}, {raw: \"450-not\\r\\n450 now\\r\\n\"}, {reply: 250, raw: \"hello\\r\\n\"}]}, {stage: message, outcomes: [{weight: 4}, {raw: \"554 no\\r\\n\"}]}]", 1, 10. / 12 * 0.8},
		{"own words, plain and of outcomes", `
plain: {rcpt: "{{recipient}} is fine", message: "queued as {{queue_id}}", mail: ["one", "two"]}
rules:
  - {stage: rcpt, outcomes: [{weight: 9}, {reply: {code: 550, text: "no {{local_part}} for {{sender}}"}}]}
  - {stage: message, outcomes: [{weight: 3}, {reply: {code: 451, enhanced: none, text: "{{client}} at {{date}}"}}]}`, 1, 0.9 * 0.75},
		{"treatments of all keys, from first sight on", `
react:
  - {name: c, of: [client, sender-domain], when: {code: 599}, after: 0, then: {rules: [{stage: mail, outcomes: [{weight: 9}, {reply: 451}]}]}}
  - {name: r, of: recipient-domain, when: {stage: rcpt, code: 599}, after: 0, then: {rules: [{stage: rcpt, delay: "doubling(1s,4s)", outcomes: [{weight: 4}, {reply: 550}]}]}}
  - {name: h, of: helo, when: {stage: mail, code: 599}, after: 0}
rules: [{stage: mail, match: {standing: h}, reply: 550}, {stage: data, except: {standing: h}, reply: 554}]`, 1, 0.9 * 0.8},
		{"replies out of step", "rules: [{stage: rcpt, outcomes: [{weight: 8}, {weight: 1, reply: 354}, {weight: 1, malformed: wrong-code}]}, {stage: data, outcomes: [{weight: 9}, {weight: 1, reply: 250}]}]", 1, 0.72},
		{"one kind of mail among others", "rules: [{stage: rcpt, match: {sender: \"*@a.test\"}, outcomes: [{}, {reply: 550}]}, {stage: rcpt, match: {recipient: \"*.b.test\"}, reply: 451}, {stage: message, match: {header: {x-bulk: \"yes*\"}}, outcomes: [{}, {reply: 554}]}]", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("x.yaml", []byte("version: 1\nseed: 11\n"+c.text))
			if err != nil {
				t.Fatal(err)
			}
			var first *fault.Phase
			for _, p := range f.Plan.Phases() {
				first = p
			}
			if got := allTraffic(f.Plan, Serving{}, first)[0].of(c.recipients)[0].accepted; math.Abs(got-c.accepted) > 1e-9 {
				t.Errorf("%v of the messages with %d recipients are said to be accepted, want %v", got, c.recipients, c.accepted)
			}
			simulatePlan(t, f.Plan)
		})
	}
}

// simulatePlan simulates each kind of mail in each phase.
func simulatePlan(t *testing.T, p *fault.Plan) {
	t.Helper()
	for _, phase := range append([]*fault.Phase{nil}, p.Phases()...) {
		for _, mail := range allTraffic(p, Serving{}, phase) {
			for _, n := range recipientCounts {
				simulate(t, mail, n)
			}
		}
	}
}

// simulate sends messages of one kind and compares their fates with the chances.
func simulate(t *testing.T, mail *traffic, recipients int) {
	t.Helper()
	want := mail.of(recipients)[0]
	if sum := want.accepted + want.deferred + want.bounced; math.Abs(sum-1) > 1e-9 {
		t.Errorf("%s %s, %d recipients: the chances add up to %v", mail.mail(), mail.when, recipients, sum)
	}
	m := &mail.match
	later := mail.example.RcptN > 1 || mail.example.MessageN > 1 || mail.example.ConnN > 1 // the sender would have to come before
	exact := recipients > 1 && len(m.Recipients) > 0 && !bytes.Contains(mail.example.Recipient, []byte("any"))
	tooBig := mail.example.Size == 1 || mail.example.Size > 64<<10 || mail.example.TLSVersion != 0
	if mail.down || later || exact || tooBig {
		return
	}
	messages := 2500
	if recipients > 10 {
		messages = 500
	}
	s := simulation{traffic: mail, store: state.NewStore(0), now: mail.example.Time}
	s.env = session.Env{Plans: fixedView{mail.view}, Attempts: state.NewAttempts(s.store), Limits: state.NewLimits(s.store), Scratch: new(session.Scratch)}
	standings := state.NewStandings(0)
	standings.Use(s.now, mail.view.Plan())
	s.env.Standings = firstSights{standings}
	s.cfg = session.Config{LMTP: mail.lmtp}
	if mail.implicitTLS {
		s.cfg.TLS = session.TLSImplicit
	}
	var got [3]uint64
	for i := range messages {
		got[s.send(t, i, recipients)]++
	}
	result := fit.Test([]fit.Rule{{Name: mail.mail(), Outcomes: []fit.Outcome{
		{Label: "accepted", Probability: want.accepted, Drawn: got[passes]}, {Label: "deferred", Probability: want.deferred, Drawn: got[defers]},
		{Label: "bounced", Probability: want.bounced, Drawn: got[bounces]},
	}}})[0]
	if certain := max(want.accepted, want.deferred, want.bounced) > 1-1e-9; certain && result.P == 0 && result.Tested || result.Tested && result.P <= 0.001 {
		t.Errorf("%s %s, %d recipients: of %d messages %v were accepted, deferred, bounced; the chances are %.5f %.5f %.5f: p = %v",
			mail.mail(), mail.when, recipients, messages, got, want.accepted, want.deferred, want.bounced, result.P)
	}
}

// firstSights are standings in which nothing begins but at first sight, as the chances have it.
type firstSights struct{ *state.Standings }

func (firstSights) Count(_ time.Time, _ *fault.Plan, _ *fault.Occurrence, _ fault.Counts, changes []state.Change) []state.Change {
	return changes
}

// fixedView is a plan that stays in its phase.
type fixedView struct{ view *fault.View }

func (v fixedView) Current(time.Time) *fault.View { return v.view }

// simulation is a sink, and its clients one after the other.
type simulation struct {
	*traffic
	store *state.Store
	env   session.Env
	cfg   session.Config
	now   time.Time

	session *session.Session // of the client that is connected
	output  []byte
	closed  bool
}

// patience is how long a client waits for a reply: less than the session waits for the client, who would be told 421.
const patience = session.DefaultIdleTimeout - time.Second

// send sends one message, alone on its connection and long after the one before, and returns what became of it.
func (s *simulation) send(t *testing.T, i, recipients int) effect {
	x, m := &s.example, &s.match
	s.now = x.Time.Add(time.Duration(i+1) * 24 * time.Hour)
	client := x.Client
	if len(m.Clients) == 0 {
		client = netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
	}
	declared := ""
	if x.Size > 0 {
		declared = fmt.Sprintf(" SIZE=%d", x.Size)
	}
	sender := vary(x.Sender, len(m.Senders) == 0, fmt.Sprint("s", i))
	s.output, s.closed = s.output[:0], false
	s.session = session.New(&s.cfg, &s.env, session.ConnInfo{ID: uint64(i), N: 1, Listener: x.Listener, Client: netip.AddrPortFrom(client, 1025)}, s.now)
	s.obey()
	defer func() { s.session.Closed(s.now, errors.New("done")); s.obey() }()
	hello := map[bool]string{true: "LHLO ", false: "EHLO "}[s.cfg.LMTP]
	for j, line := range []string{"", hello + string(x.Helo), "MAIL FROM:<" + sender + ">" + declared} {
		if j > 0 {
			s.say(line)
		}
		e := meaning(s.reply(), 2)
		if e == bounces && strings.HasPrefix(line, "EHLO ") && !s.closed {
			s.say("HELO " + string(x.Helo))
			e = meaning(s.reply(), 2)
		}
		if e != passes {
			return e % passesLast
		} else if s.closed {
			return defers
		}
	}
	accepted, bounced := 0, false
	giveUp := func() effect {
		if bounced {
			return bounces
		}
		return defers
	}
	for r := range recipients {
		s.say("RCPT TO:<" + vary(x.Recipient, len(m.Recipients) == 0, fmt.Sprint("r", i, "-", r)) + ">")
		e := meaning(s.reply(), 2)
		bounced = bounced || e%passesLast == bounces
		if e == passes {
			accepted++
		}
		if e >= passesLast || s.closed {
			return giveUp()
		}
	}
	if accepted == 0 {
		return giveUp()
	}
	s.say("DATA")
	if e := meaning(s.reply(), 3); e != passes || s.closed {
		bounced = bounced || e%passesLast == bounces
		return giveUp()
	}
	s.say(s.body())
	replies := 1
	if s.cfg.LMTP {
		replies = accepted
	}
	all := accepted == recipients
	for range replies {
		e := meaning(s.reply(), 2)
		bounced, all = bounced || e%passesLast == bounces, all && e == passes
	}
	if all {
		return passes
	}
	return giveUp()
}

// vary puts another local part into an address that is an example, or that nobody names.
func vary(address []byte, free bool, local string) string {
	at := bytes.LastIndexByte(address, '@')
	if at < 0 {
		return string(address)
	}
	if free {
		return local + string(address[at:])
	}
	return strings.ReplaceAll(string(address[:at]), "any", local) + string(address[at:])
}

// body returns a message that is longer than what faults wait for.
func (s *simulation) body() string {
	header := "Subject: test\r\n"
	if h, ok := s.example.Headers.(fault.ExampleHeader); ok {
		for _, f := range h {
			header += f.Name + ": " + f.Value + "\r\n"
		}
	}
	if size := int(s.example.Size); size > 0 {
		text := header + "\r\n"
		if size < len(text)+2 {
			text = ""
		}
		for size-len(text) > 140 {
			text += strings.Repeat("x", 68) + "\r\n"
		}
		return text + strings.Repeat("x", size-len(text)-2) + "\r\n."
	}
	return header + "\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20) + "."
}

func (s *simulation) say(line string) {
	s.output = s.output[:0]
	for input := []byte(line + "\r\n"); len(input) > 0 && !s.closed; {
		n := s.session.Feed(s.now, input)
		input = input[n:]
		s.obey()
		if n == 0 && !s.wait() {
			return
		}
	}
}

// wait lets time pass until the session wants to do something. It reports whether that was within the client's patience.
func (s *simulation) wait() bool {
	due := s.session.Deadline()
	if due.IsZero() || due.Sub(s.now) > patience {
		return false
	}
	s.now = due
	s.session.Advance(due)
	s.obey()
	return true
}

// reply returns the code of the next reply: 0 when none comes that can be understood.
func (s *simulation) reply() smtp.Code {
	code := smtp.Code(0)
	for {
		end := bytes.Index(s.output, []byte("\r\n"))
		if end < 0 {
			if s.closed || !s.wait() {
				return 0
			}
			continue
		}
		line := string(s.output[:end])
		s.output = s.output[end+2:]
		if len(line) < 4 || len(line) > 1000 {
			return 0
		}
		n, err := strconv.ParseUint(line[:3], 10, 16)
		if err != nil || code != 0 && smtp.Code(n) != code {
			return 0
		}
		code = smtp.Code(n)
		if line[3] == ' ' {
			return code
		}
	}
}

// meaning returns what a reply means where its first digit should be class.
func meaning(code smtp.Code, class uint8) effect {
	switch {
	case code == 0, code == 421:
		return defersLast
	case code.Permanent():
		return bounces
	case code.Temporary():
		return defers
	case code.Class() != class:
		return defersLast
	}
	return passes
}

// obey does what the session's effects say.
func (s *simulation) obey() {
	for e, ok := s.session.Next(); ok; e, ok = s.session.Next() {
		switch e.Kind {
		case session.EffectWrite:
			s.output = append(s.output, e.Data...)
		case session.EffectAwaitDrain:
			s.session.Drained(s.now)
		case session.EffectStartTLS:
			switch e.TLS {
			case fault.TLSGarbage, fault.TLSStall, fault.TLSReset, fault.TLSRefused:
				s.closed = true
				s.session.Closed(s.now, errors.New("handshake"))
			default:
				s.session.TLSDone(s.now, session.TLSInfo{}, nil)
			}
		case session.EffectClose:
			s.closed = true
		}
	}
}
