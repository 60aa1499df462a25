package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// roundTrip checks that what Encode writes of a spec is the spec, and is canonical.
func roundTrip(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, spec fault.PlanSpec) {
	t.Helper()
	text := Encode(spec)
	again, _, err := decode("encoded.yaml", text)
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	if !reflect.DeepEqual(again, spec) {
		t.Fatalf("the spec\n%+v\nis written as\n%s\nand read as\n%+v", spec, text, again)
	}
	if second := Encode(again); string(second) != string(text) {
		t.Fatalf("the canonical form\n%s\nis written as\n%s", text, second)
	}
}

// TestEncodeKeepsPlans: every shipped plan, and every one of the documentation, survives being written.
func TestEncodeKeepsPlans(t *testing.T) {
	texts := map[string]string{}
	paths, err := ShippedPlans()
	if err != nil || len(paths) == 0 {
		t.Fatal("no plans", err)
	}
	for _, path := range append(paths, "../../docs/plans.md", "doc.go") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch filepath.Ext(path) {
		case ".yaml":
			texts[path] = string(text)
		case ".md":
			for i, example := range strings.Split(string(text), "```yaml\n")[1:] {
				texts[fmt.Sprintf("%s, plan %d", path, i+1)], _, _ = strings.Cut(example, "```\n")
			}
		case ".go":
			for line := range strings.Lines(string(text)) {
				if yaml, ok := strings.CutPrefix(line, "//\t"); ok {
					texts[path] += yaml
				}
			}
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, f.Spec)
			if _, err := Parse(name, Encode(f.Spec)); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestEncodeKeepsSpecs writes specs at random, whatever NewPlan would say of them.
func TestEncodeKeepsSpecs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, anyPlan(t)) })
}

// some draws a value, or in most cases none.
func some[T any](t *rapid.T, label string, draw func(t *rapid.T) T) (none T) {
	if rapid.IntRange(0, 2).Draw(t, label+"?") > 0 {
		return none
	}
	return draw(t)
}

// several draws a list, which is nil when it is empty.
func several[T any](t *rapid.T, label string, draw func(t *rapid.T) T) (list []T) {
	for range rapid.IntRange(0, 3).Draw(t, label) {
		list = append(list, draw(t))
	}
	return list
}

func anyText(t *rapid.T) string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"null", "~", "yes", "1e3", "0x10", "- a", "a: b", "a #b", "#", " a ", "a\nb\n", "é\u2028\ufeff", "<<", "''", "@a", "{}"})).Draw(t, "text")
}

func anyDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.OneOf(rapid.Int64(), rapid.Map(rapid.Int64Range(0, 1e5), func(s int64) int64 { return s * int64(time.Second) })).Draw(t, "duration"))
}

func anyNumber(t *rapid.T) float64 {
	return rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(0, 1000), func(i int) float64 { return float64(i) / 10 })).Draw(t, "number")
}

