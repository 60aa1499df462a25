package sink_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

var limitCases = []faultCase{
	{name: "a rate", plan: "limits: [{name: pace, kind: rate, rate: 1/h, burst: 2}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<1@recipient.test>", "250 ")
			c.command("RCPT TO:<2@recipient.test>", "250 ")
			c.command("RCPT TO:<3@recipient.test>", "451 4.7.1 ")
			c.command("DATA", "354 ")
			c.send(theMessage)
			c.expect("250 ")
			c.quit()
		},
		rows: []string{"attempt 3@recipient.test rcpt 451 reply limit:pace sent", "attempt 1@recipient.test message 250 reply plain delivered sent",
			"attempt 2@recipient.test message 250 reply plain delivered sent", "connection quit"}},
	{name: "a rate that refuses leaves the tokens of those before it", plan: "limits: [{name: pace, kind: rate, rate: 1/h, burst: 3}, " +
		"{name: own, kind: rate, scope: connection, rate: 1/h, burst: 3}, {name: dom, kind: rate, scope: recipient-domain, rate: 1/h, burst: 1}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<1@one.test>", "250 ")
			for range 5 {
				c.command("RCPT TO:<2@one.test>", "451 4.7.1 ") // by dom
			}
			c.command("RCPT TO:<3@two.test>", "250 ")
			c.command("RCPT TO:<4@three.test>", "250 ")
			c.command("RCPT TO:<5@four.test>", "451 4.7.1 ") // by pace
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: append(slices.Repeat([]string{"attempt 2@one.test rcpt 451 reply limit:dom sent"}, 5), "attempt 5@four.test rcpt 451 reply limit:pace sent",
			"attempt 1@one.test rset 0 abandoned", "attempt 3@two.test rset 0 abandoned", "attempt 4@three.test rset 0 abandoned", "connection quit")},
	{name: "messages per connection", plan: "limits: [{name: few, kind: messages, max: 1}]",
		client: func(c *rawClient) {
			c.deliver("a@sender.test", "b@recipient.test")
			c.command("MAIL FROM:<a@sender.test>", "421 4.7.0 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test message 250 reply plain delivered sent", "transaction a@sender.test mail 421 reply limit:few sent", "connection reply"}},
	{name: "recipients per transaction", plan: "limits: [{name: few, kind: recipients, max: 1}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<1@recipient.test>", "250 ")
			c.command("RCPT TO:<2@recipient.test>", "452 4.5.3 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt 2@recipient.test rcpt 452 reply limit:few sent", "attempt 1@recipient.test rset 0 abandoned", "connection quit"}},
	{name: "size", plan: "limits: [{name: small, kind: size, max: 10}]",
		client: func(c *rawClient) { c.message(); c.expect("552 5.3.4 "); c.quit() },
		rows:   []string{"attempt b@recipient.test message 552 reply limit:small sent", "connection quit"}},
	{name: "greylist", plan: "limits: [{name: grey, kind: greylist, delay: 40ms, window: 1h}]",
		client: func(c *rawClient) {
			if got := c.envelope(); !strings.HasPrefix(got, "451 4.7.1 ") {
				c.t.Errorf("the first attempt got %q, want 451", got)
			}
			c.expectSilence(50 * time.Millisecond)
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rcpt 451 reply limit:grey sent", "attempt b@recipient.test rset 0 abandoned", "connection quit"}},
}

func TestLimits(t *testing.T) { meet(t, limitCases) }

// Concurrent connections are counted per client, and given back when a connection ends, however it does.
func TestConcurrentConnections(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "limits: [{name: crowd, kind: concurrency, max: 2}]", nil)
		one, two := greeted(t, server.Server), greeted(t, server.Server)
		third := dial(t, server.Server, "")
		third.expect("421 ")
		third.expectEOF()
		_ = third.conn.Close()
		one.quit()
		if err := two.conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = two.conn.Close() // by a reset
		eventually(t, server.Server, "both are gone", func(s *sink.Stats) bool { return s.Open == 0 && s.Limits.Open == 0 })
		again := greeted(t, server.Server)
		greeted(t, server.Server).quit()
		again.quit()
		server.rows()
	})
}

// Connections that were open before a limit came count: with the next phase, or with another plan from their next MAIL on.
func TestConcurrentConnectionsOpenedBefore(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		var clock movedClock
		server := faulty(t, kind, "phases: [{name: calm, duration: 1h}, {name: crowded, duration: 1h, limits: [{name: crowd, kind: concurrency, max: 2}]}]",
			func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
		refused := func(why string) {
			t.Helper()
			c := dial(t, server.Server, "")
			if got := c.reply(); !strings.HasPrefix(got, "421 ") {
				t.Errorf("%s another connection got %q, want 421", why, got)
			}
			_ = c.conn.Close()
		}
		one, two, three := greeted(t, server.Server), greeted(t, server.Server), greeted(t, server.Server)
		clock.forward(time.Hour)
		refused("beside three that were open before the phase")
		one.quit()
		refused("beside two")
		two.quit()
		eventually(t, server.Server, "two are gone", func(s *sink.Stats) bool { return s.Open == 1 })
		greeted(t, server.Server).quit()
		swap(t, server.Server, parsePlan(t, "limits: [{name: one, kind: concurrency, max: 1}]").Plan)
		three.command("MAIL FROM:<>", "250 ")
		refused("beside one that has read the new plan")
		three.command("RSET", "250 ")
		three.quit()
		eventually(t, server.Server, "all are given back", func(s *sink.Stats) bool { return s.Open == 0 && s.Limits.Open == 0 })
		server.rows()
	})
}

// TestRefusedConnectionHoldsNoPlace: what one limit has granted is free again at once when the next one refuses the connection.
func TestRefusedConnectionHoldsNoPlace(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "limits: [{name: crowd, kind: concurrency, max: 2, reply: 554}, "+
			"{name: rare, kind: rate, stage: connect, rate: 1/h, burst: 1, reply: 521}]", nil)
		first := dial(t, server.Server, "")
		first.expect("220 ")
		for range 3 { // each stays open: by crowd it would be 554 from the second on
			dial(t, server.Server, "").expect("521 ")
		}
	})
}
