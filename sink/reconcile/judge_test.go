package reconcile

import (
	"fmt"
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

func with(b *books, edit func(*books)) *books { edit(b); return b }

// TestFates judges one unit, tok to rcpt, in all ways in which it can end.
func TestFates(t *testing.T) {
	one := func() *books { return newBooks().claim(tok, rcpt) }
	queued := QueueEntry{Sender: tok, Recipient: rcpt}
	listed := func(seconds float64) func(*books) {
		return func(b *books) { b.queue, b.listed = []QueueEntry{queued}, at(seconds) }
	}
	unseen := func(b *books) { b.watched = false }
	// series is so many attempts from a time on, each so long after the end of the one before.
	series := func(b *books, from float64, n int, pause float64, edits ...func(*event.Attempt)) *books {
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
	again := func(n int, pause float64, edits ...func(*event.Attempt)) *books {
		return series(one(), 1, n, pause, edits...)
	}
	queueOf := func(q QueueEntry) func(*books) { return func(b *books) { b.queue = []QueueEntry{q} } }
	tests := []struct {
		name string
		b    *books
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
		{"killed within the window", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(6, 7)).close(2, yes), func(b *books) {
			b.incident = []Incident{{at(4), "kill", "mta"}}
		}), "1 duplicated-ambiguous, information explained-by-incident 1, exit 0"},
		{"killed too late", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(9, 10)).close(2, yes), func(b *books) {
			b.incident = []Incident{{at(7.1), "kill", "mta"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},
		{"killed after the next copy began", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(3, 5)).close(2, yes), func(b *books) {
			b.incident = []Incident{{at(4), "kill", "mta"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},
		{"the generator was killed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(6, 7)).close(2, yes), func(b *books) {
			b.incident = []Incident{{at(4), "kill", "generator"}}
		}), "1 duplicated, fault duplicated 1, exit 1"},

		// claims
		{"claimed twice and delivered twice", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"claimed twice and delivered once", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 lost, fault lost 1, exit 1"},
		{"claimed twice and delivered thrice", one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, rcpt, 250).attempt(1, 3, tok, rcpt, 250).close(1, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"an unknown claim that a second one replaces", newBooks().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"one acknowledged, one unknown, delivered once", one().claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"unknown and delivered", newBooks().claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, exit 0"},
		{"unknown and not delivered", newBooks().claim(tok, rcpt, ack(AckUnknown)), "1 never-accepted, exit 0"},
		{"sent before with no reply, then refused", newBooks().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, exit 0"},
		{"claimed before it was sent, and refused", newBooks().claim(tok, rcpt, ack(AckUnknown)).claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, fault delivered-although-refused 1, exit 1"},
		{"refused and delivered", newBooks().claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 recovered, fault delivered-although-refused 1, exit 1"},
		{"refused and deferred", newBooks().claim(tok, rcpt, ack(AckNo)).attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), "1 never-accepted, exit 0"},

		// not delivered
		{"thrown away by the plan", one().attempt(1, 1, tok, rcpt, 250, undelivered).close(1, yes), "1 dropped-by-plan, exit 0"},
		{"thrown away, and sent again", one().attempt(1, 1, tok, rcpt, 250, undelivered).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 duplicated, fault duplicated 1, exit 1"},
		{"refused at RCPT", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, exit 0"},
		{"refused, and notified by what nobody can read", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{{Sender: tok, Malformed: "no report"}} }), "1 refused, warning dsn-malformed 1, exit 0"},
		{"never seen, but its sender got what nobody can read", with(one().attempt(1, 1, tok, "other@a.example", 450).close(1, yes), func(b *books) { b.dsns = []Notification{{Sender: tok, Malformed: "no report"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"never seen, and another sender got that", with(one().attempt(1, 1, tok, "other@a.example", 450).close(1, yes), func(b *books) { b.dsns = []Notification{{Sender: "x@src.example", Malformed: "no report"}} }), "1 lost, fault lost 1, warning dsn-malformed 1, exit 1"},
		{"refused, and the plan refused the notification, too", one().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 2, "", tok, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, and the notification was deferred, and never came again", one().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 2, "", tok, 450, atRcpt).close(1, yes), "1 refused, fault dsn-missing 1, exit 1"},
		{"refused, not notified", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, fault dsn-missing 1, exit 1"},
		{"refused, not notified, with NOTIFY=NEVER", newBooks().claim(tok, rcpt, notify("NEVER")).attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, not notified, with NOTIFY=DELAY", newBooks().claim(tok, rcpt, notify("DELAY")).attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), "1 refused, exit 0"},
		{"refused, the notification is queued", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.queue = []QueueEntry{{NullSender: true, Recipient: tok}} }), "1 refused, exit 0"},
		{"refused, notifications unseen", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.notified = false }), "1 refused, exit 0"},
		{"refused at MAIL", with(one().mail(1, 1, tok, 550).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, exit 0"},
		{"a 550 that nobody waited for", one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no), "1 lost, fault lost 1, exit 1"},
		{"a 550 that may have been read", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, may), "1 undetermined, exit 3"},
		{"a 550 at RCPT, and then the body came", one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 1, "", "", 0).close(1, may), "1 refused, fault dsn-missing 1, exit 1"},
		{"552 at RCPT is 452", one().attempt(1, 1, tok, rcpt, 552, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), "1 delivered, exit 0"},
		{"tried again after a 550", one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, fault retried-after-refusal 1, exit 1"},
		{"tried again after a 550 that was never received", one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no).attempt(2, 1, tok, rcpt, 250).close(2, yes), "1 delivered, exit 0"},
		{"MAIL again after a 550", with(one().mail(1, 1, tok, 550).mail(1, 2, tok, 550).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.0.0")} }), "1 refused, fault retried-after-refusal 1, exit 1"},
		{"given up", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{failed("4.4.7")} }), "1 expired, exit 0"},
		{"given up, as Exim says it", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.0.0")} }), "1 expired, information expired-with-5xx-status 1, exit 0"},
		{"notified after a refusal that was never received", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt, unsent).close(1, no), func(b *books) { b.dsns = []Notification{failed("4.4.2")} }), "1 expired, information dsn-after-untold 1, exit 0"},
		{"queued", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *books) { b.queue = []QueueEntry{queued} }), "1 queued, exit 0"},
		{"its notification is queued", with(one(), func(b *books) { b.queue = []QueueEntry{{DSN: true, Recipient: tok}} }), "1 queued, exit 0"},
		{"delivered and queued", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *books) { b.queue = []QueueEntry{queued} }), "1 delivered, warning queued-although-delivered 1, exit 0"},
		{"delivered, and queued when it had been told for 5 s", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(7)), "1 delivered, warning queued-although-delivered 1, exit 0"},
		{"delivered when the queue had just been listed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(1.5)), "1 delivered, exit 0"},
		{"delivered just before the queue was listed", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(2.5)), "1 delivered, exit 0"},
		{"delivered and queued, since nobody was told", with(one().attempt(1, 1, tok, rcpt, 250).close(1, may), listed(90)), "1 delivered, exit 0"},
		{"delivered once of twice, and queued", with(one().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(90)), "1 queued, exit 0"},
		{"delivered, forgotten in a crash, and queued", with(with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), listed(90)), func(b *books) { b.incident = []Incident{{at(4), "kill", "mta"}} }), "1 delivered, exit 0"},
		{"the queue was listed before the message was sent", with(newBooks().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), func(b *books) { b.listed = at(9) }), "1 undetermined, exit 3"},
		{"and after", with(newBooks().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), func(b *books) { b.listed = at(11) }), "1 lost, fault lost 1, exit 1"},

		// lost, or not enough is known
		{"nowhere", one(), "1 lost, fault lost 1, exit 1"},
		{"the queue was not seen", with(one(), unseen), "1 undetermined, exit 3"},
		{"the notifications were not seen", with(one(), func(b *books) { b.notified = false }), "1 undetermined, exit 3"},
		{"the sink runs still", with(one(), func(b *books) { b.stopped = false }), "1 undetermined, exit 3"},
		{"rows are missing", one().add(event.Row{Kind: event.KindGap, Gap: event.Gap{Rows: 1}}), "1 undetermined, exit 3"},
		{"a lossy ledger", one().add(event.Row{Kind: event.KindStart, Start: event.Start{Time: at(0), Durability: event.None}}), "1 undetermined, exit 3"},
		{"the run was stopped", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *books) { b.options.Stopped = "Ctrl-C" }), "1 delivered, exit 3"},

		// notifications
		{"forged", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, fault dsn-forged 1, exit 1"},
		{"not forged: the 250 may not have been read", with(one().attempt(1, 1, tok, rcpt, 250).close(1, may), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, exit 0"},
		{"told 550 although it was kept, and notified", with(one().attempt(1, 1, tok, rcpt, 550, kept).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 delivered, exit 0"},
		{"notified twice", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1"), failed("5.1.1")} }), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after a reply that was lost", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n, n}
		}), "1 refused, exit 0"},
		{"two notifications", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) {
			n, other := failed("5.1.1"), failed("5.1.1")
			n.ID, other.ID = "<n1@mx.example>", "<n2@mx.example>"
			b.dsns = []Notification{n, other, n}
		}), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after its 250 was told", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 2, "", "n1@mx.example", 0).attempt(1, 2, "", tok, 250).message(1, 3, "", "<n1@mx.example>", 0).attempt(1, 3, "", tok, 250).close(1, yes), func(b *books) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n}
		}), "1 refused, fault dsn-repeated 1, exit 1"},
		{"one notification, sent again after its 250 was lost", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes).message(2, 2, "", "n1@mx.example", 0).attempt(2, 2, "", tok, 250).close(2, may).message(3, 3, "", "<n1@mx.example>", 0).attempt(3, 3, "", tok, 250).close(3, yes), func(b *books) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns = []Notification{n, n}
		}), "1 refused, exit 0"},
		{"one notification, sent again after a crash", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).message(1, 2, "", "n1@mx.example", 0).attempt(1, 2, "", tok, 250).close(1, yes).message(3, 3, "", "<n1@mx.example>", 0).attempt(3, 3, "", tok, 250).close(3, yes), func(b *books) {
			n := failed("5.1.1")
			n.ID = "<n1@mx.example>"
			b.dsns, b.incident = []Notification{n, n}, []Incident{{at(4.5), "kill", "mta"}}
		}), "1 refused, exit 0"},
		{"never seen, and somebody got what nobody can read", with(one(), func(b *books) { b.dsns = []Notification{{Malformed: "no report"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"refused, and somebody got what nobody can read", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{{Malformed: "no report"}} }), "1 refused, warning dsn-malformed 1, exit 0"},
		{"never seen, and what nobody can read names it", with(one(), func(b *books) { b.dsns = []Notification{{Token: tok, Recipient: rcpt, Malformed: "no Action"}} }), "1 undetermined, warning dsn-malformed 1, exit 3"},
		{"a notification of delay", with(one().attempt(1, 1, tok, rcpt, 250).close(1, yes), func(b *books) { b.dsns = []Notification{{Token: tok, Recipient: rcpt, Action: "delayed"}} }), "1 delivered, exit 0"},
		{"notified before the refusal", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt, during(200, 201)).close(1, yes), func(b *books) { b.dsns = []Notification{failed("5.1.1")} }), "1 refused, warning dsn-early 1, exit 0"},
		{"notified, and named by its recipient alone", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes), func(b *books) { b.dsns = []Notification{{Recipient: rcpt, Action: "failed"}} }), "1 expired, exit 0"},

		// policy
		{"sooner than the policy allows", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), func(b *books) { b.options.MinimalBackoff = 5 * time.Second }), "1 delivered, fault retried-too-soon 1, exit 1"},
		{"as the policy allows", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).close(1, yes), func(b *books) { b.options.MinimalBackoff = time.Second }), "1 delivered, exit 0"},
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
			if len(units) != 1 {
				t.Errorf("%d units, want 1", len(units))
			}
		})
	}
}

