package plan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestParseFaults reads each way of writing a fault.
func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		rule string
		want fault.Faults
	}{
		{"{stage: rcpt, silence: true}", fault.Faults{Silence: true}},
		{"{stage: rcpt, silence: false}", fault.Faults{}},
		{"{stage: rcpt, reply: 450, dribble: {octets: 2, every: 100ms}}", fault.Faults{Dribble: fault.Dribble{Octets: 2, Every: 100 * time.Millisecond}}},
		{"{stage: rcpt, outcomes: [{split: {packets: 3}}]}", fault.Faults{Split: fault.Split{Packets: 3}}},
		{"{stage: rcpt, malformed: over-long}", fault.Faults{Malformed: fault.MalformedOverLong}},
		{"{stage: rcpt, close: half}", fault.Faults{Close: fault.Close{Mode: fault.CloseHalf}}},
		{"{stage: rcpt, reply: 550, close: {mode: rst, when: after}}", fault.Faults{Close: fault.Close{Mode: fault.CloseRST, When: fault.CloseAfter}}},
		{"{stage: message, delivery: discard}", fault.Faults{Delivery: fault.DeliveryDiscard}},
		{"{stage: data, body: {after: 64KiB, close: rst}}", fault.Faults{Body: fault.BodyFault{After: 1 << 16, Close: fault.CloseRST}}},
		{"{stage: data, body: {after: 2 MiB, stop_reading: true, for: 1m}}", fault.Faults{Body: fault.BodyFault{After: 2 << 20, StopReading: true, For: time.Minute}}},
		{"{stage: ehlo, missing: starttls}", fault.Faults{Missing: []string{"STARTTLS"}}},
		{"{stage: starttls, tls: wrong-name}", fault.Faults{TLS: fault.TLSWrongName}},
	} {
		f, err := plan.Parse("x.yaml", []byte(rules(c.rule)))
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if got := f.Plan.Rules()[0].Outcomes[0].Faults; fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: read as %+v, want %+v", c.rule, got, c.want)
		}
	}
}

func TestParseCapabilities(t *testing.T) {
	for rule, want := range map[string]fault.Capabilities{
		"{stage: ehlo, capabilities: all}":                                                 {All: true},
		"{stage: ehlo, capabilities: []}":                                                  {},
		"{stage: ehlo, reply: {code: 250, text: a}, capabilities: [size 1, AUTH=X Y]}":     {Lines: []string{"size 1", "AUTH=X Y"}},
		"{stage: ehlo, outcomes: [{reply: {code: 250, text: [a, b]}, capabilities: [X]}]}": {Lines: []string{"X"}},
	} {
		f, err := plan.Parse("x.yaml", []byte(rules(rule)))
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if got := f.Plan.Rules()[0].Outcomes[0].Capabilities; got == nil || fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("%s: read as %+v, want %+v", rule, got, want)
		}
	}
}

