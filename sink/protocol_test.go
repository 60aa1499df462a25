package sink_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

var protocolCases = []faultCase{
	{name: "another protocol, octet for octet", plan: "rules: []",
		client: func(c *rawClient) {
			for _, octet := range strings.Split("GET", "") {
				c.send(octet)
				c.expectSilence(5 * time.Millisecond)
			}
			c.send(" / HTTP/1.1\r\n\r\nMAIL FROM:<a@sender.test>\r\n")
			c.expect("421 4.7.0 ")
			c.expectEOF()
		},
		rows: []string{"connection not-smtp"}},
	{name: "an overflowing chunk", plan: "rules: []",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.send("BDAT 4\r\nabcd")
			c.expect("250 2.0.0 4 octets")
			c.command("BDAT 9223372036854775806 LAST", "421 4.3.4 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test bdat 421 reply protocol sent", "connection reply"}},
	{name: "a body after 352", plan: "rules: [{name: r, stage: data, reply: 352}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "352 ")
			c.send("RSET\r\nQUIT\r\n.\r\n")
			c.expect("250 2.0.0 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit"}},
	{name: "commands out of order", plan: "rules: [{name: r, stage: rcpt, match: {sequence: bad}, reply: 250}, {name: m, stage: mail, match: {sequence: bad}, reply: 250}, {name: d, stage: data, match: {sequence: bad}, reply: 354}]",
		client: func(c *rawClient) {
			c.command("RCPT TO:<b@recipient.test>", "250 2.1.5 ")
			c.command("DATA", "354 ")
			c.send(theMessage)
			c.expect("554 5.5.1 ")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("MAIL FROM:<c@sender.test>", "250 2.1.0 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 reply rule:r sent", "attempt b@recipient.test mail 0 abandoned",
			"transaction c@sender.test quit 0 abandoned", "connection quit"}},
}

func TestProtocol(t *testing.T) { meet(t, protocolCases) }

// A reply to EHLO that announces enhanced status codes has them follow, also where the greeting refused all service: what was sent decides
// (RFC 2034 section 4). The HELO after it has announced nothing.
func TestCodesAnnouncedAfterARefusedGreeting(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		b := faulty(t, kind, "rules: [{name: c, stage: connect, reply: 554}, {name: e, stage: ehlo, match: {sequence: bad}, reply: 250}, {name: h, stage: helo, match: {sequence: bad}, reply: 250}]", nil)
		c := dial(t, b.Server, "")
		c.expect("554 ")
		c.command("NOOP", "503 Bad sequence")
		c.command("EHLO c.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "503 5.5.1 Bad sequence")
		c.command("HELO c.test", "250 ")
		c.command("NOOP", "503 Bad sequence")
		c.quit()
	})
}

// What clients do that no reply's count tells stands in the counters, in their JSON, and in the rows of their connections.
func TestWhatClientsDoWrongIsShown(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		b := faulty(t, kind, "rules: []", nil)
		c := dial(t, b.Server, "")
		c.expect("220 ")
		c.send("SSH-2.0-x\r\n")
		c.expect("421 This is another protocol")
		c.expectEOF()

		c = dial(t, b.Server, "")
		c.expect("220 ")
		c.command("EHLO c.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<999+b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send("X-Storm-Reply: nonsense\r\nX-Storm-Mode:\r\n\tangry\r\n" + theMessage)
		c.expect("250 ")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send(strings.Repeat("X-Filler: "+strings.Repeat("x", 900)+"\r\n", 80) + "X-Storm-Reply: 550\r\n" + theMessage)
		c.expect("250 ")
		c.quit()

		eventually(t, b.Server, "all connections have ended", func(s *sink.Stats) bool { return s.Open == 0 })
		got := b.Stats().Clients
		want := count.Clients{NotSMTP: 1, BadSwitches: 3, LongHeaders: 1, BadSwitchExamples: []string{"RCPT 999+b@recipient.test"}}
		if got == nil {
			t.Fatal("nothing was counted")
		}
		if g, w := asText(t, got), asText(t, &want); g != w {
			t.Errorf("counted %s, want %s", g, w)
		}
		if text := asText(t, b.Stats()); !strings.Contains(text, `"clients":{"not_smtp":1,`) {
			t.Errorf("the statistics have no count of what clients did: %s", text)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		rows := map[string]event.Connection{}
		readLedger(t, b.path, func(row *event.Row) {
			if m := &row.Message; row.Kind == event.KindMessage && m.Headers != (m.Message == 1) {
				t.Errorf("the row of message %d says that the ids were looked for: %v; the second one's may stand behind what was looked at", m.Message, m.Headers)
			}
			if row.Kind == event.KindConnection {
				rows[row.Connection.Reason] = row.Connection
			}
		})
		if _, ok := rows["not-smtp"]; !ok || len(rows) != 2 {
			t.Errorf("the ledger has connections that ended by %v, want not-smtp and quit", rows)
		}
		if r := rows["quit"]; r.BadSwitches != 3 || r.BadSwitch != "RCPT 999+b@recipient.test" || r.LongHeaders != 1 {
			t.Errorf("the row has %d bad switches, first %q, and %d long headers", r.BadSwitches, r.BadSwitch, r.LongHeaders)
		}
	})
}

func asText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A client beyond the rate of connections is sent away, so that it holds none.
func TestRateAtConnectCloses(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		b := faulty(t, kind, "limits: [{name: pace, kind: rate, stage: connect, scope: all, rate: 1/h}]", nil)
		first := dial(t, b.Server, "")
		first.expect("220 ")
		second := dial(t, b.Server, "")
		second.expect("421 Rate limit exceeded")
		second.expectEOF()
		first.quit()
	})
}
