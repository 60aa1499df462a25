package sink_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// The sink finds that it drew as planned, a rule by sticky keys included, whose repeats it doesn't count.
func TestSelfCheck(t *testing.T) {
	server := faulty(t, sink.DriverAuto, `
seed: 3
rules:
  - {name: sticky, stage: rcpt, key: recipient, match: {recipient: "*@sticky.test"}, outcomes: [{weight: 50}, {weight: 50, reply: 450}]}
  - {name: fresh, stage: rcpt, outcomes: [{weight: 70}, {weight: 30, reply: 450}]}
`, nil)
	c := greeted(t, server.Server)
	const distinct, repeats = 400, 3
	for range repeats {
		for i := range distinct {
			if i%100 == 0 {
				c.command("MAIL FROM:<a@sender.test>", "250 ")
			}
			c.send(fmt.Sprintf("RCPT TO:<%d@sticky.test>\r\nRCPT TO:<%d@fresh.test>\r\n", i, i))
			c.reply()
			c.reply()
			if i%100 == 99 {
				c.command("RSET", "250 ")
			}
		}
	}
	c.quit()
	check := server.Stats().Check()
	if len(check.Fits) != 2 {
		t.Fatalf("fits %+v, want those of two rules", check.Fits)
	}
	for i, want := range []uint64{distinct, distinct * repeats} {
		f := check.Fits[i]
		if f.Draws != want || !f.Tested || f.Rejected {
			t.Errorf("rule %s: %d draws, tested is %t and rejected %t (p %g), want %d draws as planned", f.Rule, f.Draws, f.Tested, f.Rejected, f.P, want)
		}
		if o := f.Outcomes[1]; o.Bounds.Lo > o.Drawn || o.Bounds.Hi < o.Drawn || !strings.HasPrefix(o.Outcome, "450") {
			t.Errorf("rule %s: outcome %+v, want bounds around the share of 450", f.Rule, o)
		}
	}
	server.rows()
}

// What makes the sink's figures doubtful is said, each in a line of its own.
func TestSelfCheckSaturation(t *testing.T) {
	for name, test := range map[string]struct {
		stats sink.Stats
		says  string
	}{
		"nothing":   {sink.Stats{Net: sink.DriverCounters{LagP99Micros: 9_000}}, ""},
		"lag":       {sink.Stats{Net: sink.DriverCounters{LagP99Micros: 11_000}}, "event loops were busy for up to 11ms"},
		"lateness":  {sink.Stats{Snapshot: metrics.Snapshot{Lateness: &metrics.Distribution{Count: 1, P99Micros: 20_000}}}, "later than planned by up to 20ms"},
		"overflow":  {sink.Stats{ListenOverflows: 3}, "3 connections met a full accept queue"},
		"EMFILE":    {sink.Stats{Net: sink.DriverCounters{AcceptPauses: 2}}, "accepting stopped 2 times"},
		"evictions": {sink.Stats{Counters: state.Stats{Evictions: 7}}, "7 attempt counters were forgotten"},
		"off": {sink.Stats{Snapshot: metrics.Snapshot{Rules: []metrics.RuleCount{{
			Name: "r", Stage: smtp.StageRcpt, Occurrences: 1000, Outcomes: []metrics.OutcomeCount{{Code: 250, Probability: 0.5, Injected: 900}, {Code: 450, Probability: 0.5, Injected: 100}},
		}}}}, "rejected"},
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
