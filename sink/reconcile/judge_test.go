package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

const (
	tok  = "s+1@src.example"
	rcpt = "r1@a.example"
	yes  = event.ToldYes
	no   = event.ToldNo
	may  = event.ToldUnknown
)

func failed(status string) Notification {
	return Notification{Token: tok, Recipient: rcpt, Action: "failed", Status: status, Time: at(100)}
}

func with(b *history, edit func(*history)) *history { edit(b); return b }

// TestFates judges one unit, tok to rcpt, in all ways in which it can end.
func TestFates(t *testing.T) {
	one := func() *history { return newHistory().claim(tok, rcpt) }
	queued := QueueEntry{Sender: tok, Recipient: rcpt}
	listed := func(seconds float64) func(*history) {
		return func(b *history) { b.queue, b.listed = []QueueEntry{queued}, at(seconds) }
	}
	unseen := func(b *history) { b.watched = false }
	// series is so many attempts from a time on, each so long after the end of the one before.
	series := func(b *history, from float64, n int, pause float64, edits ...func(*event.Attempt)) *history {
		for i := range n {
			begin := from + float64(i)*(pause+0.2)
			conn, told := uint64(from)+uint64(i), no
			if len(edits) == 0 {
				told = yes
			}
			b.attempt(conn, 1, tok, rcpt, 451, append(slices.Clip(edits), during(begin, begin+0.2))...).close(conn, told)
		}
		return b
	}
	again := func(n int, pause float64, edits ...func(*event.Attempt)) *history {
		return series(one(), 1, n, pause, edits...)
	}
	queueOf := func(q QueueEntry) func(*history) { return func(b *history) { b.queue = []QueueEntry{q} } }
	tests := []struct {
		name string
		b    *history
		want string
	}{
		{"delivered", one().attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"delivered, nobody knows whether it was told", one().attempt(1, 1, tok, rcpt, 250).close(1, may), "1 delivered, exit 0"},
		{"delivered at the second attempt", one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"respelt", one().attempt(1, 1, "<s+1@SRC.Example.>", "\"r1\"@A.example", 250).close(1, yes), "1 delivered, exit 0"},

		// told, untold, unknown
		{"the 250 was read, QUIT, and sent again", one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"FIN before the reply, and sent again", one().attempt(1, 1, tok, rcpt, 250, unsent, kept).close(1, no).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated-ambiguous, exit 0"},
		{"FIN crossed the reply, and sent again", one().attempt(1, 1, tok, rcpt, 250).told(1, 1, rcpt, no).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated-ambiguous, exit 0"},
		{"reset, and sent again", one().attempt(1, 1, tok, rcpt, 250).close(1, may).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated-ambiguous, exit 0"},
		{"a malformed 250, and sent again", one().attempt(1, 1, tok, rcpt, 250, garbled).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated-ambiguous, exit 0"},
		{"a malformed 250, the connection goes on, and sent again", one().attempt(1, 1, tok, rcpt, 250, garbled).attempt(1, 2, tok, rcpt, 250).close(1, yes), "1 duplicated-ambiguous, exit 0"},
		{"the connection went on, and sent again", one().attempt(1, 1, tok, rcpt, 250).attempt(1, 2, "x@y", "z@y", 451, atRcpt).close(1, may).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated, fault duplicated 1, information foreign-of-another-run 1, exit 1"},
		{"the sink died", one().attempt(1, 1, tok, rcpt, 250).run("run-2").attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 duplicated-ambiguous, exit 0"},
		{"a rotated ledger goes on", one().attempt(1, 1, tok, rcpt, 250).run("run-1").close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"told 451 although it was kept, and sent again", one().attempt(1, 1, tok, rcpt, 451, kept).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated-ambiguous, exit 0"},
		{"the second copy was told before the first was booked",
			one().attempt(2, 1, tok, rcpt, 250, during(1.7, 1.8)).close(2, yes).attempt(1, 1, tok, rcpt, 250, during(1, 4)).close(1, no), "1 duplicated-ambiguous, warning overlapped 1, exit 0"},
		{"a recipient twice in one transaction", one().attempt(1, 1, tok, rcpt, 250).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"ambiguous, told, and again", one().attempt(1, 1, tok, rcpt, 250, garbled).attempt(1, 2, tok, rcpt, 250).attempt(1, 3, tok, rcpt, 250).close(1, yes), "1 duplicated, fault duplicated 1, exit 1"},

		// incidents
		{"killed within the window", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(6, 7)).close(2, yes), func(b *history) {
			b.incident = []Incident{{at(4), "kill", "mta"}}
		}), "1 duplicated-ambiguous, information explained-by-incident 1, exit 0"},
		{"killed too late", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(9, 10)).close(2, yes), func(b *history) {
			b.incident = []Incident{{at(7.1), "kill", "mta"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},
		{"killed after the next copy began", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(3, 5)).close(2, yes), func(b *history) {
			b.incident = []Incident{{at(4), "kill", "mta"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},
		{"the generator was killed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(6, 7)).close(2, yes), func(b *history) {
			b.incident = []Incident{{at(4), "kill", "generator"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},

		// claims
		{"claimed twice and delivered twice", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"claimed twice and delivered once", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 lost, fault lost 1, exit 1"},
		{"claimed twice and delivered thrice", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, rcpt, 250).attempt(1, 3, tok, rcpt, 250).close(1, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"an unknown claim that a second one replaces", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"one acknowledged, one unknown, delivered once", one().claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"sent again since no reply came, and delivered twice", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"sent again since no reply came, and delivered once", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"sent again since no reply came, and delivered thrice", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, rcpt, 250).attempt(1, 3, tok, rcpt, 250).close(1, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"sent twice, no reply came, and delivered twice", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, rcpt, 250).close(1, yes), "1 recovered, exit 0"},
		{"sent once, as two claims say, and delivered twice", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, rcpt, 250).close(1, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"unknown and delivered", newHistory().claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, exit 0"},
		{"unknown and not delivered", newHistory().claim(tok, rcpt, ack(AckUnknown)), "1 never-accepted, exit 0"},
		{"sent before with no reply, then refused", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, exit 0"},
		{"claimed before it was sent, and refused", newHistory().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, fault delivered-although-refused 1, exit 1"},
		{"refused and delivered", newHistory().claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, fault delivered-although-refused 1, exit 1"},
		{"refused and deferred", newHistory().claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), "1 never-accepted, exit 0"},

		// not delivered
		{"thrown away by the plan", one().attempt(1, 1, tok, rcpt, 250, undelivered).close(1, yes), "1 dropped-by-plan, exit 0"},
		{"thrown away, and sent again", one().attempt(1, 1, tok, rcpt, 250, undelivered).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"refused at RCPT", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, exit 0"},
		{"refused, and notified by what nobody can read", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{{Sender: tok, Malformed: "no report"}} }), "1 refused, warning dsn-malformed 1, exit 0"},
		{"never seen, but its sender got what nobody can read", with(one().attempt(1, 1, tok, "other@a.example", 450).close(1, yes), func(b *history) { b.dsns = []Notification{{Sender: tok, Malformed: "no report"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"never seen, and another sender got that", with(one().attempt(1, 1, tok, "other@a.example", 450).close(1, yes), func(b *history) { b.dsns = []Notification{{Sender: "x@src.example", Malformed: "no report"}} }), "1 lost, fault lost 1, warning dsn-malformed 1, exit 1"},
		{"refused, and the plan refused the notification, too", one().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 2, "", tok, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, and the notification was deferred, and never came again", one().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 2, "", tok, 450, atRcpt).close(1, yes), "1 refused, fault dsn-missing 1, exit 1"},
		{"refused, not notified", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, fault dsn-missing 1, exit 1"},
		{"refused, not notified, with NOTIFY=NEVER", newHistory().claim(tok, rcpt, notify("NEVER")).attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, not notified, with NOTIFY=DELAY", newHistory().claim(tok, rcpt, notify("DELAY")).attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, the notification is queued", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.queue = []QueueEntry{{NullSender: true, Recipient: tok}} }), "1 refused, exit 0"},
		{"refused, notifications unseen", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.notified = false }), "1 refused, exit 0"},
		{"refused at MAIL", with(one().mail(1, 1, tok, 550).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, exit 0"},
		{"a 550 that nobody waited for", one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no), "1 lost, fault lost 1, exit 1"},
		{"a 550 that may have been read", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, may), "1 undetermined, exit 3"},
		{"a 550 at RCPT, and then the body came", one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 1, "", "", 0).close(1, may), "1 refused, fault dsn-missing 1, exit 1"},
		{"a 501 to a RCPT that could not be read", one().attempt(1, 1, tok, "", 501, atRcpt).close(1, yes), "1 refused, fault dsn-missing 1, exit 1"},
		{"the same, and notified", with(one().attempt(1, 1, tok, "", 501, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.3")} }), "1 refused, exit 0"},
		{"a 501 of that kind that may have been read", one().attempt(1, 1, tok, "", 501, atRcpt).close(1, may), "1 undetermined, exit 3"},
		{"a RCPT that could not be read, and one that could", one().attempt(1, 1, tok, "", 501, atRcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"552 at RCPT is 452", one().attempt(1, 1, tok, rcpt, 552, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"tried again after a 550", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, fault retried-after-refusal 1, exit 1"},
		{"tried again after a 550 that was never received", one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"MAIL again after a 550", with(one().mail(1, 1, tok, 550).mail(1, 2, tok, 550).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.0.0")} }), "1 refused, fault retried-after-refusal 1, exit 1"},
		{"given up", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{failed("4.4.7")} }), "1 expired, exit 0"},
		{"given up, as Exim says it", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.0.0")} }), "1 expired, information expired-with-5xx-status 1, exit 0"},
		{"notified after a refusal that was never received", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no), func(b *history) { b.dsns = []Notification{failed("4.4.2")} }), "1 expired, information dsn-after-untold 1, exit 0"},
		{"queued", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *history) { b.queue = []QueueEntry{queued} }), "1 queued, exit 0"},
		{"its notification is queued", with(one(), func(b *history) { b.queue = []QueueEntry{{DSN: true, Recipient: tok}} }), "1 queued, exit 0"},
		{"delivered and queued", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *history) { b.queue = []QueueEntry{queued} }), "1 delivered, warning queued-although-delivered 1, exit 0"},
		{"delivered, and queued when it had been told for 5 s", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(7)), "1 delivered, warning queued-although-delivered 1, exit 0"},
		{"delivered when the queue had just been listed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(1.5)), "1 delivered, exit 0"},
		{"delivered just before the queue was listed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(2.5)), "1 delivered, exit 0"},
		{"delivered and queued, since nobody was told", with(one().attempt(1, 1, tok, rcpt, 250).close(1, may), listed(90)), "1 delivered, exit 0"},
		{"delivered once of twice, and queued", with(one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(90)), "1 queued, exit 0"},
		{"delivered, forgotten in a crash, and queued", with(with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(90)), func(b *history) { b.incident = []Incident{{at(4), "kill", "mta"}} }), "1 delivered, exit 0"},
		{"the queue was listed before the message was sent", with(newHistory().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), func(b *history) { b.listed = at(9) }), "1 undetermined, exit 3"},
		{"and after", with(newHistory().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), func(b *history) { b.listed = at(11) }), "1 lost, fault lost 1, exit 1"},

		// lost, or not enough is known
		{"nowhere", one(), "1 lost, fault lost 1, exit 1"},
		{"the queue was not seen", with(one(), unseen), "1 undetermined, exit 3"},
		{"the notifications were not seen", with(one(), func(b *history) { b.notified = false }), "1 undetermined, exit 3"},
		{"the sink runs still", with(one(), func(b *history) { b.stopped = false }), "1 undetermined, exit 3"},
		{"rows are missing", one().add(event.Row{Kind: event.KindGap, Gap: event.Gap{Rows: 1}}), "1 undetermined, exit 3"},
		{"a lossy ledger", one().add(event.Row{Kind: event.KindStart, Start: event.Start{Time: at(0), Durability: event.None}}), "1 undetermined, exit 3"},
		{"the run was stopped", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *history) { b.options.Stopped = "Ctrl-C" }), "1 delivered, exit 3"},

		// notifications
		{"forged", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, fault dsn-forged 1, exit 1"},
		{"not forged: the 250 may not have been read", with(one().attempt(1, 1, tok, rcpt, 250).close(1, may), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, exit 0"},
		{"told 550 although it was kept, and notified", with(one().attempt(1, 1, tok, rcpt, 550, kept).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, exit 0"},
		{"notified, but the sender of another message", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) {
			b.claims[0].StormID = "run-1"
			b.claim("s+2@src.example", "r2@a.example", ack(AckNo))
			b.dsns = []Notification{{Sender: "s+2@src.example", StormID: "run-1", Recipient: rcpt, Action: "failed", Status: "5.1.1"}}
		}), "1 refused, 1 never-accepted, fault dsn-missing 1, exit 1"},
		{"notified twice", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1"), failed("5.1.1")} }), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after a reply that was lost", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n, n}
		}), "1 refused, exit 0"},
		{"two notifications", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) {
			n, other := failed("5.1.1"), failed("5.1.1")
			n.ID, other.ID = "<n1@mx.example>", "<n2@mx.example>"
			b.dsns = []Notification{n, other, n}
		}), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after its 250 was told", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 2, "", "n1@mx.example", 0).attempt(1, 2, "", tok, 250).message(1, 3, "", "<n1@mx.example>", 0).attempt(1, 3, "", tok, 250).close(1, yes), func(b *history) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n}
		}), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after its 250 was lost", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes).message(2, 2, "", "n1@mx.example", 0).attempt(2, 2, "", tok, 250).close(2, may).message(3, 3, "", "<n1@mx.example>", 0).attempt(3, 3, "", tok, 250).close(3, yes), func(b *history) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n}
		}), "1 refused, exit 0"},
		{"one notification, sent again after a crash", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 2, "", "n1@mx.example", 0).attempt(1, 2, "", tok, 250).close(1, yes).message(3, 3, "", "<n1@mx.example>", 0).attempt(3, 3, "", tok, 250).close(3, yes), func(b *history) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns, b.incident = []Notification{n, n}, []Incident{{at(4.5), "kill", "mta"}}
		}), "1 refused, exit 0"},
		{"never seen, and somebody got what nobody can read", with(one(), func(b *history) { b.dsns = []Notification{{Malformed: "no report"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"refused, and somebody got what nobody can read", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{{Malformed: "no report"}} }), "1 refused, warning dsn-malformed 1, exit 0"},
		{"never seen, and what nobody can read names it", with(one(), func(b *history) { b.dsns = []Notification{{Token: tok, Recipient: rcpt, Malformed: "no Action"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"the null sender's, delivered", with(newHistory().claim(tok, rcpt, from("")).attempt(1, 1, "", rcpt, 250, withEnvID(tok)).close(1, yes), func(b *history) { b.dsns = []Notification{{Sender: rcpt, Malformed: "no report"}} }), "1 delivered, exit 0"},
		{"a notification of delay", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *history) { b.dsns = []Notification{{Token: tok, Recipient: rcpt, Action: "delayed"}} }), "1 delivered, exit 0"},
		{"notified before the refusal", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt, during(200, 201)).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, warning dsn-early 1, exit 0"},
		{"notified, and named by its recipient alone", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *history) { b.dsns = []Notification{{Recipient: rcpt, Action: "failed"}} }), "1 expired, exit 0"},

		// policy
		{"sooner than the policy allows", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), func(b *history) { b.options.MinimalBackoff = 5 * time.Second }), "1 delivered, fault retried-too-soon 1, exit 1"},
		{"as the policy allows", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), func(b *history) { b.options.MinimalBackoff = time.Second }), "1 delivered, exit 0"},
		{"seven copies without a pause, whose replies nobody got", again(7, 0.3, kept, unsent), "1 duplicated-ambiguous, fault retried-without-pause 1, exit 1"},
		{"seven deferrals without a pause", with(again(7, 0.3), queueOf(queued)), "1 queued, fault retried-without-pause 1, exit 1"},
		{"six copies without a pause: the addresses of a destination", again(6, 0.3, kept, unsent), "1 duplicated-ambiguous, exit 0"},
		{"thirty copies with a pause", again(30, 0.6, kept, unsent), "1 duplicated-ambiguous, exit 0"},
		{"twelve deferrals without a pause, but not in a row", with(series(again(6, 0.3), 20, 6, 0.3), queueOf(queued)), "1 queued, exit 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, units := test.b.judge(t)
			if said(got) != test.want {
				t.Errorf("got  %s\nwant %s\n%s", said(got), test.want, got.Verdict.Sentence)
			}
			if len(units) != len(test.b.claims) && len(units) != 1 {
				t.Errorf("%d units, want 1", len(units))
			}
		})
	}
}