func anyDelay(t *rapid.T) fault.Delay {
	d, err := fault.ParseDelay(rapid.SampledFrom([]string{
		"none", "1500us", "20m", "uniform(5ms,5m)", "normal(30m,0.5s)", "lognormal(40ms,0.6)", "exponential(10m)", "percentiles(50=1m,99.9=2m,100=10m)",
	}).Draw(t, "delay"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d
}

func anyReply(t *rapid.T) (r reply) {
	r.Code = smtp.Code(rapid.IntRange(200, 599).Draw(t, "code"))
	r.Enhanced = some(t, "enhanced", func(t *rapid.T) enhanced {
		if rapid.Bool().Draw(t, "none") {
			return enhanced{none: true}
		}
		return enhanced{Enhanced: smtp.Enhanced{Class: rapid.SampledFrom([]uint8{2, 4, 5}).Draw(t, "class"), Subject: rapid.Uint16Range(0, 999).Draw(t, "subject"), Detail: rapid.Uint16Range(0, 999).Draw(t, "detail")}}
	})
	r.Text = several(t, "lines", anyText)
	return r
}

func anyRange(t *rapid.T) fault.Range {
	from := rapid.Uint64Range(1, 1<<32).Draw(t, "from")
	return fault.Range{From: from, To: rapid.SampledFrom([]uint64{0, from, from + 7}).Draw(t, "to")}
}

func anyMatch(t *rapid.T) (m fault.Match) {
	m.Listeners, m.Helos, m.Senders, m.Recipients = several(t, "listeners", anyText), several(t, "helos", anyText), several(t, "senders", anyText), several(t, "recipients", anyText)
	m.Clients = several(t, "clients", func(t *rapid.T) netip.Prefix {
		return netip.MustParsePrefix(rapid.SampledFrom([]string{"192.0.2.0/24", "192.0.2.1/32", "2001:db8::1/128", "2001:db8::/32", "::/0", "0.0.0.0/0"}).Draw(t, "client"))
	})
	m.Attempts, m.Messages, m.Connections = some(t, "attempts", anyRange), some(t, "messages", anyRange), some(t, "connections", anyRange)
	m.Mechanisms, m.Parameters, m.Steps = several(t, "mechanisms", anyText), several(t, "parameters", anyText), some(t, "steps", anyRange)
	m.Standings, m.Levels = several(t, "standings", anyText), some(t, "levels", anyLevels)
	m.Turns, m.Rcpts = some(t, "turns", anyRange), some(t, "rcpts", anyRange)
	m.Errors = several(t, "errors", func(t *rapid.T) fault.ErrorPattern {
		return rapid.SampledFrom([]fault.ErrorPattern{{}, {Class: 5}, {Code: 501}, {Code: 555, Enhanced: smtp.Enhanced{Class: 5, Subject: 5, Detail: 4}}}).Draw(t, "error")
	})
	m.TLS, m.OutOfOrder = fault.TLSMatch(rapid.IntRange(0, 2).Draw(t, "tls")), rapid.Bool().Draw(t, "out of order")
	if m.TLS == fault.TLSEither {
		m.TLSVersions = some(t, "versions", func(t *rapid.T) fault.TLSVersions {
			return fault.TLSVersions{Min: fault.TLS10, Max: fault.TLS10 + fault.TLSVersion(rapid.IntRange(0, 3).Draw(t, "highest"))}
		})
	}
	m.Size = some(t, "size", func(t *rapid.T) fault.SizeRange {
		from := rapid.SampledFrom([]int64{1, 1000, 1024, 65537, 3 << 20, 1 << 40}).Draw(t, "from")
		return fault.SizeRange{From: from, To: rapid.SampledFrom([]int64{0, from, from + 1, from * 1024}).Draw(t, "to")}
	})
	for _, name := range rapid.SliceOfNDistinct(rapid.Custom(anyText), 0, 2, rapid.ID).Draw(t, "repeats") {
		from := rapid.IntRange(1, 99).Draw(t, "at least")
		m.Repeats = append(m.Repeats, fault.HeaderRepeats{Name: name, From: from, To: rapid.SampledFrom([]int{-1, from, from + 5}).Draw(t, "at most")})
	}
	m.Times = several(t, "times", func(t *rapid.T) fault.DayTime {
		minute := func(name string, first int) int { return rapid.IntRange(first, 1439).Draw(t, name) }
		return fault.DayTime{From: minute("from", 720), To: minute("to", 0) % 720, Zone: rapid.SampledFrom([]string{"", "Europe/Berlin", "America/New_York"}).Draw(t, "zone")}
	})
	for i, name := range rapid.SliceOfNDistinct(rapid.Custom(anyText), 0, 2, rapid.ID).Draw(t, "headers") {
		m.Headers = append(m.Headers, fault.HeaderPattern{Name: name, Globs: []string{anyText(t), "*"}[i:]})
	}
	return m
}

func anyFaults(t *rapid.T) (f fault.Faults) {
	number := func(below int) uint8 { return uint8(rapid.IntRange(0, below-1).Draw(t, "value")) }
	f.Silence = rapid.Bool().Draw(t, "silence")
	f.Dribble = some(t, "dribble", func(t *rapid.T) fault.Dribble {
		return fault.Dribble{Octets: int(rapid.Int32().Draw(t, "octets")), Every: anyDuration(t)}
	})
	f.Split = some(t, "split", func(t *rapid.T) fault.Split {
		return fault.Split{Packets: int(rapid.Int32().Draw(t, "packets")), Pause: anyDuration(t)}
	})
	f.Cut = some(t, "cut", func(t *rapid.T) fault.Cut {
		return fault.Cut{Octets: int(rapid.Int32().Draw(t, "octets")), Close: fault.CloseKind(number(4))}
	})
	f.Bandwidth = some(t, "bandwidth", func(t *rapid.T) fault.Bandwidth {
		rate := rapid.SampledFrom([]fault.ByteRate{0, 1, 124, 125, 126, 4200, 5000, 125_000, fault.MaxByteRate, fault.Unlimited})
		return fault.Bandwidth{In: rate.Draw(t, "in"), Out: rate.Draw(t, "out")}
	})
	f.Malformed, f.Delivery, f.TLS = fault.Malformation(number(7)), fault.Delivery(number(3)), fault.TLSFault(number(8))
	f.Raw = some(t, "raw", func(t *rapid.T) []byte {
		return append([]byte{}, rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 9), rapid.Custom(func(t *rapid.T) []byte { return []byte(anyText(t)) })).Draw(t, "octets")...)
	})
	f.Close = fault.Close{Mode: fault.CloseKind(number(4)), When: fault.CloseWhen(number(2))}
	f.Body = some(t, "body", func(t *rapid.T) fault.BodyFault {
		return fault.BodyFault{After: rapid.SampledFrom([]int64{0, 1, 1024, 3 << 20, 1<<63 - 1, 1 << 40, 65537}).Draw(t, "after"), Close: fault.CloseKind(number(4)), StopReading: number(2) == 0, For: anyDuration(t)}
	})
	f.Missing = several(t, "missing", func(t *rapid.T) string { return strings.ToUpper(anyText(t)) })
	f.Capabilities = some(t, "capabilities", func(t *rapid.T) *fault.Capabilities {
		if number(2) == 0 {
			return &fault.Capabilities{All: true}
		}
		return &fault.Capabilities{Lines: several(t, "lines", anyText)}
	})
	return f
}

