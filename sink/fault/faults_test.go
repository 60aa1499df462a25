package fault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// faulty is a plan of one rule with one outcome.
func faulty(s smtp.Stage, o OutcomeSpec) PlanSpec {
	o.Weight = 1
	return PlanSpec{Rules: []RuleSpec{{Stage: s, Outcomes: []OutcomeSpec{o}}}}
}

// TestFaultsReachTheDecision: the decision points at the outcome that was drawn, in the plan.
func TestFaultsReachTheDecision(t *testing.T) {
	for _, c := range []struct {
		stage  smtp.Stage
		o      OutcomeSpec
		unsent bool
	}{
		{smtp.StageConnect, OutcomeSpec{Faults: Faults{Silence: true}}, true},
		{smtp.StageConnect, OutcomeSpec{Faults: Faults{TLS: TLSStall}}, false},
		{smtp.StageEhlo, OutcomeSpec{Faults: Faults{Missing: []string{"STARTTLS"}}}, false},
		{smtp.StageStartTLS, OutcomeSpec{Faults: Faults{TLS: TLSExpired}}, false},
		{smtp.StageAuth, OutcomeSpec{Code: 535, Faults: Faults{Malformed: MalformedBadCode}}, false},
		{smtp.StageMail, OutcomeSpec{Code: 451, Faults: Faults{Dribble: Dribble{1, time.Second}}}, false},
		{smtp.StageConnect, OutcomeSpec{Faults: Faults{Bandwidth: Bandwidth{In: 5000, Out: Unlimited}}}, false},
		{smtp.StageRcpt, OutcomeSpec{Delay: fixed(time.Second), Faults: Faults{Close: Close{Mode: CloseRST}}}, true},
		{smtp.StageRcpt, OutcomeSpec{Code: 550, Faults: Faults{Close: Close{CloseHalf, CloseAfter}}}, false},
		{smtp.StageData, OutcomeSpec{Faults: Faults{Body: BodyFault{After: 1, Close: CloseRST}}}, false},
		{smtp.StageData, OutcomeSpec{Faults: Faults{Body: BodyFault{StopReading: true}}}, false},
		{smtp.StageBdat, OutcomeSpec{Code: 451, Faults: Faults{Body: BodyFault{After: 9, StopReading: true, For: time.Minute}}}, false},
		{smtp.StageMessage, OutcomeSpec{Faults: Faults{Close: Close{Mode: CloseFIN}, Delivery: DeliveryKeep}}, true},
		{smtp.StageMessage, OutcomeSpec{Faults: Faults{Silence: true, Delivery: DeliveryKeep}}, true},
		{smtp.StageMessage, OutcomeSpec{Faults: Faults{Split: Split{2, 0}, Delivery: DeliveryDiscard}}, false},
		{smtp.StageUnknown, OutcomeSpec{Faults: Faults{Malformed: MalformedMixedCodes, Split: Split{2, 0}}}, false},
	} {
		p := mustPlan(t, faulty(c.stage, c.o))
		d := p.Decide(golden(c.stage))
		if d.Chosen != &p.Rules()[0].Outcomes[0] || !d.Chosen.Faulty || d.Chosen.IsZero() {
			t.Errorf("%v %+v: decision chose %+v, want the rule's outcome, faulty", c.stage, c.o.Faults, d.Chosen)
			continue
		}
		if got := fmt.Sprint(d.Chosen.Faults); got != fmt.Sprint(c.o.Faults) || d.Chosen.Unsent() != c.unsent {
			t.Errorf("%v: faults are %s, unsent %v, want %v, %v", c.stage, got, d.Chosen.Unsent(), c.o.Faults, c.unsent)
		}
	}
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Outcomes: []OutcomeSpec{{Weight: 1}, {Weight: 1, Faults: Faults{Silence: true}}}}}})
	for n := range uint64(50) {
		o := golden(smtp.StageRcpt)
		o.RcptN = n
		if d := p.Decide(o); d.Chosen != &p.Rules()[0].Outcomes[d.Outcome] || d.Chosen.Faulty != (d.Outcome == 1) {
			t.Fatalf("attempt %d: outcome %d, but %+v was chosen", n, d.Outcome, d.Chosen)
		}
	}
}