func TestLMTPClientGoneBetweenTwoReplies(t *testing.T) {
	b := newBooks().claim(tok, rcpt).claim(tok, "r2@a.example").claim(tok, "r3@a.example").
		attempt(1, 1, tok, rcpt, 250).attempt(1, 1, tok, "r2@a.example", 250, unsent, kept).attempt(1, 1, tok, "r3@a.example", 250, unsent, kept).close(1, yes)
	for _, r := range []string{rcpt, "r2@a.example", "r3@a.example"} {
		b.attempt(2, 1, tok, r, 250)
	}
	got, _ := b.close(2, yes).judge(t)
	if want := "1 duplicated, 2 duplicated-ambiguous, fault duplicated 1, exit 1"; said(got) != want {
		t.Errorf("got %s, want %s", said(got), want)
	}
}

func TestIdentity(t *testing.T) {
	tests := []struct {
		name string
		b    *books
		want string
	}{
		{"a token in xtext, one sender for all mail", func() *books {
			b := newBooks().claim("order+17", rcpt, from("shop@x.example")).claim("order+18", rcpt, from("shop@x.example"))
			return b.attempt(1, 1, "shop@x.example", rcpt, 250, withEnvID("order+2B18")).attempt(1, 2, "shop@x.example", rcpt, 250, withEnvID("order+2B17")).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"a shared sender names nobody, the headers do", func() *books {
			b := newBooks().claim("a", rcpt, from("shop@x.example"), ids3("run-a", "")).claim("b", rcpt, from("shop@x.example"), ids3("run-b", ""))
			b.message(1, 1, "run-b", "", 0).attempt(1, 1, "shop@x.example", rcpt, 250).close(1, yes)
			return b.message(2, 1, "run-b", "", 0).attempt(2, 1, "shop@x.example", rcpt, 250).close(2, yes)
		}(), "1 duplicated, 1 lost, fault lost 1, fault duplicated 1, exit 1"},
		{"a shared sender with the recipient", func() *books {
			b := newBooks().claim("a", rcpt, from("shop@x.example")).claim("b", "r2@a.example", from("shop@x.example"))
			return b.attempt(1, 1, "shop@x.example", rcpt, 250).attempt(1, 2, "shop@x.example", "r2@a.example", 250).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"a Message-ID that two claims share names nobody", func() *books {
			b := newBooks().claim("a", rcpt, from("x@x"), ids3("", "<1@x>")).claim("b", rcpt, from("y@x"), ids3("", "<1@x>"))
			return b.message(1, 1, "", "<1@x>", 0).attempt(1, 1, "srs@z", rcpt, 250).close(1, yes)
		}(), "2 undetermined, exit 3"},
		{"a rewritten sender, a body that one claim has", func() *books {
			b := newBooks().claim("a@x", rcpt, body(7)).claim("b@x", rcpt, body(8))
			b.message(1, 1, "", "", 8).attempt(1, 1, "srs@z", rcpt, 250)
			return b.message(1, 2, "", "", 7).attempt(1, 2, "srs@z", rcpt, 250).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"blanks in a quoted local part count", newBooks().claim(tok, `"a b"@a.example`).claim(tok, `"a  b"@a.example`).attempt(1, 1, tok, `"a  b"@a.example`, 250).close(1, yes),
			"1 delivered, 1 lost, fault lost 1, exit 1"},
		{"another case of the local part", newBooks().claim(tok, "User@a.example").attempt(1, 1, tok, "user@a.example", 250).close(1, yes), "1 delivered, information local-part-case-changed 1, exit 0"},
		{"both cases are claimed", newBooks().claim(tok, "User@a.example").claim(tok, "user@a.example").attempt(1, 1, tok, "user@a.example", 250).attempt(1, 1, tok, "User@a.example", 250).close(1, yes), "2 delivered, exit 0"},
		{"ORCPT names the claim", newBooks().claim(tok, "list+x@a.example").attempt(1, 1, tok, "bob@b.example", 250, func(a *event.Attempt) { a.ORCPT = []byte("rfc822;list+2Bx@A.example") }).close(1, yes),
			"1 delivered, information recipient-rewritten 1, exit 0"},
		{"an alias", newBooks().claim(tok, "list@a.example", func(c *Claim) { c.DeliveredTo = []string{"bob@b.example"} }).attempt(1, 1, tok, "bob@B.example.", 250).attempt(1, 2, tok, "bob@b.example", 250).close(1, yes),
			"1 duplicated, fault duplicated 1, exit 1"},
		{"a list that two read", newBooks().claim(tok, "list@a.example", func(c *Claim) { c.DeliveredTo = []string{"bob@b.example", "eve@b.example"} }).attempt(1, 1, tok, "bob@b.example", 250).attempt(1, 2, tok, "eve@b.example", 250).close(1, yes),
			"1 delivered, exit 0"},
		{"rows of another run before the first claim", newBooks().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(11, 12)).close(2, yes), "1 delivered, exit 0"},
		{"foreign with this run's id", newBooks().claim(tok, rcpt, func(c *Claim) { c.Run = "k6run" }).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, "s+k6run-99@x", "who@x", 250).close(1, yes), "1 delivered, fault foreign 1, exit 1"},
		{"a notification on its way home", newBooks().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, "", tok, 250).close(1, yes), "1 delivered, exit 0"},
		{"split", newBooks().claim(tok, rcpt).claim(tok, "r2@a.example").attempt(1, 1, tok, rcpt, 250).attempt(2, 1, tok, "r2@a.example", 250).close(1, yes).close(2, yes), "2 delivered, information split 2, exit 0"},
		{"a queued notification of one of several", func() *books {
			b := newBooks().claim("a", rcpt, from("shop@x.example")).claim("b", "r2@a.example", from("shop@x.example")).attempt(1, 1, "shop@x.example", rcpt, 250).close(1, yes)
			b.queue = []QueueEntry{{NullSender: true, Recipient: "shop@x.example"}}
			return b
		}(), "1 delivered, 1 undetermined, exit 3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := test.b.judge(t)
			if said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}

// TestLiars has a relay that lies in one way at a time, each exact in its number (docs/books.md, Findings).
func TestLiars(t *testing.T) {
	const n = 200
	sender := func(i int) string { return fmt.Sprintf("s+%d@src.example", i) }
	to := func(i int) string { return fmt.Sprintf("r%d@a.example", i) }
	storm := func(i int) string { return fmt.Sprintf("run-%d", i) }
	id := func(i int) string { return fmt.Sprintf("<%d@src.example>", i) }
	hash := func(i int) uint64 { return uint64(1000 + i) }
	type relayed struct {
		sender, to, storm, id string
		body                  uint64
	}
	relay := func(lie func(i int, m *relayed, send func(relayed)) bool) *books {
		b := newBooks()
		conn := uint64(0)
		send := func(m relayed) {
			conn++
			b.message(conn, 1, m.storm, m.id, m.body).attempt(conn, 1, m.sender, m.to, 250).close(conn, yes)
		}
		for i := range n {
			b.claim(sender(i), to(i), ids3(storm(i), id(i)), body(hash(i)))
			m := relayed{sender(i), to(i), storm(i), id(i), hash(i)}
			if lie(i, &m, send) {
				send(m)
			}
		}
		return b
	}
	tests := []struct {
		name string
		lie  func(i int, m *relayed, send func(relayed)) bool
		want string
	}{
		{"truthful", func(int, *relayed, func(relayed)) bool { return true }, "200 delivered, exit 0"},
		{"loses 16", func(i int, _ *relayed, _ func(relayed)) bool { return i >= 16 }, "184 delivered, 16 lost, fault lost 16, exit 1"},
		{"loses 2 and copies 2 to strangers", func(i int, m *relayed, send func(relayed)) bool {
			if i == 2 || i == 3 {
				c := *m
				c.to = fmt.Sprintf("stranger%d@z", i)
				send(c)
			}
			return i >= 2
		}, "198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"loses 2 and copies 2 to strangers, without X-Storm-Id and sender", func(i int, m *relayed, send func(relayed)) bool {
			if i == 2 || i == 3 {
				c := *m
				c.to, c.storm, c.sender = fmt.Sprintf("stranger%d@z", i), "", "other@z"
				send(c)
			}
			return i >= 2
		}, "198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"duplicates 8", func(i int, m *relayed, send func(relayed)) bool {
			if i < 8 {
				send(*m)
			}
			return true
		}, "8 duplicated, 192 delivered, fault duplicated 8, exit 1"},
		{"wrong recipient for 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.to = fmt.Sprintf("wrong%d@z", i)
			}
			return true
		}, "192 delivered, 8 misdelivered, fault misdelivered 8, exit 1"},
		{"body changed 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.body = uint64(i + 1)
			}
			return true
		}, "8 delivered-altered, 192 delivered, fault delivered-altered 8, exit 1"},
		{"X-Storm-Id dropped 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.storm = ""
			}
			return true
		}, "200 delivered, fault header-lost 8, exit 1"},
		{"contents swapped in 8 pairs", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 16 {
				m.storm, m.id, m.body = storm(i^1), id(i^1), hash(i^1)
			}
			return true
		}, "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"bodies swapped in 8 pairs", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 16 {
				m.body = hash(i ^ 1)
			}
			return true
		}, "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"Message-ID rewritten 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.id = fmt.Sprintf("<new%d@z>", i)
			}
			return true
		}, "200 delivered, warning message-id-rewritten 8, exit 0"},
		{"all at once", func(i int, m *relayed, send func(relayed)) bool {
			switch {
			case i < 4:
				return false
			case i < 8:
				send(*m)
			case i < 12:
				m.to = fmt.Sprintf("wrong%d@z", i)
			case i < 16:
				m.body = uint64(i)
			case i < 20:
				m.storm = ""
			case i < 24:
				m.body = hash(i ^ 1)
			case i < 28:
				c := *m
				c.to = "stranger@z"
				send(c)
			}
			return true
		}, "4 duplicated, 8 delivered-altered, 180 delivered, 4 misdelivered, 4 lost, fault lost 4, fault duplicated 4, fault delivered-altered 8, fault misdelivered 4, fault misrouted 4, fault bodies-swapped 4, fault header-lost 4, exit 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := relay(test.lie).judge(t)
			if said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}

