package fault

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Rules for commands out of order speak for those and for no others, in the plan and in its phases.
func TestOutOfOrderRules(t *testing.T) {
	bad := RuleSpec{Name: "bad", Stage: smtp.StageRcpt, Match: Match{OutOfOrder: true}, Outcomes: []OutcomeSpec{{Weight: 1, Code: 250}}}
	good := RuleSpec{Name: "good", Stage: smtp.StageRcpt, Outcomes: []OutcomeSpec{{Weight: 1, Code: 450}}}
	for _, rules := range [][]RuleSpec{{bad, good}, {good, bad}} {
		v := mustPlan(t, PlanSpec{Rules: rules}).View(stormStart, stormStart)
		o := golden(smtp.StageRcpt)
		if d := v.Decide(o); d.Rule == nil || d.Rule.Name != "good" {
			t.Errorf("a command in order is decided by %+v", d)
		}
		o.OutOfOrder, o.BadSequence = true, true
		d := v.Decide(o)
		if d.Rule == nil || d.Rule.Name != "bad" {
			t.Fatalf("a command out of order is decided by %+v", d)
		}
		if d.Reply == nil || d.Reply.Code != 250 {
			t.Errorf("250 was written out, and the reply is %v", d.Reply) // the plain code of the stage, but not what would be said
		}
	}
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{good}})
	if v := p.View(stormStart, stormStart); v.HasRulesOutOfOrder(smtp.StageRcpt) || !v.HasRules(smtp.StageRcpt) {
		t.Error("a plan without rules for commands out of order speaks there, or not where it should")
	}
	o := golden(smtp.StageRcpt)
	o.OutOfOrder, o.BadSequence = true, true
	if d := p.Decide(o); d.Cause != CausePlain {
		t.Errorf("a rule for commands in order decides one out of order: %+v", d)
	}
}

func TestOutOfOrderDefaults(t *testing.T) {
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMail, Match: Match{OutOfOrder: true}, Outcomes: []OutcomeSpec{
		{Weight: 1}, {Weight: 1, Code: 503}, {Weight: 1, Code: 503, Text: []string{"No"}}, {Weight: 1, Code: 250},
	}}}})
	r := p.Rules()[0]
	for i, usual := range []bool{true, true, false, false} {
		if o := r.Outcomes[i]; (o.Reply == nil) != usual || usual && o.Code != OutOfOrderCode {
			t.Errorf("outcome %d is %d with the reply %v, want the usual refusal: %v", i, o.Code, o.Reply, usual)
		}
	}
	if got := r.UsualReply(0).Code; got != OutOfOrderCode {
		t.Errorf("the usual reply is %d", got)
	}
	if needs := r.Needs(); needs != (Needs{Connections: true}) {
		t.Errorf("the rule needs %+v, want the connections alone: nothing else is known", needs)
	}
	drawn := map[smtp.Code]int{}
	for n := range uint64(400) { // each command is drawn for anew
		o := &Occurrence{Stage: smtp.StageMail, OutOfOrder: true, BadSequence: true, ConnN: 1, Nth: n + 1}
		drawn[r.Outcomes[p.Decide(o).Outcome].Code]++
	}
	if drawn[503] < 250 || drawn[250] < 60 {
		t.Errorf("of 400 commands %d got 503 and %d got 250, want about 300 and 100", drawn[503], drawn[250])
	}
}

