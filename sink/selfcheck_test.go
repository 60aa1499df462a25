package sink_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
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
		if f.N != want || !f.Tested || f.Rejected {
			t.Errorf("rule %s: %d draws, tested is %t and rejected %t (p %g), want %d draws as planned", f.Rule, f.N, f.Tested, f.Rejected, f.AdjustedP, want)
		}
		if o := f.Cells[1]; o.Bounds.Lo > o.Share || o.Bounds.Hi < o.Share || !strings.HasPrefix(o.Label, "450") {
			t.Errorf("rule %s: outcome %+v, want bounds around the share of 450", f.Rule, o)
		}
	}
	server.rows()
}
