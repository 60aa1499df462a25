package plan

import (
	"os"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// faultExamples has a rule with each fault, by its key.
var faultExamples = map[string]string{
	"silence":      "{stage: rcpt, silence: true}",
	"dribble":      "{stage: rcpt, dribble: {octets: 1, every: 1s}}",
	"split":        "{stage: rcpt, split: {packets: 2, pause: 1s}}",
	"cut":          "{stage: rcpt, cut: {octets: 2, close: fin}}",
	"malformed":    "{stage: rcpt, malformed: no-code}",
	"raw":          `{stage: rcpt, reply: 250, raw: "\r\n"}`,
	"bandwidth":    "{stage: rcpt, bandwidth: {in: 40kbit/s}}",
	"close":        "{stage: rcpt, close: {mode: rst, when: after}}",
	"delivery":     "{stage: message, delivery: keep}",
	"body":         "{stage: data, body: {after: 1KiB, close: rst}}",
	"missing":      "{stage: ehlo, missing: [STARTTLS]}",
	"capabilities": "{stage: ehlo, capabilities: [SIZE 1000]}",
	"tls":          "{stage: starttls, tls: reset}",
}

// TestEveryFaultHasItsWords: each key of a fault has a row in docs/plans.md, and the fault a word in ledgers and words in check.
func TestEveryFaultHasItsWords(t *testing.T) {
	text, err := os.ReadFile("../../docs/plans.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range faultKeys(func(f *fault.Faults) *fault.Faults { return f }) {
		example := faultExamples[key.name]
		if example == "" {
			t.Errorf("%s: there is no example of it here", key.name)
			continue
		}
		if !strings.Contains(string(text), "\n| `"+key.name+":") {
			t.Errorf("docs/plans.md has no row of %s", key.name)
		}
		file, err := Parse("test.yaml", []byte("version: 1\nrules:\n  - "+example+"\n"))
		if err != nil {
			t.Error(err)
			continue
		}
		o, stage := &file.Plan.Rules()[0].Outcomes[0], file.Plan.Rules()[0].Stage
		plain := *o
		plain.Faults = fault.Faults{}
		if o.IsZero() || o.Names() == "" {
			t.Errorf("%s: Faults.IsZero is %v, Faults.Names %q", example, o.IsZero(), o.Names())
		}
		if words := outcomeWords(stage, o, false); words == outcomeWords(stage, &plain, false) {
			t.Errorf("%s: check says no more than %q", example, words)
		}
	}
}
