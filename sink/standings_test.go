package sink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// TestTheLedgerTellsWhoRefused: whatever is refused before MAIL, and whoever ends a connection, by a reply or without one, stands in the row of
// the connection, with the plan's word for it.
func TestTheLedgerTellsWhoRefused(t *testing.T) {
	const plan = `rules:
  - {name: no greeting, stage: ehlo, match: {helo: no.test}, reply: 550/5.7.1}
  - {name: no more, stage: noop, reply: 421}
react:
  - {name: door, of: client, when: {stage: helo}, then: {rules: [{stage: connect, reply: 554}, {stage: noop, reply: 421}]}}
  - {name: wall, of: client, when: {stage: rset}, then: {rules: [{stage: connect, close: fin}]}}
`
	for _, tt := range []struct {
		name   string
		before []string // what a connection before this one says
		client func(c *rawClient)
		want   string
	}{
		{"nobody", nil, func(c *rawClient) { c.expect("220 "); c.send("QUIT\r\n"); c.expect("221 ") }, "quit"},
		{"at EHLO, and goes on", nil, func(c *rawClient) {
			c.expect("220 ")
			c.send("EHLO no.test\r\n")
			c.expect("550 ")
			c.send("EHLO yes.test\r\n")
			c.reply()
			c.send("QUIT\r\n")
			c.expect("221 ")
		}, "quit, ehlo 550  rule:no greeting"},
		{"by 421", nil, func(c *rawClient) { c.expect("220 "); c.send("NOOP\r\n"); c.expect("421 "); c.expectClosed() }, "reply, noop 421  rule:no more, ended by rule:no more"},
		{"at connect by a reaction", []string{"HELO a.test"}, func(c *rawClient) { c.expect("554 "); c.send("QUIT\r\n"); c.expect("221 ") }, "quit, connect 554  react:door"},
		{"at connect, and then as it should", []string{"HELO a.test"}, func(c *rawClient) {
			c.expect("554 ")
			c.send("EHLO a.test\r\n")
			c.expect("503 ")
			c.send("QUIT\r\n")
			c.expect("221 ")
		},
			"quit, connect 554  react:door"},
		{"without a word", []string{"RSET"}, func(c *rawClient) { c.expectClosed() }, "fault, ended by react:wall fin-before"},
		{"a mistake of the client", nil, func(c *rawClient) {
			c.expect("220 ")
			c.send("RCPT TO:<a@b.test>\r\n")
			c.expect("503 ")
			c.send("QUIT\r\n")
			c.expect("221 ")
		}, "quit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
				var seen rowLog
				server := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Observer = &seen })
				if tt.before != nil {
					c := dial(t, server.Server, "")
					c.expect("220 ")
					for _, line := range append(tt.before, "QUIT") {
						c.send(line + "\r\n")
						c.reply()
					}
					_ = c.conn.Close()
				}
				c := dial(t, server.Server, "")
				tt.client(c)
				_ = c.conn.Close()
				server.rows()
				var got string
				readLedger(t, server.path, func(row *event.Row) {
					if row.Kind != event.KindConnection || tt.before != nil && row.Connection.Conn == 1 {
						return
					}
					x := &row.Connection
					if got = x.Reason; x.Refusal.Code != 0 {
						got += fmt.Sprintf(", %v %d %v %s", x.Refusal.Stage, x.Refusal.Code, x.Refusal.Enhanced, x.Refusal.Cause)
					}
					if x.Cause != "" {
						got += strings.TrimRight(", ended by "+x.Cause+" "+x.Fault, " ")
					}
				})
				if got != tt.want {
					t.Errorf("the row says %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestStandingsHaveRows: those who watch are told what the ledger says, of a reply, of a first sight, and of who is forgiven; a greylist that only a
// treatment has goes on after a restart, as the standing does.
func TestStandingsHaveRows(t *testing.T) {
	const plan = `rules: [{name: nobody, stage: rcpt, match: {recipient: "no@*"}, reply: 550}]
react:
  - {name: bad, of: client, when: {stage: rcpt, code: 550}, for: 1h, then: {limits: [{name: grey, kind: greylist, delay: 50ms, window: 1h}]}}
  - {name: new, of: sender-domain, after: 0, when: {stage: message}, then: {rules: [{stage: mail, match: {level: 9}, reply: 450}]}}
`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		var seen rowLog
		server := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Observer, cfg.Ledger.Durability = &seen, event.Batch })
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<no@r.test>", "550 ")
		c.command("RCPT TO:<yes@r.test>", "451 ") // seen for the first time
		sighted := time.Now()
		c.quit()
		if ok, err := server.Forgive("new", "sender.test"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		server.rows()
		var got []string
		readLedger(t, server.path, func(row *event.Row) {
			if s := &row.Standing; row.Kind == event.KindStanding {
				until := "without end"
				if !s.Until.IsZero() {
					until = s.Until.Sub(s.Time).String()
				}
				got = append(got, fmt.Sprintf("%s %s %d-%d %s %s, %v %d %s", s.React, s.Key, s.From, s.To, s.Reason, until, s.Stage, s.Code, s.Cause))
			}
		})
		want := []string{
			"new sender.test 0-1 first-sight without end, mail 0 ", "bad 127.0.0.1 0-1 when 1h0m0s, rcpt 550 rule:nobody", "new sender.test 1-0 forgiven without end, connect 0 ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("rows %q, want %q", got, want)
		}
		if n := strings.Count(string(seen.text), `"kind":"standing"`); n != len(want) {
			t.Errorf("the observer was told of %d standings, want %d:\n%s", n, len(want), seen.text)
		}
		again := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Ledger = sink.LedgerConfig{Path: server.path, Durability: event.Batch} })
		if r := again.RestoredStandings(); r.Standings != 1 || len(r.Dropped) > 0 {
			t.Errorf("restored %+v, want one standing", r)
		}
		if wait := 50*time.Millisecond - time.Since(sighted); wait > 0 {
			<-time.After(wait)
		}
		c = greeted(t, again.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<yes@r.test>", "250 ") // its second attempt is late enough, only if the first was remembered
		c.command("RCPT TO:<other@r.test>", "451 ")
		c.quit()
	})
}