func anyOutcome(t *rapid.T) fault.OutcomeSpec {
	o := fault.OutcomeSpec{Weight: rapid.OneOf(rapid.Just(1.0), rapid.Custom(anyNumber)).Draw(t, "weight"), Delay: anyDelay(t), Faults: some(t, "faults", anyFaults)}
	o.NoDelay = o.Delay.IsZero() && rapid.Bool().Draw(t, "no delay")
	r := some(t, "reply", anyReply)
	o.Code, o.Enhanced, o.NoEnhanced, o.Text = r.Code, r.Enhanced.Enhanced, r.Enhanced.none, r.Text
	return o
}

func anyRule(t *rapid.T) fault.RuleSpec {
	r := fault.RuleSpec{
		Name: some(t, "name", anyText), Stage: smtp.Stage(rapid.IntRange(0, int(smtp.NumStages)-1).Draw(t, "stage")), Match: some(t, "match", anyMatch),
		Delay: anyDelay(t), Key: fault.KeyKind(rapid.IntRange(0, 4).Draw(t, "key")),
	}
	if rapid.Bool().Draw(t, "mode?") {
		r.Mode = fault.ModeSpec{Mode: fault.Mode(rapid.IntRange(1, 5).Draw(t, "mode")), Loose: rapid.Bool().Draw(t, "loose")}
		if r.Mode.Mode == fault.ModeRandom {
			r.Mode.RandomAccept = rapid.SampledFrom([]float64{0, 0.1, 1e-9}).Draw(t, "accept")
		}
		r.Mode.Weights = some(t, "weights", func(t *rapid.T) map[smtp.Code]float64 {
			return map[smtp.Code]float64{smtp.Code(rapid.IntRange(200, 599).Draw(t, "code")): anyNumber(t), 450: 1}
		})
		return r
	}
	switch rapid.IntRange(0, 3).Draw(t, "stages?") {
	case 0:
		r.Stage, r.AnyStage = 0, true
	case 1:
		r.Stage, r.Stages = 0, []smtp.Stage{smtp.StageConnect, smtp.StageRcpt}
	}
	r.Outcomes = several(t, "outcomes", anyOutcome)
	r.Except = several(t, "except", anyMatch)
	return r
}

