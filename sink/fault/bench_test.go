package fault

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func BenchmarkDraw(b *testing.B) {
	key := AppendKey(nil, KeyAttempt, golden(smtp.StageRcpt))
	b.ReportAllocs()
	var sum uint64
	for b.Loop() {
		sum += Draw(7, smtp.StageRcpt, PurposeCode, key)
	}
	if sum == 0 {
		b.Fatal("no draw")
	}
}

// BenchmarkDecide decides at rcpt under plans of many rules with two recipient domains each; "plain" is the baseline without rules.
func BenchmarkDecide(b *testing.B) {
	for _, rules := range []int{0, 1, 10, 500} {
		name := fmt.Sprintf("rules=%d", rules)
		if rules == 0 {
			name = "plain"
		}
		b.Run(name, func(b *testing.B) {
			spec := PlanSpec{Seed: 7}
			for i := range rules {
				spec.Rules = append(spec.Rules, RuleSpec{
					Stage:    smtp.StageRcpt,
					Match:    Match{Recipients: []string{fmt.Sprintf("*@d%d.example", 2*i), fmt.Sprintf("*@d%d.example", 2*i+1)}},
					Outcomes: []OutcomeSpec{{Weight: 90}, {Weight: 7, Code: 450}, {Weight: 3, Code: 550}},
				})
			}
			p := mustPlan(b, spec)
			o := golden(smtp.StageRcpt)
			o.Recipient = fmt.Appendf(nil, "somebody@d%d.example", max(0, 2*rules-1))
			if d := p.Decide(o); (d.Cause == CauseRule) != (rules > 0) {
				b.Fatalf("decision is %+v", d)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(o)
			}
		})
	}
}

// largePlan has 500 rules at rcpt over 1,000 recipient domains, each with faults, beside limits and a phase with a ramp.
func largePlan(tb testing.TB) *Plan {
	tb.Helper()
	spec := PlanSpec{Seed: 7, Limits: []LimitSpec{
		{Name: "pace", Kind: LimitRate, Rate: 20, Scope: ScopeRecipientDomain, Except: []Match{{Senders: []string{"<>"}}}},
		{Name: "wide", Kind: LimitRecipients, Max: 100},
	}}
	rules := func(from, to int) (rules []RuleSpec) {
		for i := from; i < to; i++ {
			rules = append(rules, RuleSpec{
				Stage: smtp.StageRcpt,
				Match: Match{Recipients: []string{fmt.Sprintf("*@d%d.example", 2*i), fmt.Sprintf("*@d%d.example", 2*i+1)}},
				Outcomes: []OutcomeSpec{
					{Weight: 90}, {Weight: 4, Code: 450, Faults: Faults{Dribble: Dribble{1, 1e6}}}, {Weight: 3, Faults: Faults{Close: Close{Mode: CloseRST}}},
					{Weight: 3, Code: 550, Faults: Faults{Malformed: MalformedMixedCodes}},
				},
			})
		}
		return rules
	}
	spec.Rules = rules(0, 250)
	spec.Phases = []PhaseSpec{{Name: "p", Duration: 1e9, Ramp: &Ramp{0.5, 1}, Rules: rules(250, 500)}}
	return mustPlan(tb, spec)
}

// BenchmarkLargePlan decides at rcpt for recipients of 1,000 domains in turn; "plain" is the same without rules. It counts what a
// session asks of a plan: the view, the limits that apply, and the decision.
func BenchmarkLargePlan(b *testing.B) {
	var recipients [1000][]byte
	for i := range recipients {
		recipients[i] = fmt.Appendf(nil, "somebody@d%d.example", i)
	}
	for name, p := range map[string]*Plan{"plain": new(Plan), "rules=500,domains=1000": largePlan(b)} {
		b.Run(name, func(b *testing.B) {
			o := golden(smtp.StageRcpt)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				o.Recipient, o.RcptN = recipients[i%len(recipients)], uint64(i)
				v := p.View(stormStart.Add(5e8), stormStart)
				for _, l := range v.Limits(smtp.StageRcpt) {
					l.Applies(o)
				}
				v.Decide(o)
			}
		})
	}
}

func TestViewDoesNotAllocate(t *testing.T) {
	p := largePlan(t)
	met := map[Cause]int{}
	for i, domain := range []string{"d0.example", "d998.example", "d7777.example"} {
		o := golden(smtp.StageRcpt)
		o.Recipient = []byte("somebody@" + domain)
		for n := range uint64(50) {
			o.RcptN = n
			if got := testing.AllocsPerRun(20, func() {
				v := p.View(stormStart.Add(5e8), stormStart)
				for _, l := range v.Limits(smtp.StageRcpt) {
					l.Applies(o)
				}
				met[v.Decide(o).Cause]++
			}); got != 0 {
				t.Fatalf("domain %d: a decision allocates %v times, want 0", i, got)
			}
		}
	}
	if met[CauseRule] == 0 || met[CausePlain] == 0 {
		t.Errorf("causes are %v, want rules and plain replies", met)
	}
}