// TestParseStorm reads the storm of the package comment and walks through it.
func TestParseStorm(t *testing.T) {
	f, err := plan.Parse("doc.yaml", []byte(exampleOfDoc(t)))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(0, 0)
	for at, want := range map[time.Duration]string{-1: "", 0: "brownout", 90 * time.Second: "bad", 110 * time.Second: "good", 195 * time.Second: "bad", 205 * time.Second: "good", 210 * time.Second: ""} {
		if got := f.Plan.View(start.Add(at), start).PhaseName(); got != want {
			t.Errorf("at %v the phase is %q, want %q", at, got, want)
		}
	}
	v := f.Plan.View(start, start)
	if v.ListenerFault("mx1") != fault.ListenerNoBanner || v.ListenerFault("store") != fault.ListenerUp {
		t.Errorf("listeners mx1 and store are %v and %v, want no-banner and none", v.ListenerFault("mx1"), v.ListenerFault("store"))
	}
	limits := v.Limits(smtp.StageRcpt)
	if len(limits) != 4 || limits[2].Kind != fault.LimitQuota || limits[2].Per != 24*time.Hour || limits[2].From != fault.QuotaClock ||
		limits[2].Scope != fault.NetworkScope(16, 48)|fault.ScopeSenderDomain || limits[0].Scope != fault.ScopeRecipientDomain || limits[0].Rate != 20 || limits[0].Burst != 40 ||
		limits[0].Reply.String() != "451 4.7.1 {{client}}, slow down" || limits[1].Delay != 25*time.Second || limits[1].Window != 4*time.Hour || limits[3].Phase != "brownout" {
		t.Errorf("limits at rcpt are %+v", limits)
	}
	if size := v.Limits(smtp.StageMessage); len(size) != 1 || size[0].Max != 10<<20 {
		t.Errorf("limits at message are %+v, want 10 MiB", size)
	}
	listeners := f.Plan.Listeners()
	if len(listeners) != 3 || !listeners[1].ImplicitTLS || listeners[0].ImplicitTLS || !listeners[2].LMTP || listeners[2].Address != "unix:/run/lmtp.sock" {
		t.Errorf("listeners are %+v", listeners)
	}
	want := fault.Service{
		MaxSize: 10 << 20, IdleTimeout: 30 * time.Second, Mechanisms: []string{"PLAIN", "LOGIN"}, TLS: fault.TLSVersions{Min: fault.TLS12, Max: fault.TLS12},
		Limits: fault.ServiceLimits{MailMax: 20, RcptMax: 50, RcptDomainMax: 1}, RequireTLS: fault.RequireTLSAccept, ProxyProtocol: true, XClient: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if got := listeners[0].Service; !reflect.DeepEqual(got, want) {
		t.Errorf("listener mx1 serves as %+v, want %+v", got, want)
	}
	if !f.Plan.Needs().Headers {
		t.Error("a rule matches a header field, but the plan needs no headers")
	}
}

// TestBadStorms: what may be wrong with a plan's new parts, each with its line and key.
func TestBadStorms(t *testing.T) {
	top := func(text string) string { return "version: 1\n" + text }
	for _, c := range []struct{ text, want string }{
		{rules("{stage: rcpt, outcomes: [{weight: 0, reply: 450}, {weight: 0}]}"), "x.yaml:3:29: rules[0].outcomes: the weights sum to 0"},
		{rules("{stage: supper, close: fin}"), `x.yaml:3:13: rules[0].stage: unknown stage "supper"`},
		{rules("{stage: rcpt, reply: 199}"), `x.yaml:3:26: rules[0].reply: invalid reply "199"`},
		{top(`limits: [{name: l, kind: size, max: 1, reply: {code: 552, text: "a\r\n250 b"}}]`), `x.yaml:2:47: limits[0].reply: reply text "a\r\n250 b" holds CR, LF or NUL`},
		{rules("{stage: mail, match: {header: {subject: '*'}}}"), "x.yaml:3:35: rules[0].match.header: not known yet at stage mail (known at: message)"},
		{rules("{stage: rcpt, match: {header: subject}}"), `x.yaml:3:35: rules[0].match.header: "subject" (want a mapping`},
		{rules("{stage: rcpt, match: {header: {a: '1', a: '2'}}}"), "x.yaml:3:44: rules[0].match.header.a: key is given twice"},
		{rules("{stage: rcpt, match: {tls: maybe}}"), `x.yaml:3:32: rules[0].match.tls: invalid value "maybe"`},
		{rules("{stage: rcpt, delivery: keep}"), "x.yaml:3:29: rules[0].delivery: not valid at stage rcpt (valid at: message)"},
		{rules("{stage: rcpt, outcomes: [{}, {tls: stall}]}"), "x.yaml:3:40: rules[0].outcomes[1].tls: not valid at stage rcpt (valid at: connect starttls)"},
		{rules("{stage: rcpt, mode: bounce, close: fin}"), "x.yaml:3:5: rules[0].close: not beside mode or outcomes (want it in an element of outcomes)"},
		{rules("{stage: rcpt, close: fast}"), `x.yaml:3:26: rules[0].close: unknown close "fast" (valid: none fin rst half)`},
		{rules("{stage: rcpt, close: {when: after}}"), "x.yaml:3:26: rules[0].close: a time but no mode"},
		{rules("{stage: rcpt, dribble: {octets: 1}}"), "x.yaml:3:28: rules[0].dribble: 1 octets every 0s is out of range"},
		{rules("{stage: rcpt, dribble: {octets: some}}"), `x.yaml:3:37: rules[0].dribble.octets: invalid number "some"`},
		{rules("{stage: data, body: {after: 1XiB}}"), `x.yaml:3:33: rules[0].body.after: invalid number of octets "1XiB"`},
		{rules("{stage: data, body: {after: 99999999999GiB}}"), "x.yaml:3:33: rules[0].body.after: invalid number of octets"},
		{rules("{stage: ehlo, reply: {code: 550}, missing: [SIZE]}"), "x.yaml:3:48: rules[0].missing: reply 550 announces no capabilities that it could leave out (want the plain reply, or 200 to 299)"},
		{rules("{stage: ehlo, capabilities: some}"), `x.yaml:3:33: rules[0].capabilities: invalid value "some" (want all, or a list such as [PIPELINING, SIZE 1000])`},
		{rules("{stage: ehlo, capabilities: {SIZE: 1}}"), "x.yaml:3:33: rules[0].capabilities: a mapping (want all, or a list such as [PIPELINING, SIZE 1000])"},
		{rules("{stage: rcpt, match: {sequence: good}}"), `x.yaml:3:37: rules[0].match.sequence: invalid value "good" (want bad, for commands out of order, or no such key)`},
		{rules("{stage: message, match: {sequence: bad}}"), "x.yaml:3:40: rules[0].match.sequence: nothing is out of order at stage message"},
		{rules("{stage: ehlo, missing: [SIZE, MAGIC]}"), `x.yaml:3:28: rules[0].missing: unknown capability "MAGIC"`},
		{top("start: later"), `x.yaml:2:8: start: invalid start "later"`},
		{top("start: clock"), "x.yaml:2:8: start: there are no phases that it could start"},
		{top("listeners: [{name: a, address: nowhere}]"), `x.yaml:2:32: listeners[0].address: invalid address "nowhere"`},
		{top("listeners: [{name: a, address: ':1', protocol: http}]"), `x.yaml:2:48: listeners[0].protocol: unknown protocol "http" (valid: smtp lmtp)`},
		{top("listeners: [{name: a, address: ':1', tls: always}]"), `x.yaml:2:43: listeners[0].tls: unknown TLS "always" (valid: none implicit)`},
		{top("listeners: [{name: a, address: ':1'}]\nrules: [{stage: rcpt, match: {listener: b}}]"), `x.yaml:3:41: rules[0].match.listener: undeclared listener "b" (declared: a)`},
		{top("listener_faults: refused"), `x.yaml:2:18: listener_faults: "refused" (want a mapping`},
		{top("listener_faults: {a: tired}"), `x.yaml:2:22: listener_faults.a: unknown listener fault "tired" (valid: none refused unaccepted no-banner)`},
		{top("listener_faults: {a: none, a: none}"), "x.yaml:2:28: listener_faults.a: key is given twice"},
		{top("limits: [{name: l}]"), "x.yaml:2:10: limits[0].kind: missing"},
		{top("limits: [{name: l, kind: size}]"), "x.yaml:2:10: limits[0].max: missing (want 1 to"},
		{top("limits: [{kind: size, max: 1}]"), "x.yaml:2:10: limits[0].name: missing"},
		{top("limits: [{name: l, kind: rate, rate: 5/y}]"), `x.yaml:2:38: limits[0].rate: invalid rate "5/y"`},
		{top("limits: [{name: l, kind: rate, rate: 5/s, reply: plain}]"), "x.yaml:2:50: limits[0].reply: the plain reply is no refusal"},
		{top("limits: [{name: l, kind: rate, rate: 5/s, except: [{sender: '<>'}, {helo: '*'}]}]"), `x.yaml:2:75: limits[0].except[1].helo: invalid pattern "*"`},
		{top("react: [{name: r, of: client, when: {stage: rcpt, code: 4xx}, then: {limits: [{name: l, kind: rate, rate: 'halving(1000/d,1/d)'}]}}]"), "x.yaml:2:107: react[0].then.limits[0].rate: a rate per day needs a burst: without one it is a second's tokens, 1 (want burst, or kind: quota with max and per: 1d)"},
		{top("limits: [{name: l, kind: rate, rate: 5/d}]"), "x.yaml:2:38: limits[0].rate: a rate per day needs a burst: without one it is a second's tokens, 1 (want burst, or kind: quota with max and per: 1d)"},
		{top("limits: [{name: l, kind: rate, rate: 5/s, scope: sender domain}]"), `x.yaml:2:50: limits[0].scope: unknown scope "sender domain" (valid: client network helo connection sender sender-domain recipient recipient-domain all)`},
		{top("limits: [{name: l, kind: rate, rate: 5/s, scope: [client, all]}]"), "x.yaml:2:50: limits[0].scope: all stands alone"},
		{top("limits: [{name: l, kind: rate, rate: 5/s, scope: [sender, sender]}]"), "x.yaml:2:50: limits[0].scope: sender is given twice"},
		{top("limits: [{name: l, kind: rate, rate: 5/s, scope: []}]"), "x.yaml:2:50: limits[0].scope: empty list"},
		{top("limits: [{name: l, kind: rate, rate: 5/s, scope: network/99/1}]"), `x.yaml:2:50: limits[0].scope: invalid network "network/99/1" (want network, or its bits of IPv4 and of IPv6 such as network/24/64)`},
		{top("limits: [{name: l, kind: rate, rate: 5/s, stage: mail, scope: recipient}]"), "x.yaml:2:63: limits[0].scope: the recipient is not known at stage mail (known at: rcpt)"},
		{top("limits: [{name: l, kind: quota, max: 5}]"), "x.yaml:2:10: limits[0].per: missing (want how long a window is, such as 1h or 1d)"},
		{top("limits: [{name: l, kind: quota, per: 1d}]"), "x.yaml:2:10: limits[0].max: missing (want 1 to"},
		{top("limits: [{name: l, kind: quota, max: 5, per: 1w}]"), `x.yaml:2:46: limits[0].per: invalid duration "1w" (want for example 500ms, 30s, 5m, 4h or 1d)`},
		{top("limits: [{name: l, kind: quota, max: 5, per: 367d}]"), `x.yaml:2:46: limits[0].per: 8808h0m0s is out of range`},
		{top("limits: [{name: l, kind: quota, max: 5, per: 1d, from: noon}]"), `x.yaml:2:56: limits[0].from: unknown from "noon" (valid: first clock)`},
		{top("limits: [{name: l, kind: size, max: 5, per: 1d}]"), `x.yaml:2:45: limits[0].per: limit size has no per`},
		{top("limits: [{name: l, kind: greylist, delay: 1m, window: 1h, scope: helo}]"), `x.yaml:2:66: limits[0].scope: limit greylist has no scope helo (valid: client network sender sender-domain recipient recipient-domain)`},
		{rules("{stage: rcpt, match: {size: big}}"), `x.yaml:3:33: rules[0].match.size: invalid size "big" (want octets such as 10MiB-, 1KiB-64KiB, 0-1KiB or 1000)`},
		{rules("{stage: rcpt, match: {size: 0-}}"), `x.yaml:3:33: rules[0].match.size: invalid size "0-"`},
		{rules("{stage: rcpt, match: {size: 2KiB-1KiB}}"), `x.yaml:3:33: rules[0].match.size: invalid size "2KiB-1KiB"`},
		{rules("{stage: ehlo, match: {size: 1KiB-}}"), "x.yaml:3:33: rules[0].match.size: not known yet at stage ehlo (known at: mail rcpt data bdat message)"},
		{rules("{stage: rcpt, match: {tls: 1.4}}"), `x.yaml:3:32: rules[0].match.tls: invalid value "1.4" (want true, false, 1.0 1.1 1.2 1.3, or a range such as 1.0-1.2 or 1.2-)`},
		{rules("{stage: connect, match: {tls: 1.2-}}"), "x.yaml:3:35: rules[0].match.tls: not known yet at stage connect (known at: every stage but connect pregreet)"},
		{rules("{stage: rcpt, match: {repeats: {received: 30-}}}"), "x.yaml:3:36: rules[0].match.repeats: not known yet at stage rcpt (known at: message)"},
		{rules("{stage: message, match: {repeats: {received: 0-}}}"), `x.yaml:3:50: rules[0].match.repeats.received: invalid number of fields "0-" (want 0, 3, 1-3 or 30-, at most 10000)`},
		{rules("{stage: message, match: {repeats: {received: 3-1}}}"), `x.yaml:3:50: rules[0].match.repeats.received: invalid number of fields "3-1"`},
		{rules("{stage: message, match: {repeats: {'a b': 3}}}"), `x.yaml:3:39: rules[0].match.repeats: invalid header field name "a b"`},
		{rules("{stage: rcpt, match: {time: 8-18}}"), `x.yaml:3:33: rules[0].match.time: invalid time of day "8-18" (want for example 08:00-18:00, 22:00-06:00 or 08:00-18:00 Europe/Berlin)`},
		{rules("{stage: rcpt, match: {time: [00:00-24:00]}}"), `x.yaml:3:34: rules[0].match.time[0]: time of day 00:00-24:00 is none or all of the day (want a part of it)`},
		{rules("{stage: rcpt, match: {time: 08:00-25:00}}"), `x.yaml:3:33: rules[0].match.time: invalid time of day "08:00-25:00"`},
		{rules("{stage: rcpt, match: {time: 08:00-09:00 Mars/Base}}"), `x.yaml:3:33: rules[0].match.time: unknown time zone "Mars/Base" (want UTC or a name of the tz database such as Europe/Berlin)`},
		{rules("{stage: rcpt, match: {recipient: 'bounce+@'}}"), `x.yaml:3:38: rules[0].match.recipient: invalid pattern "bounce+@" (want user@example.com, *@example.com, *.example.com, bounce+*@example.com or bounce+*@; without a domain`},
		{rules("{stage: rcpt, except: {}}"), "x.yaml:3:27: rules[0].except: no condition: nobody would be left"},
		{rules("{stage: rcpt, except: [{sender: a@b.example}, {sender: b.example}]}"), `x.yaml:3:60: rules[0].except[1].sender: invalid pattern "b.example"`},
		{rules("{stage: mail, except: {recipient: '*@b.example'}}"), `x.yaml:3:39: rules[0].except.recipient: not known yet at stage mail`},
		{rules("{stage: mail, match: {sequence: bad}, except: {sequence: bad}}"), `x.yaml:3:62: rules[0].except.sequence: commands out of order or with an error have rules of their own (say it in match)`},
		{top("listeners: [{name: a, address: ':1'}]\nrules: [{stage: rcpt, except: {listener: b}}]"), `x.yaml:3:42: rules[0].except.listener: undeclared listener "b" (declared: a)`},
		{top("phases: []\nstart: clock"), "x.yaml:3:8: start: there are no phases"},
		{top("phases: [{name: p}]"), "x.yaml:2:10: phases[0].duration: missing (want above 0s"},
		{top("phases: [{name: p, duration: 0s}]"), "x.yaml:2:30: phases[0].duration: 0s is out of range"},
		{top("phases: [{name: p, duration: 5}]"), `x.yaml:2:30: phases[0].duration: invalid duration "5"`},
		{top("phases: [{name: p, duration: 1s}, {name: p, duration: 1s}]"), "x.yaml:2:42: phases[1].name: name is taken by phases[0]"},
		{top("phases: [{name: p, duration: 1s, repeat: 0}]"), "x.yaml:2:42: phases[0].repeat: 0 is out of range"},
		{top("phases: [{repeat: 2, phases: []}]"), "x.yaml:2:30: phases[0].phases: empty group"},
		{top("phases: [{phases: [{name: p, duration: 1s, rules: [{stage: rcpt}, {stage: dinner}]}]}]"), `x.yaml:2:75: phases[0].phases[0].rules[1].stage: unknown stage "dinner"`},
		{top("phases: [{phases: [{name: p, duration: 1s, rules: [{stage: rcpt, reply: {code: 450, enhanced: 5.0.0}}]}]}]"), "x.yaml:2:73: phases[0].phases[0].rules[0].reply: enhanced status code 5.0.0 contradicts"},
		{top("phases: [{name: p, duration: 1s, ramp: {from: 2}, rules: [{stage: rcpt}]}]"), "x.yaml:2:40: phases[0].ramp: from 2 to 1 is out of range"},
		{top("phases: [{name: p, duration: 1s, ramp: {to: 0.5}}]"), "x.yaml:2:40: phases[0].ramp: there are no rules"},
		{top("phases: [{name: p, duration: 1s, limits: [{name: l, kind: size, max: 1, scope: all}]}]"), "x.yaml:2:80: phases[0].limits[0].scope: limit size has no scope all"},
	} {
		_, err := plan.Parse("x.yaml", []byte(c.text))
		var e *plan.Error
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &e) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error is\n %v, want\n %s", c.text, err, c.want)
		}
	}
}
