package plan

import (
	"bytes"
	"fmt"
	"testing"
)

// manyRules is a plan with a rule for each of n recipients.
func manyRules(t *testing.T, n int) *File {
	t.Helper()
	text := []byte("version: 1\nrules:\n")
	for i := range n {
		text = fmt.Appendf(text, "- {stage: rcpt, match: {recipient: u%d@x.test}, reply: 550}\n", i)
	}
	f, err := Parse("many.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Explaining a plan takes work that grows with its rules, not with their square.
func TestExplainingManyRulesIsLinear(t *testing.T) {
	work := func(n int) float64 {
		f := manyRules(t, n)
		return testing.AllocsPerRun(1, func() {
			NewExplanation(f, Serving{})
			if err := Explain(new(bytes.Buffer), f, Serving{}); err != nil {
				t.Error(err)
			}
		})
	}
	const n = 500
	if small, large := work(n), work(4*n); large > 4.5*small {
		t.Errorf("%d rules take %v allocations, %d take %v: more than in proportion", n, small, 4*n, large)
	}
	f := manyRules(t, 20_000) // minutes, were each asked for each
	all := allTraffic(f.Plan, Serving{}, nil)
	if len(all) != 20_001 {
		t.Fatalf("%d kinds of mail, want 20001", len(all))
	}
	for i, mail := range all[1:] {
		if shares := mail.spread(f.Plan.Rules()[i].Stage, 0, 0); shares[0].Rule != f.Plan.Rules()[i] {
			t.Fatalf("mail to recipient %d meets %v", i, shares[0].Rule)
		}
	}
}