func TestLMTPClientGoneBetweenTwoReplies(t *testing.T) {
	b := newHistory().claim(tok, rcpt).claim(tok, "r2@a.example").claim(tok, "r3@a.example").
		attempt(1, 1, tok, rcpt, 250).attempt(1, 1, tok, "r2@a.example", 250, unsent, kept).attempt(1, 1, tok, "r3@a.example", 250, unsent, kept).close(1, yes)
	for _, r := range []string{rcpt, "r2@a.example", "r3@a.example"} {
		b.attempt(2, 1, tok, r, 250)
	}
	got, _ := b.close(2, yes).judge(t)
	if want := "1 duplicated, 2 duplicated-ambiguous, fault duplicated 1, exit 1"; said(got) != want {
		t.Errorf("got %s, want %s", said(got), want)
	}
}

func TestRowsThatWereCutLeaveDoubt(t *testing.T) {
	b := newHistory().claim(tok, rcpt).attempt(1, 1, "s+1", rcpt, 250, func(a *event.Attempt) { a.Cut = "phase sender token" }).close(1, yes)
	if got, _ := b.judge(t); said(got) != "1 undetermined, information foreign-of-another-run 1, exit 3" {
		t.Errorf("got %s", said(got))
	}
}

// One address that gets all mail is one unit, however often; the judge must neither lose count nor take for ever.
func TestOneUnitForAllMail(t *testing.T) {
	const n = 50_000
	b := newHistory()
	for i := range uint64(n) {
		b.claim(tok, rcpt).attempt(i/10, i%10+1, tok, rcpt, 250)
		if i%10 == 9 {
			b.close(i/10, yes)
		}
	}
	b.incident = []Incident{{at(10), "kill", "mta"}}
	if got, _ := b.judge(t); said(got) != "1 delivered, exit 0" {
		t.Errorf("got %s", said(got))
	}
	b.attempt(n, 1, tok, rcpt, 250).close(n, yes)
	if got, _ := b.judge(t); said(got) != "1 duplicated-ambiguous, information explained-by-incident 1, exit 0" {
		t.Errorf("got %s", said(got))
	}
	b.incident = nil
	if got, _ := b.judge(t); said(got) != "1 duplicated, fault duplicated 1, exit 1" {
		t.Errorf("got %s", said(got))
	}
}