// TestMovingTheStormMovesNoBucket: whoever jumps ahead in a storm and back finds the buckets, quotas and standings of each phase as time that has
// really passed left them: nothing is given for the jump, and nobody waits for it.
func TestMovingTheStormMovesNoBucket(t *testing.T) {
	const plan = `start: clock
phases:
  - {name: a, duration: 5h, limits: [{name: a pace, kind: rate, stage: mail, scope: client, rate: 1/h, burst: 2}]}
  - {name: b, duration: 5h, limits: [{name: b quota, kind: quota, stage: mail, scope: client, max: 2, per: 1h}]}
react: [{name: busy, of: client, when: {code: 451}, after: 2, for: 2h, then: {rules: [{stage: noop, reply: 450}]}}]
`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		var clock movedClock
		server := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
		jump := func(phase string) {
			t.Helper()
			if _, err := server.MoveStorm(sink.StormMove{Action: sink.StormJump, Phase: phase}); err != nil {
				t.Fatal(err)
			}
		}
		met := func(want string) {
			t.Helper()
			c := greeted(t, server.Server)
			got := ""
			for range 3 {
				c.send("MAIL FROM:<a@sender.test>\r\n")
				got += c.reply()[:3] + " "
				c.send("RSET\r\n")
				c.reply()
			}
			c.send("NOOP\r\n")
			if got += c.reply()[:3]; got != want {
				t.Errorf("in phase %s: %s, want %s", server.Phase(), got, want)
			}
			c.quit()
		}
		met("250 250 451 250")
		jump("b")
		met("250 250 451 450") // the standing has begun
		jump("a")
		met("451 451 451 450")
		clock.forward(time.Hour)
		met("250 451 451 450")
		jump("b")
		met("250 250 451 450")
		clock.forward(2 * time.Hour)
		jump("a")
		met("250 250 451 250") // the standing is over
	})
}
