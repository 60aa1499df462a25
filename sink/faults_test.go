package sink_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

var replyFaults = []faultCase{
	{name: "reply", plan: "rules: [{name: r, stage: rcpt, reply: {code: 550, enhanced: 5.1.1, text: [No such user, Try elsewhere]}}]",
		client: func(c *rawClient) {
			if got, want := c.envelope(), "550-5.1.1 No such user\r\n550 5.1.1 Try elsewhere\r\n"; got != want {
				c.t.Errorf("got %q, want %q", got, want)
			}
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rcpt 550 reply rule:r sent", "connection quit"}},
	{name: "delay", plan: "rules: [{name: r, stage: rcpt, delay: 80ms}]",
		client: func(c *rawClient) {
			began := time.Now()
			c.envelope()
			if took := time.Since(began); took < 80*time.Millisecond {
				c.t.Errorf("the reply to RCPT took %v, want 80ms at least", took)
			}
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rset 0 abandoned", "connection quit"}},
	{name: "silence, until the client goes", plan: "rules: [{name: r, stage: rcpt, silence: true}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectSilence(30 * time.Millisecond)
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r silence", "connection fault silence"}},
	{name: "silence, until the sink has enough", plan: "rules: [{name: r, stage: mail, silence: true}]",
		config: func(cfg *sink.Config) { cfg.MaxHold = 50 * time.Millisecond },
		client: func(c *rawClient) {
			c.send("MAIL FROM:<a@sender.test>\r\n" + pipelinedNoise)
			c.expectEOF()
		},
		rows: []string{"transaction a@sender.test mail 250 lost rule:r silence", "connection fault silence"}},
	{name: "dribble", plan: "rules: [{name: r, stage: mail, reply: 451, dribble: {octets: 2, every: 3ms}}]",
		client: func(c *rawClient) {
			began := time.Now()
			c.send("MAIL FROM:<a@sender.test>\r\nNOOP\r\n")
			got := c.expect("451 4.")
			if took, least := time.Since(began), time.Duration((len(got)-1)/2)*3*time.Millisecond; took < least {
				c.t.Errorf("a reply of %d octets took %v, want %v at least", len(got), took, least)
			}
			c.expect("250 ") // not before
			c.quit()
		},
		rows: []string{"transaction a@sender.test mail 451 reply rule:r dribble sent", "connection quit"}},
	{name: "split", plan: "rules: [{name: r, stage: mail, reply: 451, split: {packets: 3, pause: 250ms}}]", // long, so that a client on a busy machine still finds the first packet alone
		client: func(c *rawClient) {
			began := time.Now()
			c.send("MAIL FROM:<a@sender.test>\r\n")
			first := make([]byte, 512)
			n, err := c.in.Read(first)
			if err != nil || strings.Contains(string(first[:n]), "\n") {
				c.t.Errorf("the first packet is %q (%v), want a part of the reply", first[:n], err)
			}
			if _, err := c.in.ReadString('\n'); err != nil || time.Since(began) < 500*time.Millisecond {
				c.t.Errorf("the end came after %v (%v), want two pauses of 250ms", time.Since(began), err)
			}
			c.quit()
		},
		rows: []string{"transaction a@sender.test mail 451 reply rule:r split sent", "connection quit"}},
	{name: "capability missing", plan: "rules: [{name: r, stage: ehlo, missing: [PIPELINING, SIZE]}]",
		client: func(c *rawClient) {
			got := c.command("EHLO again.test", "250-")
			if strings.Contains(got, "PIPELINING") || strings.Contains(got, "SIZE") || !strings.Contains(got, "8BITMIME") {
				c.t.Errorf("the reply to EHLO is %q, want it without PIPELINING and SIZE alone", got)
			}
			c.quit()
		},
		rows: []string{"connection quit missing"}},
	{name: "the lost reply after the dot", plan: "rules: [{name: r, stage: message, close: fin, delivery: keep}]",
		client: func(c *rawClient) { c.message(); c.expectEOF() },
		rows:   []string{"attempt b@recipient.test message 250 lost rule:r fin-before+keep delivered", "connection fault fin-before+keep"}},
	{name: "a message that vanishes", plan: "rules: [{name: r, stage: message, delivery: discard}]",
		client: func(c *rawClient) { c.message(); c.expect("250 "); c.quit() },
		rows:   []string{"attempt b@recipient.test message 250 reply rule:r discard sent", "connection quit"}},
	{name: "no banner", plan: "listener_faults: {\"*\": no-banner}",
		config: func(cfg *sink.Config) { cfg.MaxHold = 50 * time.Millisecond },
		client: nil,
		rows:   []string{"connection fault no-banner"}},
}

// What is done to replies, and to messages.
func TestReplyFaults(t *testing.T) { meet(t, replyFaults) }

func TestMalformedReplies(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for how, fits := range map[string]func(reply string) bool{
			"bad-code": func(s string) bool { return !isDigits(s[:3]) && strings.HasSuffix(s, "\r\n") },
			"no-code": func(s string) bool {
				return !isDigits(s[:1]) && strings.HasSuffix(s, "\r\n") || strings.HasPrefix(s, "4.")
			},
			"missing-crlf": func(s string) bool { return strings.HasPrefix(s, "450 ") && !strings.Contains(s, "\n") },
			"over-long":    func(s string) bool { return strings.HasPrefix(s, "450 ") && len(s) > 4096 },
			"wrong-code":   func(s string) bool { return strings.HasPrefix(s, "354 ") },
			"mixed-codes": func(s string) bool {
				return len(strings.Split(s, "\r\n")) > 2 && s[:3] != strings.Split(s, "\r\n")[1][:3]
			},
		} {
			t.Run(how, func(t *testing.T) {
				server := faulty(t, kind, "rules: [{name: r, stage: rcpt, reply: 450, malformed: "+how+", close: {mode: fin, when: after}}]", nil)
				c := greeted(t, server.Server)
				c.command("MAIL FROM:<a@sender.test>", "250 ")
				c.send("RCPT TO:<b@recipient.test>\r\n")
				if got, err := c.rest(); err != nil || len(got) < 3 || !fits(got) {
					t.Errorf("the reply is %.100q (%v), want it %s", got, err, how)
				}
				_ = c.conn.Close()
				got := server.rows()
				if len(got) == 0 || !strings.Contains(got[0], " malformed-"+how+"+fin-after sent") {
					t.Errorf("the ledger says %q, want malformed-%s", got, how)
				}
			})
		}
	})
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// In LMTP each recipient has a reply of its own (RFC 2033 section 4.2).
func TestMixedRepliesOverLMTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		socket := filepath.Join(t.TempDir(), "lmtp")
		server := faulty(t, kind, "listeners: [{name: store, address: \"unix:"+socket+"\", protocol: lmtp}]\n"+
			"rules: [{name: full, stage: message, match: {recipient: full@recipient.test}, reply: 452}]", func(cfg *sink.Config) { cfg.Listeners = nil })
		c := dial(t, server.Server, "store")
		c.expect("220 ")
		c.command("LHLO client.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		for _, recipient := range []string{"one", "full", "two"} {
			c.command("RCPT TO:<"+recipient+"@recipient.test>", "250 ")
		}
		c.command("DATA", "354 ")
		c.send(theMessage)
		c.expect("250 ")
		c.expect("452 ")
		c.expect("250 ")
		c.quit()
		want := []string{"attempt one@recipient.test message 250 reply plain delivered sent", "attempt full@recipient.test message 452 reply rule:full sent",
			"attempt two@recipient.test message 250 reply plain delivered sent", "connection quit"}
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}