func TestFirstRefusalAndTimes(t *testing.T) {
	b := newHistory().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes)
	_, units := b.judge(t)
	const want = `{"token":"s+1@src.example","recipient":"r1@a.example","fate":"delivered","attempts":["2026-01-31T10:20:31Z","2026-01-31T10:20:33Z"],` +
		`"deliveries":[{"time":"2026-01-31T10:20:34Z","told":"told"}],"first_refusal":{"time":"2026-01-31T10:20:32Z","stage":"rcpt","code":451}}` + "\n"
	if got := string(units[0].Append(nil)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestFailOn(t *testing.T) {
	b := newHistory().claim(tok, rcpt)
	for _, test := range []struct {
		list string
		exit int
		err  bool
	}{{"faults", 1, false}, {"duplicated,dsn", 0, false}, {"lost", 1, false}, {"none", 0, false}, {"loss", 0, true}, {"altered, undetermined", 0, false}} {
		f, err := ParseFailOn(test.list)
		if (err != nil) != test.err {
			t.Errorf("%s: %v", test.list, err)
			continue
		}
		if test.err {
			continue
		}
		b.options.FailOn = f
		if got, _ := b.judge(t); got.Verdict.Exit != test.exit || !strings.Contains(got.Verdict.Sentence, "1 lost") {
			t.Errorf("%s: %+v, want exit status %d", test.list, got.Verdict, test.exit)
		}
	}
}