func TestFaultErrors(t *testing.T) {
	body := BodyFault{After: 5, Close: CloseFIN}
	for _, c := range []struct {
		stage string
		o     OutcomeSpec
		want  string
	}{
		{"rcpt", OutcomeSpec{Faults: Faults{Delivery: DeliveryKeep}}, "delivery: not valid at stage rcpt (valid at: message)"},
		{"message", OutcomeSpec{Faults: Faults{Body: body}}, "body: not valid at stage message (valid at: data bdat)"},
		{"helo", OutcomeSpec{Faults: Faults{Missing: []string{"SIZE"}}}, "missing: not valid at stage helo (valid at: ehlo)"},
		{"mail", OutcomeSpec{Faults: Faults{TLS: TLSReset}}, "tls: not valid at stage mail (valid at: connect starttls)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Dribble: Dribble{0, time.Second}}}, "dribble: 0 octets every 1s is out of range (want 1 to 512 octets every 1ms to 30m0s)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Dribble: Dribble{513, time.Second}}}, "dribble: 513 octets"},
		{"rcpt", OutcomeSpec{Faults: Faults{Dribble: Dribble{1, time.Microsecond}}}, "dribble: 1 octets every 1µs"},
		{"rcpt", OutcomeSpec{Faults: Faults{Dribble: Dribble{1, time.Hour}}}, "dribble: 1 octets every 1h0m0s"},
		{"rcpt", OutcomeSpec{Faults: Faults{Split: Split{1, 0}}}, "split: 1 packets with a pause of 0s is out of range (want 2 to 64 packets and 0s to 30m0s)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Split: Split{65, 0}}}, "split: 65 packets"},
		{"rcpt", OutcomeSpec{Faults: Faults{Split: Split{2, -1}}}, "split: 2 packets with a pause of -1ns"},
		{"rcpt", OutcomeSpec{Faults: Faults{Split: Split{2, 0}, Dribble: Dribble{1, time.Second}}}, "dribble: both dribble and split"},
		{"rcpt", OutcomeSpec{Faults: Faults{Malformed: 99}}, "malformed: unknown value 99"},
		{"rcpt", OutcomeSpec{Faults: Faults{Close: Close{Mode: 99}}}, "close: unknown value 99"},
		{"rcpt", OutcomeSpec{Faults: Faults{Close: Close{When: CloseAfter}}}, "close: a time but no mode"},
		{"rcpt", OutcomeSpec{Code: 450, Faults: Faults{Silence: true}}, "silence: no reply is sent: it goes with delivery only"},
		{"rcpt", OutcomeSpec{Delay: fixed(1), Faults: Faults{Silence: true}}, "silence: no reply"},
		{"rcpt", OutcomeSpec{Faults: Faults{Silence: true, Close: Close{CloseFIN, CloseAfter}}}, "silence: no reply"},
		{"rcpt", OutcomeSpec{Code: 450, Faults: Faults{Close: Close{Mode: CloseFIN}}}, "close: closed before the reply, which is never sent"},
		{"rcpt", OutcomeSpec{Faults: Faults{Close: Close{Mode: CloseFIN}, Malformed: MalformedNoCode}}, "close: closed before the reply"},
		{"data", OutcomeSpec{Faults: Faults{Body: body, Close: Close{CloseFIN, CloseAfter}}}, "body: the connection is closed before there is a body"},
		{"data", OutcomeSpec{Code: 451, Faults: Faults{Body: body}}, "body: reply 451 opens no body (want 354, or another from 300 to 399)"},
		{"data", OutcomeSpec{Faults: Faults{Body: BodyFault{After: 1}}}, "body: nothing or two things to do after 1 octets (want reply, close, both of them, or stop_reading)"},
		{"data", OutcomeSpec{Faults: Faults{Body: BodyFault{Close: CloseFIN, StopReading: true}}}, "body: nothing or two things"},
		{"data", OutcomeSpec{Faults: Faults{Body: BodyFault{Close: CloseFIN, For: 1}}}, "body: a time to stop reading for"},
		{"data", OutcomeSpec{Faults: Faults{Body: BodyFault{StopReading: true, For: time.Hour}}}, "body: time 1h0m0s is out of range (want 0s to 30m0s)"},
		{"data", OutcomeSpec{Faults: Faults{Body: BodyFault{After: -1, Close: CloseFIN}}}, "body: after -1 octets is out of range"},
		{"ehlo", OutcomeSpec{Faults: Faults{Missing: []string{"starttls"}}}, `missing: unknown capability "starttls" (valid: 8BITMIME AUTH`},
		{"ehlo", OutcomeSpec{Code: 550, Faults: Faults{Missing: []string{"SIZE"}}}, "missing: reply 550 announces no capabilities that it could leave out (want the plain reply, or 200 to 299)"},
		{"ehlo", OutcomeSpec{Code: 354, Faults: Faults{Capabilities: &Capabilities{All: true}}}, "capabilities: reply 354 announces no capabilities (want the plain reply, or 200 to 299)"},
		{"ehlo", OutcomeSpec{Faults: Faults{Missing: []string{"SIZE"}, Capabilities: &Capabilities{}}}, "missing: both missing and capabilities"},
		{"helo", OutcomeSpec{Faults: Faults{Capabilities: &Capabilities{}}}, "capabilities: not valid at stage helo (valid at: ehlo)"},
		{"ehlo", OutcomeSpec{Faults: Faults{Silence: true, Capabilities: &Capabilities{}}}, "silence: no reply is sent"},
		{"ehlo", OutcomeSpec{Faults: Faults{Close: Close{Mode: CloseFIN}, Capabilities: &Capabilities{}}}, "close: closed before the reply"},
		{"ehlo", OutcomeSpec{Faults: Faults{Capabilities: &Capabilities{Lines: []string{""}}}}, "capabilities: empty capability (want a keyword"},
		{"ehlo", OutcomeSpec{Faults: Faults{Capabilities: &Capabilities{Lines: []string{"A\r\n250 B"}}}}, `capabilities: capability "A\r\n250 B" holds a control character`},
		{"ehlo", OutcomeSpec{Faults: Faults{Capabilities: &Capabilities{Lines: []string{strings.Repeat("A", 507)}}}}, "capabilities: capability of 507 octets is too long (want at most 506)"},
		{"starttls", OutcomeSpec{Code: 454, Faults: Faults{TLS: TLSExpired}}, "tls: reply 454 starts no handshake (want 220, or another from 200 to 299)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Raw: []byte("oops\r\n")}}, "raw: no code from 200 to 599 at its beginning (want beside it what the sink takes it for, such as reply: 250)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Raw: []byte("2500 x\r\n")}}, "raw: no code"},
		{"rcpt", OutcomeSpec{Code: 250, Text: []string{"x"}, Faults: Faults{Raw: []byte("250 x\r\n")}}, "raw: beside an enhanced status code or a text"},
		{"rcpt", OutcomeSpec{Faults: Faults{Raw: []byte("250 x\r\n"), Malformed: MalformedNoCode}}, "raw: beside malformed, missing or capabilities"},
		{"ehlo", OutcomeSpec{Faults: Faults{Raw: []byte("250 x\r\n"), Missing: []string{"SIZE"}}}, "raw: beside malformed, missing or capabilities"},
		{"rcpt", OutcomeSpec{Code: 250, Faults: Faults{Silence: true, Raw: []byte{}}}, "silence: no reply is sent"},
		{"rcpt", OutcomeSpec{Code: 250, Faults: Faults{Raw: make([]byte, 65537)}}, "raw: 65537 octets are too many (want at most 65536)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Bandwidth: Bandwidth{In: -2}}}, "bandwidth: -2 octets a second is out of range (want none, or 1B/s to 10Mbit/s)"},
		{"rcpt", OutcomeSpec{Faults: Faults{Bandwidth: Bandwidth{Out: MaxByteRate + 1}}}, "bandwidth: 1250001 octets a second"},
		{"rcpt", OutcomeSpec{Faults: Faults{Silence: true, Bandwidth: Bandwidth{In: 1}}}, "silence: no reply is sent"},
		{"rcpt", OutcomeSpec{Faults: Faults{Close: Close{Mode: CloseFIN}, Bandwidth: Bandwidth{In: 1}}}, "close: closed before the reply"},
		{"starttls", OutcomeSpec{Faults: Faults{TLS: 99}}, "tls: unknown value 99"},
	} {
		s, err := smtp.ParseStage(c.stage)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewPlan(faulty(s, c.o))
		if err == nil || !strings.HasPrefix(err.Error(), "rule 1: outcomes[0]."+c.want) {
			t.Errorf("%s %+v: error is %v, want %s", c.stage, c.o.Faults, err, c.want)
		}
	}
}

