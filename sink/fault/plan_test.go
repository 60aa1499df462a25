package fault

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestPlanWithoutRules(t *testing.T) {
	for name, p := range map[string]*Plan{"empty": mustPlan(t, PlanSpec{}), "zero": new(Plan)} {
		for s := range smtp.NumStages {
			if d := p.Decide(golden(smtp.Stage(s))); d != (Decision{}) {
				t.Errorf("%s plan decides %+v at %v, want the plain reply", name, d, smtp.Stage(s))
			}
		}
		if p.Needs() != (Needs{}) {
			t.Errorf("%s plan needs %+v, want nothing", name, p.Needs())
		}
	}
}

func TestFirstRuleDecides(t *testing.T) {
	p := mustPlan(t, PlanSpec{Name: "bad day", Description: "bad", Seed: 7, Rules: []RuleSpec{
		{Stage: smtp.StageMail, Outcomes: []OutcomeSpec{{Weight: 1, Code: 451}}},
		{Stage: smtp.StageRcpt, Match: Match{Senders: []string{"<>"}}},
		{Name: "late", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"*@example.org"}}, Delay: fixed(time.Second),
			Outcomes: []OutcomeSpec{{Weight: 1, Code: 550, Text: []string{"No such user", "Really"}}}},
		{Stage: smtp.StageRcpt, Outcomes: []OutcomeSpec{{Weight: 1, Code: 450}}},
	}})
	o := golden(smtp.StageRcpt)
	d := p.Decide(o)
	if d.Cause != CauseRule || d.Rule != p.Rules()[2] || d.Outcome != 0 || d.Delay != time.Second ||
		d.Reply.String() != "550-5.1.1 No such user / 550 5.1.1 Really" {
		t.Errorf("decision is %+v with %v, want rule \"late\"", d, d.Reply)
	}
	o.Sender = nil
	if d := p.Decide(o); d.Rule != p.Rules()[1] || d.Reply != nil || d.Delay != 0 {
		t.Errorf("decision for the null sender is %+v, want the exemption, rule 2", d)
	}
	o.Sender, o.Recipient = []byte("a@b.example"), []byte("c@d.example")
	if d := p.Decide(o); d.Rule != p.Rules()[3] || d.Rule.Name != "rule 4" || d.Reply.Code != 450 {
		t.Errorf("decision for another recipient is %+v, want rule 4", d)
	}
	if p.Name() != "bad day" || p.Description() != "bad" || p.Seed() != 7 || len(p.At(smtp.StageRcpt)) != 3 || len(p.At(smtp.StageData)) != 0 {
		t.Errorf("plan is %q, %q, seed %d, %d rules at rcpt", p.Name(), p.Description(), p.Seed(), len(p.At(smtp.StageRcpt)))
	}
	for i, r := range p.Rules() {
		if r.Index != i || r.Key != KeyAttempt {
			t.Errorf("rule %d has index %d and key %v", i, r.Index, r.Key)
		}
	}
}

func TestOutcomes(t *testing.T) {
	late, soon := fixed(time.Second), fixed(time.Millisecond)
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageEhlo, Delay: late, Outcomes: []OutcomeSpec{
		{Weight: 6}, {Weight: 1, Code: 250}, {Weight: 1, Code: 250, Text: []string{"mx.example"}}, {Weight: 2, Code: 502, Delay: soon}, {Weight: 0, Code: 599, NoDelay: true},
	}}}})
	r := p.Rules()[0]
	for i, want := range []struct {
		code  smtp.Code
		plain bool
		p     float64
		delay time.Duration
	}{
		{250, true, 0.6, time.Second},
		{250, true, 0.1, time.Second}, // the plain code without words of its own is the plain reply, with the capabilities
		{250, false, 0.1, time.Second},
		{502, false, 0.2, time.Millisecond},
		{599, false, 0, 0},
	} {
		o := r.Outcomes[i]
		if o.Code != want.code || (o.Reply == nil) != want.plain || math.Abs(o.Probability-want.p) > 1e-15 || o.Delay.At(0) != want.delay {
			t.Errorf("outcome %d is %+v, want %+v", i, o, want)
		}
		if r.Probabilities()[i] != o.Probability {
			t.Errorf("probability %d is %v, want %v", i, r.Probabilities()[i], o.Probability)
		}
	}
}

