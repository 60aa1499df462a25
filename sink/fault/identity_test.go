package fault

import (
	"net/netip"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// A rule is the same one after a reload, wherever it stands, and another one when anything that it says differs.
func TestRulesAreKnownByNameAndContent(t *testing.T) {
	spec := func(edit func(*RuleSpec)) RuleSpec {
		r := RuleSpec{
			Name: "r", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"a@x.test"}, Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
			Outcomes: []OutcomeSpec{{Weight: 1}, {Weight: 1, Code: 550}}, Delay: Delay{Kind: DelayFixed, A: time.Second},
		}
		edit(&r)
		return r
	}
	id := func(before []RuleSpec, edit func(*RuleSpec)) RuleID {
		p, err := NewPlan(PlanSpec{Rules: append(before, spec(edit))})
		if err != nil {
			t.Fatal(err)
		}
		return p.Rules()[len(before)].ID()
	}
	same := id(nil, func(*RuleSpec) {})
	if other := id([]RuleSpec{{Name: "first", Stage: smtp.StageMail}}, func(*RuleSpec) {}); other != same {
		t.Error("the same rule at another place has another identity")
	}
	for name, edit := range map[string]func(*RuleSpec){
		"name":      func(r *RuleSpec) { r.Name = "s" },
		"stage":     func(r *RuleSpec) { r.Stage = smtp.StageMessage },
		"recipient": func(r *RuleSpec) { r.Match.Recipients = []string{"b@x.test"} },
		"client":    func(r *RuleSpec) { r.Match.Clients[0] = netip.MustParsePrefix("192.0.2.0/25") },
		"weight":    func(r *RuleSpec) { r.Outcomes[1].Weight = 2 },
		"enhanced":  func(r *RuleSpec) { r.Outcomes[1].Enhanced = smtp.Enhanced{Class: 5, Subject: 7, Detail: 1} },
		"text":      func(r *RuleSpec) { r.Outcomes[1].Text = []string{"no"} },
		"delay":     func(r *RuleSpec) { r.Delay.A++ },
		"fault":     func(r *RuleSpec) { r.Outcomes[1].Dribble = Dribble{Octets: 1, Every: time.Second} },
		"fault 2":   func(r *RuleSpec) { r.Outcomes[1].Dribble = Dribble{Octets: 1, Every: 2 * time.Second} },
		"key":       func(r *RuleSpec) { r.Key = KeyRecipient },
	} {
		if id(nil, edit) == same {
			t.Errorf("another %s, and the same identity", name)
		}
	}
}