// TestNamesParseBack: every name that is printed is read as the same value, and an unknown one names the valid ones.
func TestNamesParseBack(t *testing.T) {
	check := func(what string, first int, name func(i int) string, parse func(name string) (int, error)) {
		t.Helper()
		i := first
		for ; !strings.HasPrefix(name(i), "invalid("); i++ {
			if got, err := parse(name(i)); err != nil || got != i {
				t.Errorf("%s %q is read as %d, %v, want %d", what, name(i), got, err, i)
			}
		}
		if i == first {
			t.Errorf("%s has no names", what)
		}
		if _, err := parse("nonsense"); err == nil || !strings.Contains(err.Error(), name(first)) {
			t.Errorf("%s: error for nonsense is %v, want one that names %s", what, err, name(first))
		}
	}
	check("malformation", 0, func(i int) string { return Malformation(i).String() }, func(n string) (int, error) { v, err := ParseMalformation(n); return int(v), err })
	check("close", 0, func(i int) string { return CloseKind(i).String() }, func(n string) (int, error) { v, err := ParseCloseKind(n); return int(v), err })
	check("when", 0, func(i int) string { return CloseWhen(i).String() }, func(n string) (int, error) { v, err := ParseCloseWhen(n); return int(v), err })
	check("delivery", 0, func(i int) string { return Delivery(i).String() }, func(n string) (int, error) { v, err := ParseDelivery(n); return int(v), err })
	check("tls", 0, func(i int) string { return TLSFault(i).String() }, func(n string) (int, error) { v, err := ParseTLSFault(n); return int(v), err })
	check("listener fault", 0, func(i int) string { return ListenerFault(i).String() }, func(n string) (int, error) { v, err := ParseListenerFault(n); return int(v), err })
	check("limit", 0, func(i int) string { return LimitKind(i).String() }, func(n string) (int, error) { v, err := ParseLimitKind(n); return int(v), err })
	check("from", 0, func(i int) string { return QuotaFrom(i).String() }, func(n string) (int, error) { v, err := ParseQuotaFrom(n); return int(v), err })
}