func anyLimit(t *rapid.T) fault.LimitSpec {
	l := fault.LimitSpec{
		Name: anyText(t), Kind: fault.LimitKind(rapid.IntRange(0, 6).Draw(t, "kind")), Scope: anyScope(t),
		HasStage: rapid.Bool().Draw(t, "stage?"), Match: some(t, "match", anyMatch), Except: several(t, "except", anyMatch),
		Burst: anyNumber(t), Max: rapid.Int64Range(0, 1<<62).Draw(t, "max"), Delay: anyDuration(t), Window: anyDuration(t),
		Per: anyDuration(t), From: fault.QuotaFrom(rapid.IntRange(0, 1).Draw(t, "from")),
	}
	if l.HasStage {
		l.Stage = smtp.Stage(rapid.IntRange(0, int(smtp.NumStages)-1).Draw(t, "stage"))
	}
	rate := fmt.Sprintf("%v/%s", rapid.OneOf(rapid.Map(rapid.IntRange(1, 10000), func(i int) float64 { return float64(i) }), rapid.Float64Range(1e-300, 1e300)).Draw(t, "rate"),
		rapid.SampledFrom([]string{"s", "m", "h", "d"}).Draw(t, "unit"))
	var err error
	if l.Rate, err = fault.ParseRate(rate); err != nil {
		t.Fatalf("%v", err)
	}
	r := some(t, "reply", anyReply)
	l.Code, l.Enhanced, l.NoEnhanced, l.Text = r.Code, r.Enhanced.Enhanced, r.Enhanced.none, r.Text
	return l
}

func anyScope(t *rapid.T) fault.Scope {
	if rapid.Bool().Draw(t, "all?") {
		return fault.ScopeAll
	}
	s := rapid.SampledFrom([]fault.Scope{0, fault.ScopeNetwork, fault.NetworkScope(16, 48)}).Draw(t, "network")
	for _, one := range []fault.Scope{
		fault.ScopeClient, fault.ScopeHelo, fault.ScopeConnection, fault.ScopeSender, fault.ScopeSenderDomain, fault.ScopeRecipient, fault.ScopeRecipientDomain,
	} {
		if rapid.Bool().Draw(t, one.String()) {
			s |= one
		}
	}
	return s
}

func anyListenerFaults(t *rapid.T) (l []fault.ListenerFaultSpec) {
	for _, name := range rapid.SliceOfNDistinct(rapid.Custom(anyText), 0, 3, rapid.ID).Draw(t, "listeners") {
		l = append(l, fault.ListenerFaultSpec{Listener: name, Fault: fault.ListenerFault(rapid.IntRange(0, 3).Draw(t, "fault"))})
	}
	return l
}

func anyPhase(t *rapid.T) fault.PhaseSpec {
	return fault.PhaseSpec{
		Name: anyText(t), Duration: anyDuration(t), Repeat: int(rapid.Int32Range(0, 1<<30).Draw(t, "repeat")), Rules: several(t, "rules", anyRule),
		Limits: several(t, "limits", anyLimit), Listeners: anyListenerFaults(t),
		Ramp: some(t, "ramp", func(t *rapid.T) *fault.Ramp { return &fault.Ramp{From: anyNumber(t), To: anyNumber(t)} }),
	}
}

