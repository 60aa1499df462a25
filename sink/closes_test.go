package sink_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
)

const pipelinedNoise = "NOOP\r\nNOOP\r\nRSET\r\nNOOP\r\n" // unread when the sink closes

var closeFaults = []faultCase{
	{name: "FIN before the reply", plan: "rules: [{name: r, stage: rcpt, close: fin}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r fin-before", "connection fault fin-before"}},
	{name: "FIN after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: fin, when: after}}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("450 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r fin-after sent", "connection fault fin-after"}},
	{name: "RST before the reply", plan: "rules: [{name: r, stage: rcpt, close: rst}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectReset()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r rst-before", "connection fault rst-before"}},
	{name: "RST after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: rst, when: after}}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("450 ") // the reset does not destroy it
			c.expectReset()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r rst-after sent ambiguous", "connection fault rst-after"}},
	{name: "half-close before the reply", plan: "rules: [{name: r, stage: rcpt, close: half}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectEOF()
			c.send(strings.Repeat("NOOP\r\n", 50_000)) // far more than any buffer: somebody reads it
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r half-before", "connection fault half-before"}},
	{name: "half-close after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: half, when: after}}]",
		client: func(c *rawClient) {
			if got := c.envelope(); !strings.HasPrefix(got, "450 ") {
				c.t.Errorf("got %q, want 450", got)
			}
			c.expectEOF()
			c.send(pipelinedNoise)
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r half-after sent", "connection fault half-after"}},
	{name: "421 closes", plan: "rules: [{name: r, stage: rcpt, reply: 421}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("421 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 421 reply rule:r sent", "connection reply"}},
	{name: "FIN in the body", plan: "rules: [{name: r, stage: data, body: {after: 5, close: fin}}]",
		client: func(c *rawClient) { c.message(); c.expectEOF() },
		rows:   []string{"attempt b@recipient.test message 0 lost body-fin", "connection fault body-fin"}},
	{name: "RST in the body", plan: "rules: [{name: r, stage: data, body: {after: 5, close: rst}}]",
		client: func(c *rawClient) { c.message(); c.expectReset() },
		rows:   []string{"attempt b@recipient.test message 0 lost body-rst", "connection fault body-rst"}},
}

// Every client pipelines into its end: the last reply must survive it.
func TestCloseFaults(t *testing.T) { meet(t, closeFaults) }

// A client that resets the connection while a reply is owed is noticed at once, not when the reply is due.
func TestResetWhileAReplyIsOwed(t *testing.T) {
	for _, test := range []struct{ name, plan, attempt, connection string }{
		{"delay", "rules: [{name: r, stage: rcpt, delay: 5m}]", "rcpt 250 lost rule:r", "error"},
		{"silence", "rules: [{name: r, stage: rcpt, silence: true}]", "rcpt 250 lost rule:r silence", "fault silence"},
		{"dribble", "rules: [{name: r, stage: rcpt, dribble: {octets: 1, every: 1m}}]", "rcpt 250 lost rule:r dribble ambiguous", "error dribble"},
		{"split", "rules: [{name: r, stage: rcpt, split: {packets: 2, pause: 1m}}]", "rcpt 250 lost rule:r split ambiguous", "error split"},
	} {
		eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, test.plan, nil)
				c := greeted(t, server.Server)
				c.command("MAIL FROM:<a@sender.test>", "250 ")
				c.send("RCPT TO:<b@recipient.test>\r\nNOOP\r\n")
				eventually(t, server.Server, "RCPT was read", func(s *sink.Stats) bool { return replyCount(s, "rcpt", "250") == 1 })
				c.reset()
				want := []string{"attempt b@recipient.test " + test.attempt, "connection " + test.connection}
				if got := server.rows(); !slices.Equal(got, want) {
					t.Errorf("the ledger says %q, want %q", got, want)
				}
			})
		})
	}
}

// A client that closes its sending side is owed the replies to what it has sent, delayed ones, too.
func TestHalfClosedClientGetsItsReplies(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: r, stage: message, delay: 80ms}]", nil)
		c := greeted(t, server.Server)
		c.send("MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nDATA\r\n" + theMessage + "NOOP\r\n")
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"250 ", "250 ", "354 ", "250 2.0.0 ", "250 2.0.0 "} {
			c.expect(want)
		}
		c.expectEOF()
		want := []string{"attempt b@recipient.test message 250 reply rule:r delivered sent", "connection eof"}
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}
