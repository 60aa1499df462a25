package fault

import (
	"fmt"
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

// Whatever a rule's condition is, one among many thousands costs an occurrence no more than a few looks.
func TestManyRulesAreNotAskedOneByOne(t *testing.T) {
	const n = 10_000
	for name, match := range map[string]func(i int) Match{
		"recipient": func(i int) Match { return Match{Recipients: []string{fmt.Sprintf("u%d@x.test", i)}} },
		"domain":    func(i int) Match { return Match{Recipients: []string{fmt.Sprintf("*@d%d.test", i)}} },
		"below":     func(i int) Match { return Match{Recipients: []string{fmt.Sprintf("*.d%d.test", i)}} },
		"sender":    func(i int) Match { return Match{Senders: []string{fmt.Sprintf("u%d@x.test", i)}} },
		"helo":      func(i int) Match { return Match{Helos: []string{fmt.Sprintf("h%d.test", i)}} },
		"client": func(i int) Match {
			return Match{Clients: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)}}
		},
		"listener": func(i int) Match { return Match{Listeners: []string{fmt.Sprintf("l%d", i)}} },
	} {
		t.Run(name, func(t *testing.T) {
			spec := PlanSpec{}
			for i := range n {
				spec.Rules = append(spec.Rules, RuleSpec{Stage: smtp.StageRcpt, Match: match(i), Outcomes: []OutcomeSpec{{Weight: 1, Code: 550}}})
			}
			p, err := NewPlan(spec)
			if err != nil {
				t.Fatal(err)
			}
			o := Occurrence{
				Stage: smtp.StageRcpt, Sender: []byte("u9999@x.test"), Recipient: []byte("u9999@x.test"), Helo: []byte("h9999.test"),
				Client: netip.MustParseAddr("10.0.39.15"), Listener: "l9999",
			}
			if name == "domain" {
				o.Recipient = []byte("a@d9999.test")
			}
			if name == "below" {
				o.Recipient = []byte("a@b.d9999.test")
			}
			if d := p.Decide(&o); d.Rule == nil || d.Rule.Index != n-1 || o.Asked > 2 {
				t.Errorf("decided by %v, %d rules asked; want the last, and at most 2", d.Rule, o.Asked)
			}
		})
	}
}