func TestEightBitBodies(t *testing.T) {
	claim := func() *books { return newBooks().claim(tok, rcpt, body(7), func(c *Claim) { c.EightBit = true }) }
	sevenBit := func(m *event.Message) { m.SevenBit = true }
	for _, test := range []struct {
		b    *books
		want string
	}{
		{claim().message(1, 1, "", "", 8).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered-altered, fault delivered-altered 1, exit 1"},
		{claim().message(1, 1, "", "", 8, sevenBit).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, information re-encoded 1, information body-not-compared 1, exit 0"},
		{claim().message(1, 1, "", "", 7, sevenBit).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, information body-not-compared 1, exit 0"},
	} {
		if got, _ := test.b.judge(t); said(got) != test.want {
			t.Errorf("got %s, want %s", said(got), test.want)
		}
	}
}

// A watched queue needs two listings, 5 s apart, that both lack a unit.
func TestListings(t *testing.T) {
	type listing struct {
		at   float64
		hold bool
	}
	entry := QueueEntry{Sender: tok, Recipient: rcpt}
	for _, test := range []struct {
		name     string
		listings []listing
		want     Fate
	}{
		{"one", []listing{{10, false}}, Undetermined},
		{"two, too near", []listing{{10, false}, {14.9, false}}, Undetermined},
		{"two", []listing{{10, false}, {15, false}}, Lost},
		{"in the first", []listing{{10, true}, {15, false}}, Undetermined},
		{"in the last", []listing{{10, false}, {15, true}}, Queued},
		{"in the first of three", []listing{{5, true}, {10, false}, {15, false}}, Lost},
	} {
		j := New(Options{})
		if err := j.Claim(&Claim{Token: tok, Recipient: rcpt}); err != nil {
			t.Fatal(err)
		}
		l := j.Ledger()
		for _, row := range []event.Row{{Kind: event.KindStart, Start: event.Start{Durability: event.Batch}}, {Kind: event.KindStop}} {
			_ = l.Row(&row)
		}
		j.KnowNotifications()
		for _, listing := range test.listings {
			j.Listing(at(listing.at), false)
			if listing.hold {
				if err := j.Queued(&entry); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := j.Finish(nil)
		if err != nil || got.Fates[test.want] != 1 {
			t.Errorf("%s: %s, error %v; want %v", test.name, said(got), err, test.want)
		}
	}
}

// A message that its MTA moves while it lists its queue (from deferred to active, say) may be missing in one listing, or stand in one twice. It is
// one message, and not lost; nor is it two when it is delivered while it is listed.
func TestAMessageThatMovesBetweenListings(t *testing.T) {
	const (
		other, otherRcpt = "s+2@a.example", "r2@b.example"
		before, after    = 50, 200
	)
	for _, test := range []struct {
		name     string
		moves    []int   // how often each listing has the message, which moves
		stays    []int   // the same of another one
		delivers float64 // when the one that moves is delivered; 0: never
		want     string
	}{
		{"missing in the last", []int{1, 0}, []int{1, 1}, 0, "1 queued, 1 undetermined, exit 3"},
		{"missing in the last but one", []int{1, 0, 1}, []int{1, 1, 1}, 0, "2 queued, exit 0"},
		{"seen by chance alone", []int{0, 1, 0}, []int{1, 1, 1}, 0, "1 queued, 1 undetermined, exit 3"},
		{"twice in the last", []int{1, 2}, []int{1, 1}, 0, "2 queued, exit 0"},
		{"twice in the last but one, and missing in the last", []int{2, 0}, []int{1, 1}, 0, "1 queued, 1 undetermined, exit 3"},
		{"twice in both", []int{2, 2}, []int{0, 1}, 0, "2 queued, exit 0"},
		{"delivered after a listing that has it twice", []int{1, 2}, []int{1, 1}, after, "1 delivered, 1 queued, exit 0"},
		{"delivered after a listing that lacks it", []int{1, 0}, []int{1, 1}, after, "1 delivered, 1 queued, exit 0"},
		{"delivered before a listing that has it", []int{1, 1}, []int{1, 1}, before, "1 delivered, 1 queued, warning queued-although-delivered 1, exit 0"},
		{"gone from both, which the other isn't", []int{2, 0, 0}, []int{1, 1, 1}, 0, "1 queued, 1 lost, fault lost 1, exit 1"},
	} {
		b := newBooks().claim(tok, rcpt).claim(other, otherRcpt)
		if test.delivers > 0 {
			b.clock = test.delivers
			b.attempt(1, 1, tok, rcpt, 250).close(1, yes)
		}
		j := New(Options{})
		for i := range b.claims {
			if err := j.Claim(&b.claims[i]); err != nil {
				t.Fatal(err)
			}
		}
		j.KnowNotifications()
		for i := range test.moves {
			j.Listing(at(100+5*float64(i)), false)
			for range test.moves[i] {
				if err := j.Queued(&QueueEntry{Sender: tok, Recipient: rcpt}); err != nil {
					t.Fatal(err)
				}
			}
			for range test.stays[i] {
				if err := j.Queued(&QueueEntry{Sender: other, Recipient: otherRcpt}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if j.Settled() {
			t.Errorf("%s: settled, with a message in the queue", test.name)
		}
		l := j.Ledger()
		for _, row := range append(append([]event.Row{{Kind: event.KindStart, Start: event.Start{Durability: event.Batch}}}, b.rows...), event.Row{Kind: event.KindStop}) {
			if err := l.Row(&row); err != nil {
				t.Fatal(err)
			}
		}
		got, err := j.Finish(nil)
		if err != nil || said(got) != test.want {
			t.Errorf("%s: %s, error %v; want %s", test.name, said(got), err, test.want)
		}
	}
}

// What an alias made of a recipient stands in the queue, and in notifications, by another name: nothing is lost while the message is there,
// or its sender was told that it failed.
func TestNothingIsLostThatIsThereByAnotherName(t *testing.T) {
	const alias, shared = "team@b.example", "all@a.example"
	two := func() *books {
		return newBooks().claim("m1", "r1@b.example", from(shared)).claim("m2", "r2@b.example", from(shared))
	}
	one := func() *books { return newBooks().claim(tok, rcpt).claim("s+9@a.example", "r9@b.example") }
	queued := func(b *books, e QueueEntry) *books { b.queue = append(b.queue, e); return b }
	failed := func(b *books, n Notification) *books { b.dsns = append(b.dsns, n); return b }
	for _, test := range []struct {
		name string
		b    *books
		want string
	}{
		{"queued for an alias", queued(one(), QueueEntry{Sender: tok, Recipient: alias}), "1 lost, 1 undetermined, fault lost 1, exit 1"},
		{"queued for an alias, of a shared sender", queued(two(), QueueEntry{Sender: shared, Recipient: alias}), "2 undetermined, exit 3"},
		{"queued, somebody else's", queued(two(), QueueEntry{Sender: "x@x.example", Recipient: alias}), "2 lost, fault lost 2, exit 1"},
		{"failed for an alias", failed(one(), Notification{Sender: tok, Recipient: alias, Action: "failed", Status: "5.1.1"}), "1 lost, 1 undetermined, fault lost 1, exit 1"},
		{"failed, somebody else's", failed(one(), Notification{Sender: "x@x.example", Recipient: alias, Action: "failed", Status: "5.1.1"}), "2 lost, fault lost 2, exit 1"},
	} {
		if got, _ := test.b.judge(t); said(got) != test.want {
			t.Errorf("%s: %s, want %s", test.name, said(got), test.want)
		}
	}
	j := New(Options{})
	if err := j.Claim(&Claim{Token: tok, Recipient: rcpt}); err != nil {
		t.Fatal(err)
	}
	j.Listing(at(10), false)
	if err := j.Queued(&QueueEntry{Sender: tok, Recipient: alias}); err != nil {
		t.Fatal(err)
	}
	j.Listing(at(15), false)
	if j.Settled() {
		t.Error("settled 5 s after the queue held the message for an alias")
	}
}

// The provisional fate is the judge's on what is known so far.
func TestProvisional(t *testing.T) {
	b := newBooks().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).attempt(2, 1, tok, rcpt, 250).close(1, yes)
	b.attempt(3, 1, tok, rcpt, 250)
	j := New(Options{})
	if err := j.Claim(&Claim{Token: tok, Recipient: rcpt}); err != nil {
		t.Fatal(err)
	}
	l := j.Ledger()
	var got []string
	look := func() {
		if !j.Provisional("<"+tok+">", func(u *Unit) {
			got = append(got, fmt.Sprintf("%v %d/%d", u.Fate, len(u.Deliveries), len(u.Attempts)))
		}) {
			t.Error("the token is not known")
		}
	}
	for i := range b.rows {
		_ = l.Row(&b.rows[i])
		look()
	}
	want := "[undetermined 0/0 undetermined 0/1 delivered 1/2 duplicated-ambiguous 2/3 duplicated 2/3 duplicated 3/4]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if j.Provisional("another", func(*Unit) { t.Error("a unit of nobody") }) {
		t.Error("an unknown token is known")
	}
}

// TestProvisionalOfWhatOthersSend has a judge adopt what nobody has claimed, and be asked by each of its names.
func TestProvisionalOfWhatOthersSend(t *testing.T) {
	b := newBooks().attempt(1, 1, "app@src.test", rcpt, 451, atRcpt)
	b.message(1, 2, "storm-1", "", 0).attempt(1, 2, "app@src.test", rcpt, 250)
	b.message(1, 3, "storm-2", "", 0).attempt(1, 3, "app@src.test", rcpt, 250)
	b.attempt(2, 1, "bounces@src.test", rcpt, 250, func(a *event.Attempt) { a.Token = []byte("e+3D1") })
	b.attempt(3, 1, "shared@src.test", rcpt, 550, atRcpt)                               // of one of two claims
	b.message(3, 2, "c-1", "", 0).attempt(3, 2, "shared@src.test", "alias@x.test", 250) // a claimed message by another recipient
	var told []string
	j := New(Options{Adopt: true, Delivered: func(token []byte) { told = append(told, string(token)) }})
	for _, id := range []string{"c-1", "c-2"} {
		if err := j.Claim(&Claim{Token: id, Sender: "shared@src.test", HasSender: true, StormID: id, Recipient: rcpt, Ack: AckUnknown}); err != nil {
			t.Fatal(err)
		}
	}
	l := j.Ledger()
	for i := range b.rows {
		_ = l.Row(&b.rows[i])
	}
	look := func(id string) (got string) {
		j.Provisional(id, func(u *Unit) {
			got += fmt.Sprintf("%s %v %d/%d %d; ", u.Recipient, u.Fate, len(u.Deliveries), len(u.Attempts), u.LastCode)
		})
		return got
	}
	for id, want := range map[string]string{
		"app@src.test": rcpt + " duplicated 2/3 250; ", "storm-1": rcpt + " recovered 1/1 250; ", "storm-2": rcpt + " recovered 1/1 250; ",
		"e=1": rcpt + " recovered 1/1 250; ", "bounces@src.test": "", "shared@src.test": "", "c-2": rcpt + " never-accepted 0/0 0; ",
		"c-1": rcpt + " never-accepted 0/0 0; alias@x.test recovered 1/1 250; ",
	} {
		if got := look(id); got != want {
			t.Errorf("%s: %q, expected %q", id, got, want)
		}
	}
	if got, want := fmt.Sprint(told), "[storm-1 app@src.test storm-2 app@src.test e=1 c-1]"; got != want {
		t.Errorf("told of deliveries of %s, expected %s", got, want)
	}
}

func TestRowsThatWereCutLeaveDoubt(t *testing.T) {
	b := newBooks().claim(tok, rcpt).attempt(1, 1, "s+1", rcpt, 250, func(a *event.Attempt) { a.Cut = "phase sender token" }).close(1, yes)
	if got, _ := b.judge(t); said(got) != "1 undetermined, information foreign-of-another-run 1, exit 3" {
		t.Errorf("got %s", said(got))
	}
}

// One address that gets all mail is one unit, however often; the judge must neither lose count nor take for ever.
func TestOneUnitForAllMail(t *testing.T) {
	const n = 50_000
	b := newBooks()
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
	b := newBooks().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes)
	_, units := b.judge(t)
	const want = `{"token":"s+1@src.example","recipient":"r1@a.example","fate":"delivered","attempts":["2026-01-31T10:20:31Z","2026-01-31T10:20:33Z"],` +
		`"deliveries":[{"time":"2026-01-31T10:20:34Z","told":"told"}],"first_refusal":{"time":"2026-01-31T10:20:32Z","stage":"rcpt","code":451}}` + "\n"
	if got := string(units[0].Append(nil)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestFailOn(t *testing.T) {
	b := newBooks().claim(tok, rcpt)
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
