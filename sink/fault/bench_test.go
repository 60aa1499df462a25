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