// TestProbabilitiesAreMet: what a rule plans for is what its draws approach.
func TestProbabilitiesAreMet(t *testing.T) {
	p := mustCompile(t, Flags{Mode: "random", RandomAccept: 0.8, At: []string{"rcpt"}, Seed: 9})
	r := p.Rules()[0]
	counts := make([]float64, len(r.Outcomes))
	o := &Occurrence{Stage: smtp.StageRcpt, Recipient: []byte("r@example.org")}
	for n := range uint64(50_000) {
		o.RcptN = n + 1
		counts[p.Decide(o).Outcome]++
	}
	if got := goodness(counts, r.Probabilities()); got < alpha {
		t.Errorf("p = %.3g of %v against %v", got, counts, r.Probabilities())
	}
}

// TestStickyRecipients: with key recipient every attempt meets the same fate, with key message every recipient of the message.
func TestStickyRecipients(t *testing.T) {
	for _, c := range []struct {
		key    KeyKind
		change func(o *Occurrence, i uint64)
		sticky bool
	}{
		{KeyRecipient, func(o *Occurrence, i uint64) { o.RcptN, o.MailN, o.ConnN = i, i, i }, true},
		{KeyAttempt, func(o *Occurrence, i uint64) { o.RcptN = i }, false},
		{KeyMessage, func(o *Occurrence, i uint64) { o.RcptN, o.Recipient = i, fmt.Appendf(nil, "u%d@example.org", i) }, true},
		{KeyMessage, func(o *Occurrence, i uint64) { o.MailN = i }, false},
		{KeyConnection, func(o *Occurrence, i uint64) {
			o.RcptN, o.MailN, o.Sender = i, i, fmt.Appendf(nil, "u%d@example.org", i)
		}, true},
		{KeyConnection, func(o *Occurrence, i uint64) { o.ConnN = i }, false},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Key: c.key, Outcomes: []OutcomeSpec{{Weight: 1}, {Weight: 1, Code: 450}}}}})
		seen := map[int]int{}
		for i := range uint64(200) {
			o := golden(smtp.StageRcpt)
			c.change(o, i+1)
			seen[int(p.Decide(o).Outcome)]++
		}
		if (len(seen) == 1) != c.sticky {
			t.Errorf("key %v: outcomes %v, want one only: %v", c.key, seen, c.sticky)
		}
	}
}

