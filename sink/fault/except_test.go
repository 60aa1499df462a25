package fault

import (
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestRuleExceptions: whom a rule is not for, the next one that matches is for; whatever the rule is found by.
func TestRuleExceptions(t *testing.T) {
	null := Match{Senders: []string{"<>"}}
	for name, c := range map[string]struct {
		match  Match
		except []Match
		change func(*Occurrence)
		want   bool // the rule speaks
	}{
		"nobody excepted":                 {Match{}, nil, func(*Occurrence) {}, true},
		"everybody but the null sender":   {Match{}, []Match{null}, func(*Occurrence) {}, true},
		"the null sender":                 {Match{}, []Match{null}, func(o *Occurrence) { o.Sender = nil }, false},
		"found by the recipient":          {Match{Recipients: []string{"*@example.org"}}, []Match{null}, func(o *Occurrence) { o.Sender = nil }, false},
		"found by the sender":             {Match{Senders: []string{"<>"}}, []Match{{Recipients: []string{"*@example.org"}}}, func(o *Occurrence) { o.Sender = nil }, false},
		"found by the HELO":               {Match{Helos: []string{"*.example.net"}}, []Match{{Attempts: Range{From: 2}}}, func(o *Occurrence) { o.Helo, o.RcptN = []byte("a.example.net"), 2 }, false},
		"not yet excepted":                {Match{Helos: []string{"*.example.net"}}, []Match{{Attempts: Range{From: 2}}}, func(o *Occurrence) { o.Helo, o.RcptN = []byte("a.example.net"), 1 }, true},
		"found by the client":             {Match{Clients: prefixes("192.0.2.0/24")}, []Match{{Clients: prefixes("192.0.2.0/25")}}, func(*Occurrence) {}, false},
		"found by the listener":           {Match{Listeners: []string{"mx1"}}, []Match{{TLS: TLSNo}}, func(o *Occurrence) { o.TLS = false }, false},
		"any of several":                  {Match{}, []Match{{TLS: TLSYes}, null}, func(o *Occurrence) { o.TLS, o.Sender = false, nil }, false},
		"all conditions of one must hold": {Match{}, []Match{{TLS: TLSYes, Senders: []string{"<>"}}}, func(o *Occurrence) { o.TLS, o.Sender = false, nil }, true},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{
			{Name: "first", Stage: smtp.StageRcpt, Match: c.match, Except: c.except, Outcomes: []OutcomeSpec{{Weight: 1, Code: 550}}},
			{Name: "second", Stage: smtp.StageRcpt},
		}})
		o := golden(smtp.StageRcpt)
		c.change(o)
		r := p.View(time.Time{}, time.Time{}).Rule(o)
		if r == nil || r.Name == "first" != c.want {
			t.Errorf("%s: the rule that speaks is %+v, want the first: %v", name, r, c.want)
		}
		if got := p.Rules()[0].Matches(o); got != c.want {
			t.Errorf("%s: the rule matches: %v, want %v", name, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { p.View(time.Time{}, time.Time{}).Rule(o) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// After the body an exception is for any accepted recipient, as a match is.
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Except: []Match{{Recipients: []string{"vip@example.org"}}}}}})
	o := golden(smtp.StageMessage)
	o.Recipient, o.AcceptedRecipients = nil, [][]byte{[]byte("a@example.org"), []byte("vip@example.org")}
	if p.Rules()[0].Matches(o) {
		t.Error("a message with an excepted recipient is not excepted")
	}
	if a, b := p.Rules()[0].ID(), mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage}}}).Rules()[0].ID(); a == b {
		t.Error("rules that differ in their exceptions have the same identity")
	}
	if n := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Except: []Match{{Attempts: Range{From: 2}}}}}}).Needs(); !n.Recipients {
		t.Errorf("an exception by the attempt needs %+v", n)
	}
}

// TestExamplesAvoidExceptions: an example of what a rule is for is none of what it is not for, if there is any such.
func TestExamplesAvoidExceptions(t *testing.T) {
	for name, c := range map[string]struct {
		match, except Match
		found         bool
	}{
		"network":            {Match{Clients: prefixes("192.0.2.0/24")}, Match{Clients: prefixes("192.0.2.0/25")}, true},
		"last address":       {Match{Clients: prefixes("192.0.2.0/24")}, Match{Clients: prefixes("192.0.2.0/25", "192.0.2.128/26", "192.0.2.192/27", "192.0.2.224/28")}, true},
		"the same network":   {Match{Clients: prefixes("192.0.2.0/24")}, Match{Clients: prefixes("192.0.2.0/23")}, false},
		"range":              {Match{Attempts: Range{From: 1, To: 5}}, Match{Attempts: Range{From: 1, To: 4}}, true},
		"name that comes up": {Match{Senders: []string{"*@a.example"}}, Match{Senders: []string{"any@a.example"}}, true},
		"member of a list":   {Match{Recipients: []string{"a@a.example", "b@a.example"}}, Match{Recipients: []string{"a@a.example"}}, true},
		"below":              {Match{Helos: []string{"*.a.example"}}, Match{Helos: []string{"any.a.example"}}, true},
	} {
		o := golden(smtp.StageRcpt)
		c.match.Example(o, []Match{c.except})
		match, except := newMatcher(&c.match), newMatcher(&c.except)
		if !match.holdsAll(o) || except.holdsAll(o) == c.found {
			t.Errorf("%s: the example %+v is matched: %v, excepted: %v", name, o, match.holdsAll(o), except.holdsAll(o))
		}
	}
}