func anyService(t *rapid.T) (s fault.Service) {
	s.MaxSize = rapid.SampledFrom([]int64{-1, 0, 1, 1000, 1 << 20}).Draw(t, "max size")
	s.IdleTimeout = anyDuration(t)
	s.Mechanisms = several(t, "mechanisms", func(t *rapid.T) string { return strings.ToUpper(anyText(t)) })
	s.TLS = rapid.SampledFrom([]fault.TLSVersions{{}, {Min: fault.TLS12, Max: fault.TLS12}, {Min: fault.TLS10, Max: fault.TLS13}, {Min: fault.TLS10, Max: fault.TLS12}}).Draw(t, "versions")
	s.Limits = fault.ServiceLimits{MailMax: rapid.IntRange(0, 9).Draw(t, "mailmax"), RcptMax: rapid.IntRange(0, 9).Draw(t, "rcptmax"), RcptDomainMax: rapid.IntRange(0, 9).Draw(t, "rcptdomainmax")}
	s.ProxyProtocol = rapid.Bool().Draw(t, "proxy protocol")
	s.XClient = several(t, "xclient", func(t *rapid.T) netip.Prefix {
		return netip.MustParsePrefix(rapid.SampledFrom([]string{"127.0.0.0/8", "::1/128", "192.0.2.1/32"}).Draw(t, "network"))
	})
	s.RequireTLS = fault.RequireTLS(rapid.IntRange(0, 2).Draw(t, "requiretls"))
	return s
}