func TestNeeds(t *testing.T) {
	coin := []OutcomeSpec{{Weight: 1}, {Weight: 1, Code: 450}}
	for _, c := range []struct {
		name string
		rule RuleSpec
		want Needs
	}{
		{"one outcome draws nothing", RuleSpec{Stage: smtp.StageRcpt, Outcomes: coin[1:], Delay: fixed(time.Second)}, Needs{}},
		{"two outcomes at rcpt", RuleSpec{Stage: smtp.StageRcpt, Outcomes: coin}, Needs{Recipients: true}},
		{"random delay at message", RuleSpec{Stage: smtp.StageMessage, Delay: Delay{Kind: DelayExponential, A: time.Second}}, Needs{Recipients: true}},
		{"random delay of one outcome", RuleSpec{Stage: smtp.StageMail, Outcomes: []OutcomeSpec{{Weight: 1, Delay: Delay{Kind: DelayExponential, A: 1}}}}, Needs{Mails: true}},
		{"mail", RuleSpec{Stage: smtp.StageMail, Outcomes: coin}, Needs{Mails: true}},
		{"connect", RuleSpec{Stage: smtp.StageConnect, Outcomes: coin}, Needs{Connections: true}},
		{"noop", RuleSpec{Stage: smtp.StageNoop, Outcomes: coin}, Needs{Connections: true}},
		{"key message", RuleSpec{Stage: smtp.StageRcpt, Outcomes: coin, Key: KeyMessage}, Needs{Mails: true}},
		{"key connection", RuleSpec{Stage: smtp.StageRcpt, Outcomes: coin, Key: KeyConnection}, Needs{Connections: true}},
		{"match on attempt", RuleSpec{Stage: smtp.StageRcpt, Match: Match{Attempts: Range{1, 2}}}, Needs{Recipients: true}},
		{"match on connection", RuleSpec{Stage: smtp.StageConnect, Match: Match{Connections: Range{1, 2}}}, Needs{Connections: true}},
		{"match on message of the connection", RuleSpec{Stage: smtp.StageMail, Match: Match{Messages: Range{1, 2}}}, Needs{}},
	} {
		if got := mustPlan(t, PlanSpec{Rules: []RuleSpec{c.rule}}).Needs(); got != c.want {
			t.Errorf("%s: needs %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	rcpt := func(change func(r *RuleSpec)) []RuleSpec {
		r := RuleSpec{Stage: smtp.StageRcpt}
		change(&r)
		return []RuleSpec{r}
	}
	for _, c := range []struct {
		rules []RuleSpec
		want  string
	}{
		{rcpt(func(r *RuleSpec) { r.Stage = 99 }), "rule 1: stage: unknown stage stage(99)"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 0, Code: 450}} }), "rule 1: outcomes: the weights sum to 0"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: -1, Code: 450}} }), "rule 1: outcomes: invalid weight -1"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 1}, {Weight: 1, Code: 600}} }), "rule 1: outcomes[1].reply: invalid reply code 600 (want 200 to 599)"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 1, Code: 199}} }), "rule 1: outcomes[0].reply: invalid reply code 199"},
		{rcpt(func(r *RuleSpec) {
			r.Outcomes = []OutcomeSpec{{Weight: 1, Code: 450, Enhanced: smtp.Enhanced{Class: 5, Subject: 1, Detail: 1}}}
		}), "rule 1: outcomes[0].reply: enhanced status code 5.1.1 contradicts reply code 450"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 1, Code: 450, Text: []string{"a\r\n250 b"}}} }), `rule 1: outcomes[0].reply: reply text "a\r\n250 b" holds CR, LF or NUL`},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 1, Text: []string{"x"}}} }), "rule 1: outcomes[0].reply: enhanced status code or text without a code"},
		{rcpt(func(r *RuleSpec) { r.Outcomes = []OutcomeSpec{{Weight: 1, Delay: fixed(-1)}} }), "rule 1: outcomes[0].delay: delay -1ns is out of range"},
		{rcpt(func(r *RuleSpec) { r.Delay = fixed(time.Hour) }), "rule 1: delay: delay 1h0m0s is out of range"},
		{rcpt(func(r *RuleSpec) { r.Mode.Mode, r.Outcomes = ModeBounce, []OutcomeSpec{{Weight: 1}} }), "rule 1: mode: both a mode and outcomes"},
		{rcpt(func(r *RuleSpec) { r.Stage, r.Mode.Mode = smtp.StageData, ModeOffline }), "rule 1: mode: mode offline has no code that stage data allows"},
		{rcpt(func(r *RuleSpec) { r.Stage, r.Key = smtp.StageMail, KeyRecipient }), "rule 1: key: key recipient is not known yet at stage mail"},
		{rcpt(func(r *RuleSpec) { r.Stage, r.Key = smtp.StageNoop, KeyMessage }), "rule 1: key: key message is not known at stage noop"},
		{[]RuleSpec{{Name: "a"}, {Name: "b"}, {Name: "a"}}, `rule 3 "a": name: name is taken by rule 1`},
		{[]RuleSpec{{Name: "rule 2"}, {}}, `rule 2 "rule 2": name: name is taken by rule 1`},
	} {
		_, err := NewPlan(PlanSpec{Rules: c.rules})
		var spec *SpecError
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &spec) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	rule := func(s smtp.Stage, m Match) RuleSpec {
		return RuleSpec{Stage: s, Match: m, Outcomes: []OutcomeSpec{{Weight: 9}, {Weight: 1, Code: 450}}, Delay: Delay{Kind: DelayLognormal, A: 1e6, Sigma: 1}}
	}
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{
		rule(smtp.StageRcpt, Match{Recipients: []string{"*.example.net"}, Helos: []string{"*.com"}, Clients: prefixes("192.0.2.0/24")}),
		rule(smtp.StageRcpt, Match{Senders: []string{"*@example.com"}}), rule(smtp.StageMessage, Match{Recipients: []string{"*@example.org"}}),
		rule(smtp.StageConnect, Match{}), rule(smtp.StageNoop, Match{Listeners: []string{"mx1"}}), rule(smtp.StageMail, Match{}),
	}})
	for _, s := range []smtp.Stage{smtp.StageConnect, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage, smtp.StageNoop} {
		o := golden(s)
		if n := testing.AllocsPerRun(100, func() { p.Decide(o) }); n != 0 {
			t.Errorf("Decide at %v allocates %v times, want 0", s, n)
		}
	}
}
