package sink_test

import (
	"strings"
	"testing"

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

func TestTriggers(t *testing.T) { meet(t, triggerCases) }
