package sink_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

var triggerCases = []faultCase{
	{name: "an address trigger", plan: "rules: []",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<550-5.1.1+b@recipient.test>", "550 5.1.1 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send("X-Storm-Reply: 452 4.2.2\r\n" + theMessage)
			c.expect("452 4.2.2 ")
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 ") {
				c.t.Errorf("the switch leaks to the next message: %q", got)
			}
			c.quit()
		},
		rows: []string{"attempt 550-5.1.1+b@recipient.test rcpt 550 reply trigger sent", "attempt b@recipient.test message 452 reply trigger sent",
			"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit"}},
	{name: "triggers off", plan: "rules: []", config: func(cfg *sink.Config) { cfg.NoTriggers = true },
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<550-5.1.1+b@recipient.test>", "250 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt 550-5.1.1+b@recipient.test rset 0 abandoned", "connection quit"}},
}

// headed sends a message with these fields in its header, and returns the reply and how long it took.
func (c *rawClient) headed(fields string) (reply string, took time.Duration) {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	began := time.Now()
	c.send(fields + theMessage)
	return c.reply(), time.Since(began)
}

// Each switch of a header means what is documented, decides its own message alone, and stands in the ledger as a trigger. Those of
// blackhole have its meaning.
func TestHeaderSwitches(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, test := range []struct {
			fields string
			codes  []string // any of these
			least  time.Duration
			cause  string
		}{
			{"X-Storm-Reply: 550 5.7.1 Not today\r\n", []string{"550 5.7.1 Not today"}, 0, "trigger"},
			{"x-storm-delay: 60ms\r\n", []string{"250 "}, 60 * time.Millisecond, "plain"},
			{"X-Storm-Mode: offline\r\n", []string{"521 "}, 0, "trigger"},
			{"X-Storm-Mode: bounce\r\nX-Storm-Delay: 30ms\r\n", []string{"4", "5"}, 30 * time.Millisecond, "trigger"},
			{"X-Blackhole-Mode: unavailable\r\n", []string{"421 "}, 0, "trigger"},
			{"X-Blackhole-Mode: accept\r\nX-Blackhole-Delay: 1\r\n", []string{"250 ", "251 ", "252 ", "253 "}, time.Second, "trigger"},
			{"X-Storm-Reply: nonsense\r\n", []string{"250 "}, 0, "plain"},
		} {
			t.Run(test.fields, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, "rules: []", nil)
				c := greeted(t, server.Server)
				got, took := c.headed(test.fields)
				if !slices.ContainsFunc(test.codes, func(code string) bool { return strings.HasPrefix(got, code) }) || took < test.least {
					t.Errorf("got %q after %v, want any of %q after %v", got, took, test.codes, test.least)
				}
				closes := strings.HasPrefix(got, "421 ")
				if !closes {
					if next, _ := c.headed(""); !strings.HasPrefix(next, "250 ") {
						t.Errorf("the next message got %q: the switch leaks", next)
					}
					// Not by the clock, which a busy machine slows down for the next message, too.
					if late := server.Stats().Lateness; test.least > 0 && (late == nil || late.Count != 1) {
						t.Errorf("delayed replies %+v, want that of the first message alone: the switch leaks", late)
					}
				}
				_ = c.conn.Close()
				rows := server.rows()
				if want := "attempt b@recipient.test message " + got[:3] + " reply " + test.cause; !strings.HasPrefix(rows[0], want) {
					t.Errorf("the ledger says %q, want %q", rows[0], want)
				}
				if !closes && rows[1] != "attempt b@recipient.test message 250 reply plain delivered sent" {
					t.Errorf("of the next message the ledger says %q", rows[1])
				}
			})
		}
	})
}

func TestTriggers(t *testing.T) { meet(t, triggerCases) }