func anyPlan(t *rapid.T) fault.PlanSpec {
	p := fault.PlanSpec{
		Name: anyText(t), Description: anyText(t), Seed: rapid.Uint64().Draw(t, "seed"), Restart: rapid.Bool().Draw(t, "restart"), ListenerFaults: anyListenerFaults(t),
		Limits: several(t, "limits", anyLimit), Rules: several(t, "rules", anyRule), Reactions: several(t, "reactions", anyReaction), Phases: several(t, "phases", anyPhase),
		Listeners: several(t, "listeners", func(t *rapid.T) fault.Listener {
			return fault.Listener{Name: anyText(t), Address: anyText(t), LMTP: rapid.Bool().Draw(t, "lmtp"), ImplicitTLS: rapid.Bool().Draw(t, "tls"), Proxied: rapid.Bool().Draw(t, "proxied"), DSN: rapid.Bool().Draw(t, "dsn"), Service: some(t, "service", anyService)}
		}),
	}
	for _, stage := range rapid.SliceOfNDistinct(rapid.IntRange(0, smtp.NumStages-1), 0, 3, rapid.ID).Draw(t, "plain") {
		w := anyReply(t)
		p.Plain = append(p.Plain, fault.PlainSpec{Stage: smtp.Stage(stage), Enhanced: w.Enhanced.Enhanced, NoEnhanced: w.Enhanced.none, Text: append(w.Text, anyText(t))})
	}
	start, err := fault.ParseStart(rapid.SampledFrom([]string{"first-connection", "clock", "2026-03-01T08:00:00Z", "2026-03-01T08:00:00.123456789+05:30"}).Draw(t, "start"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	p.Start = start
	if len(p.Phases) > 0 && rapid.Bool().Draw(t, "group?") {
		p.Phases = []fault.PhaseSpec{{Repeat: 2, Phases: p.Phases}, {Phases: []fault.PhaseSpec{}}}
	}
	return p
}

// TestEncodedErrorsHaveTheirPlace: what NewPlan says of a spec that a program made is found in the text that was written of it.
func TestEncodedErrorsHaveTheirPlace(t *testing.T) {
	long := strings.Repeat("long ", 30)
	for _, c := range []struct {
		spec      fault.PlanSpec
		key, line string
	}{
		{fault.PlanSpec{Rules: []fault.RuleSpec{{Stage: smtp.StageMail}, {Name: long, Stage: smtp.StageMail, Match: fault.Match{Recipients: []string{"*@a.example"}}}}}, "rules[1].match.recipient", `    match: {recipient: "*@a.example"}`},
		{fault.PlanSpec{Rules: []fault.RuleSpec{{Name: long, Stage: smtp.StageRcpt, Outcomes: []fault.OutcomeSpec{{Weight: 1}, {Weight: 1, Code: 450, Enhanced: smtp.Enhanced{Class: 5}}}}}}, "rules[0].outcomes[1].reply", "    outcomes: [{}, {reply: 450/5.0.0}]"},
		{fault.PlanSpec{Rules: []fault.RuleSpec{{Stage: smtp.StageRcpt, Outcomes: []fault.OutcomeSpec{{Weight: 1, Faults: fault.Faults{Delivery: fault.DeliveryKeep}}}}}}, "rules[0].delivery", "  - {stage: rcpt, delivery: keep}"},
		{fault.PlanSpec{Limits: []fault.LimitSpec{{Name: "l", Kind: fault.LimitSize, Max: 1}, {Name: "l", Kind: fault.LimitSize, Max: 1 << 20}}}, "limits[1].name", "  - {name: l, kind: size, max: 1MiB}"},
		{fault.PlanSpec{Phases: []fault.PhaseSpec{{Repeat: 2, Phases: []fault.PhaseSpec{{Name: "p"}}}}}, "phases[0].phases[0].duration", "  - {repeat: 2, phases: [{name: p}]}"},
	} {
		text := Encode(c.spec)
		_, err := Parse("x.yaml", text)
		var e *Error
		if !errors.As(err, &e) || e.Line == 0 || e.Key != c.key {
			t.Errorf("error is %v, want one of %s, in\n%s", err, c.key, text)
		} else if line := strings.Split(string(text), "\n")[e.Line-1]; line != c.line {
			t.Errorf("%v is at the line\n%s\nwant\n%s", err, line, c.line)
		}
	}
}

// TestCanonicalForm: what people write at length is written shortly, as the documentation does, and nothing is written that goes without.
func TestCanonicalForm(t *testing.T) {
	const text = `
phases:
  - {duration: 300s, name: p, repeat: 1, rules: [{delay: 60000ms, stage: connect}]}
rules:
  - {match: {sender: ["<>"], attempt: 3-3, client: 192.0.2.1/32, tls: false}, reply: {code: 450}, stage: rcpt, key: attempt}
  - {stage: message, outcomes: [{reply: {code: 550, enhanced: 5.1.1}, weight: 1.0}], name: "yes"}
  - {stage: message, mode: {name: bounce}, strict: true}
  - {stage: data, body: {after: 1048576, close: fin}, close: {when: before, mode: none}}
limits:
  - {max: 1048576, name: a, kind: size}
  - {max: 1024, name: b, kind: messages}
  - {rate: 0.5, name: c, kind: rate, stage: rcpt, except: [{sender: "<>"}]}
  - {name: d, kind: greylist, delay: 60s, window: 14400s}
seed: 0
version: 1
`
	const want = `version: 1
limits:
  - {name: a, kind: size, max: 1MiB}
  - {name: b, kind: messages, max: 1024}
  - {name: c, kind: rate, stage: rcpt, except: {sender: "<>"}, rate: 30/m}
  - {name: d, kind: greylist, delay: 1m, window: 4h}
rules:
  - {stage: rcpt, match: {client: 192.0.2.1, sender: "<>", attempt: 3, tls: false}, reply: 450, key: attempt}
  - {name: "yes", stage: message, reply: 550/5.1.1}
  - {stage: message, mode: bounce}
  - {stage: data, body: {after: 1MiB, close: fin}}
phases:
  - {name: p, duration: 5m, repeat: 1, rules: [{stage: connect, delay: 1m}]}
`
	f, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Encode(f.Spec)); got != want {
		t.Errorf("canonical form is\n%s\nwant\n%s", got, want)
	}
}