// TestRaw: what the sink makes of own octets.
func TestRaw(t *testing.T) {
	for _, c := range []struct {
		code smtp.Code
		raw  string
		want string // code, enhanced status code, fault
	}{
		{0, "250 2.1.0 OK\r\n", "250 2.1.0 raw"},
		{0, "250-2.1.0 OK\r\n250 2.1.0 OK\r\n", "250 2.1.0 raw"},
		{0, "250\r\n", "250  raw"},
		{250, "250 OK\n", "250  raw"}, // as real servers do; clients take it
		{0, "250 OK", "250  malformed-raw"},
		{0, "250-OK\r\n", "250  malformed-raw"},
		{0, "220 go\r\n250 more\r\n", "220  malformed-raw"},
		{450, "250 OK\r\n", "450  malformed-raw"},
		{250, "150 wait\r\n", "250  malformed-raw"},
		{250, "\r\n", "250  malformed-raw"},
		{250, "", "250  malformed-raw"},
	} {
		p := mustPlan(t, faulty(smtp.StageMail, OutcomeSpec{Code: c.code, Faults: Faults{Raw: []byte(c.raw)}}))
		o := &p.Rules()[0].Outcomes[0]
		if got := fmt.Sprintf("%d %v %s", o.Reply.Code, o.Reply.Enhanced, o.Fault); got != c.want || o.Code != o.Reply.Code {
			t.Errorf("%d with %q: %s, want %s", c.code, c.raw, got, c.want)
		}
		if o.Unreadable() != strings.Contains(o.Fault, "malformed") {
			t.Errorf("%q: unreadable is %v", c.raw, o.Unreadable())
		}
	}
}