func TestOutOfOrderErrors(t *testing.T) {
	bad := Match{OutOfOrder: true}
	for _, c := range []struct {
		spec PlanSpec
		want string
	}{
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageConnect, Match: bad}}}, "rule 1: match.sequence: nothing is out of order at stage connect"},
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Match: bad}}}, "rule 1: match.sequence: nothing is out of order at stage message"},
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageQuit, Match: bad}}}, "rule 1: match.sequence: nothing is out of order at stage quit"},
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: bad, Key: KeyRecipient}}}, "rule 1: key: key recipient is not known for commands out of order"},
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageData, Match: bad, Outcomes: []OutcomeSpec{{Weight: 1, Code: 354, Faults: Faults{Body: BodyFault{Close: CloseFIN}}}}}}},
			"rule 1: outcomes[0].body: a command out of order begins no message"},
		{PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageStartTLS, Match: bad, Outcomes: []OutcomeSpec{{Weight: 1, Code: 220, Faults: Faults{TLS: TLSReset}}}}}},
			"rule 1: outcomes[0].tls: a command out of order begins no handshake"},
		{PlanSpec{Limits: []LimitSpec{{Name: "l", Kind: LimitRate, Rate: 1, Match: bad}}}, `limits[0] "l": match.sequence: limits don't count commands out of order`},
		{PlanSpec{Limits: []LimitSpec{{Name: "l", Kind: LimitRate, Rate: 1, Except: []Match{bad}}}}, `limits[0] "l": except[0].sequence: limits don't count`},
	} {
		if _, err := NewPlan(c.spec); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

// Recipients and senders without a domain, which the parser of paths takes, can be told apart by rules.
func TestMatchWithoutDomain(t *testing.T) {
	for _, c := range []struct {
		pattern string
		holds   []string
		not     []string
	}{
		{"postmaster", []string{"postmaster", "PostMaster"}, []string{"postmaster@x", "root", ""}},
		{"root", []string{"root", "ROOT"}, []string{"root@x", "roots"}},
		{"<root>", []string{"root"}, []string{"root@x"}},
		{"<first.last>", []string{"first.last", "First.Last"}, []string{"first.last@x", "last"}},
		{`"a b"`, []string{`"a b"`, `"A B"`}, []string{`"a b"@x`}},
		{`"a@b"`, []string{`"a@b"`}, []string{`a@b`, `"a@b"@x`}},
		{"*@", []string{"root", "first.last", `"a@b"`, `"a b"`}, []string{"root@x", `"a@b"@x`, ""}},
		{`*@b`, []string{"a@b", `"x@y"@B`}, []string{`"a@b"`, "b", ""}},
		{`*.b`, []string{"a@x.b"}, []string{`"a@x.b"`, "x.b"}},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMail, Match: Match{Senders: []string{c.pattern}}}}})
		q := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: Match{Recipients: []string{c.pattern}}}}})
		l := mustPlan(t, PlanSpec{Limits: []LimitSpec{{Name: "l", Kind: LimitRate, Rate: 1, Match: Match{Recipients: []string{c.pattern}}}}}).AllLimits()[0]
		check := func(address string, want bool) {
			rcpt := &Occurrence{Stage: smtp.StageRcpt, Recipient: []byte(address)}
			if got := p.Decide(&Occurrence{Stage: smtp.StageMail, Sender: []byte(address)}).Cause == CauseRule; got != want {
				t.Errorf("sender %q matches %q: %v, want %v", address, c.pattern, got, want)
			}
			if address == "" {
				return
			}
			if got := q.Decide(rcpt).Cause == CauseRule; got != want {
				t.Errorf("recipient %q matches %q: %v, want %v", address, c.pattern, got, want)
			}
			if got := l.Applies(rcpt); got != want {
				t.Errorf("a limit for %q is for %q: %v, want %v", c.pattern, address, got, want)
			}
		}
		for _, address := range c.holds {
			check(address, true)
		}
		for _, address := range c.not {
			check(address, false)
		}
	}
	for _, pattern := range []string{"first.last", "a b", `"a`, `a"`, "a@", "@", "*", "<", "<*>", "<a@>", "a,b", "\"a\r\"", "*@*"} {
		spec := PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: Match{Recipients: []string{pattern}}}}}
		if _, err := NewPlan(spec); err == nil || !strings.Contains(err.Error(), "invalid pattern") {
			t.Errorf("pattern %q: error is %v, want it refused", pattern, err)
		}
	}
}
