package sink_test

import (
	"os"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// fate judges the ledger: one acknowledged message from a@sender.test to b@recipient.test, an empty queue and no notifications.
func (b *booked) fate() (fate reconcile.Fate, verdict reconcile.Verdict) {
	b.t.Helper()
	fate, _, result := b.judge(reconcile.AckYes)
	return fate, result.Verdict
}

// judge is fate for a sender that says something else of its message; it counts the copies, too.
func (b *booked) judge(ack reconcile.Ack) (fate reconcile.Fate, copies int, result *reconcile.Result) {
	b.t.Helper()
	b.rows()
	j := reconcile.New(reconcile.Options{})
	if err := j.Claim(&reconcile.Claim{Token: "a@sender.test", Recipient: "b@recipient.test", Ack: ack}); err != nil {
		b.t.Fatal(err)
	}
	l := j.Ledger()
	readLedger(b.t, b.path, func(row *event.Row) {
		if err := l.Row(row); err != nil {
			b.t.Fatal(err)
		}
	})
	j.Listing(time.Now(), true)
	j.KnowNotifications()
	result, err := j.Finish(func(u *reconcile.Unit) error { fate, copies = u.Fate, len(u.Deliveries); return nil })
	if err != nil {
		b.t.Fatal(err)
	}
	return fate, copies, result
}

// TestJudged: what the sink tells of its replies decides what the judge calls a second copy, or a message that never came.
func TestJudged(t *testing.T) {
	again := func(c *rawClient, server *booked) {
		next := greeted(c.t, server.Server)
		next.toTheDot()
		next.expect("250 ")
		next.quit()
	}
	const lateFirst = "rules: [{name: r, stage: message, match: {attempt: 1}, delay: 600ms}]"
	over := func(c *rawClient, server *booked, connections uint64) {
		eventually(c.t, server.Server, "the connection has ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == connections })
	}
	for _, test := range []struct {
		name, plan string
		client     func(c *rawClient, server *booked)
		fate       reconcile.Fate
	}{
		{"left before a late reply, by FIN", lateFirst, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", func() { _ = c.conn.Close() })
			over(c, s, 1)
			again(c, s)
		}, reconcile.DuplicatedAmbiguous},
		{"left before a late reply, by RST", lateFirst, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", c.reset)
			over(c, s, 1)
			again(c, s)
		}, reconcile.Delivered}, // a reply that could not be sent delivers nothing
		{"closed without reading", "rules: []", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.unread(s, 1)
			_ = c.conn.Close()
			over(c, s, 1)
			again(c, s)
		}, reconcile.DuplicatedAmbiguous},
		{"read, QUIT, and sent again", "rules: []", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.expect("250 ")
			c.quit()
			again(c, s)
		}, reconcile.Duplicated},
		{"the second copy is told before the first is", lateFirst, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", func() { _ = c.conn.Close() })
			again(c, s)
		}, reconcile.DuplicatedAmbiguous},
		{"an acceptance that can't be read, a bare dot instead of the body, and sent again", "rules: [{name: r, stage: rcpt, match: {attempt: 1}, malformed: mixed-codes}]", func(c *rawClient, s *booked) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "450-")
			c.command("DATA", "354 ")
			c.command(".", "250 ")
			c.quit()
			again(c, s)
		}, reconcile.DuplicatedAmbiguous},
		{"the same at MAIL", "rules: [{name: r, stage: mail, match: {connection: 1}, malformed: mixed-codes}]", func(c *rawClient, s *booked) {
			c.command("MAIL FROM:<a@sender.test>", "450-")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.command(".", "250 ")
			c.quit()
			again(c, s)
		}, reconcile.DuplicatedAmbiguous},
		{"left before a late refusal", "rules: [{name: r, stage: rcpt, reply: 550, delay: 400ms}]", func(c *rawClient, s *booked) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n")
			s.before("rcpt", "550", func() { _ = c.conn.Close() })
		}, reconcile.Lost},
		{"a refusal that was read", "rules: [{name: r, stage: rcpt, reply: 550}]", func(c *rawClient, s *booked) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "550 ")
			c.quit()
		}, reconcile.Refused},
	} {
		eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				inTime(t, func() *booked {
					return faulty(t, kind, test.plan, func(cfg *sink.Config) { cfg.Ledger.Durability = event.Batch })
				}, func(server *booked) { test.client(greeted(t, server.Server), server) }, func(server *booked) {
					if fate, verdict := server.fate(); fate != test.fate {
						text, _ := os.ReadFile(server.path)
						t.Errorf("the fate is %v (%v), want %v; the ledger:\n%s", fate, verdict, test.fate, text)
					}
				})
			})
		})
	}
}
