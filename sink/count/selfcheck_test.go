package count

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// What makes the sink's figures doubtful is said, each in a line of its own.
func TestSelfCheckSaturation(t *testing.T) {
	for name, test := range map[string]struct {
		stats Counts
		says  string
	}{
		"nothing":   {Counts{Net: Net{LagP99Micros: 9_000}}, ""},
		"lag":       {Counts{Net: Net{LagP99Micros: 11_000}}, "event loops were busy for up to 11ms"},
		"lateness":  {Counts{Lateness: &Distribution{Count: 1, P99Micros: 20_000}}, "later than planned by up to 20ms"},
		"overflow":  {Counts{ListenOverflows: 3}, "3 connections met a full accept queue"},
		"EMFILE":    {Counts{Net: Net{AcceptPauses: 2}}, "accepting stopped 2 times"},
		"evictions": {Counts{Ordinals: Ordinals{Evictions: 7}}, "7 attempt counters were forgotten"},
		"off": {Counts{Rules: []Rule{{
			Name: "r", Stage: smtp.StageRcpt, Occurrences: 1000, Outcomes: []Outcome{{Code: 250, Probability: 0.5, Injected: 900}, {Code: 450, Probability: 0.5, Injected: 100}},
		}}}, "rejected"},
	} {
		check := test.stats.Check()
		said := strings.Join(check.Saturation, "; ")
		if len(check.Fits) > 0 && check.Fits[0].Rejected {
			said = "rejected"
		}
		if check.OK != (test.says == "") || !strings.Contains(said, test.says) {
			t.Errorf("%s: OK is %t, said %q; want %q", name, check.OK, said, test.says)
		}
	}
}
