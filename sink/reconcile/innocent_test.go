package reconcile

import (
	"testing"
	"time"
)

// TestMailForWhom: MAIL does not say for which recipients of its message it is.
func TestMailForWhom(t *testing.T) {
	two := func() *history {
		return with(newHistory().claim(tok, rcpt).claim(tok, "r2@a.example"), func(b *history) { b.dsns = []Notification{failed("5.1.1")} })
	}
	soon := func(b *history) *history { b.options.MinimalBackoff = 10 * time.Second; return b }
	for _, test := range []struct {
		name string
		b    *history
		want string
	}{
		{"one is refused, and MAIL is deferred when the other is tried again", two().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 1, tok, "r2@a.example", 451, atRcpt).close(1, yes).
			mail(2, 1, tok, 451).attempt(2, 2, tok, "r2@a.example", 250).close(2, yes), "1 delivered, 1 refused, exit 0"},
		{"a relay splits, one MAIL is refused, the other is not", two().mail(1, 1, tok, 550).close(1, yes).attempt(2, 1, tok, "r2@a.example", 250).close(2, yes), "1 delivered, 1 refused, exit 0"},
		{"the only recipient's MAIL comes too soon after a deferral of MAIL", soon(newHistory().claim(tok, rcpt).mail(1, 1, tok, 451).mail(1, 2, tok, 451).attempt(2, 3, tok, rcpt, 250).close(1, yes).close(2, yes)),
			"1 delivered, fault retried-too-soon 1, exit 1"},
		{"the MAIL may be for a copy to a stranger", soon(newHistory().claim(tok, rcpt).mail(1, 1, tok, 451).close(1, yes).attempt(2, 1, tok, rcpt, 250).attempt(2, 2, tok, "stranger@z.example", 250).close(2, yes)),
			"1 delivered, fault misrouted 1, exit 1"},
		{"the MAIL may be for another one of a list", soon(newHistory().claim(tok, rcpt, func(c *Claim) { c.DeliveredTo = []string{"bob@b.example", "eve@c.example"} }).mail(1, 1, tok, 451).close(1, yes).
			attempt(2, 1, tok, "bob@b.example", 250).close(2, yes)), "1 delivered, exit 0"},
		{"the MAIL may be for another one, who was not deferred", soon(two().attempt(1, 1, tok, "r2@a.example", 451, atRcpt).mail(2, 1, tok, 451).attempt(2, 2, tok, rcpt, 550, atRcpt).
			attempt(3, 1, tok, "r2@a.example", 250, during(30, 31)).close(2, yes).close(3, yes)), "1 delivered, 1 refused, exit 0"},
		{"the refused one is tried again", two().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 1, tok, "r2@a.example", 250).attempt(1, 2, tok, rcpt, 550, atRcpt).close(1, yes),
			"1 delivered, 1 refused, fault retried-after-refusal 1, exit 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := test.b.judge(t); said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}

// TestStrays: a delivery to a stranger is a unit's own, gone astray, only if nothing else became of the unit.
func TestStrays(t *testing.T) {
	const stranger = "stranger@z.example"
	one := func() *history { return newHistory().claim(tok, rcpt) }
	for _, test := range []struct {
		name string
		b    *history
		want string
	}{
		{"instead", one().attempt(1, 1, tok, stranger, 250).close(1, yes), "1 misdelivered, fault misdelivered 1, exit 1"},
		{"instead, of a claim that nobody acknowledged", newHistory().claim(tok, rcpt, ack(AckUnknown)).attempt(1, 1, tok, stranger, 250).close(1, yes), "1 misdelivered, fault misdelivered 1, exit 1"},
		{"instead, and again, since its reply was lost", one().attempt(1, 1, tok, stranger, 250, unsent, kept).close(1, no).attempt(2, 1, tok, stranger, 250).close(2, yes), "1 misdelivered, fault misdelivered 1, exit 1"},
		{"instead, and to another stranger", one().attempt(1, 1, tok, stranger, 250).attempt(1, 2, tok, "other@z.example", 250).close(1, yes), "1 misdelivered, fault misdelivered 1, fault misrouted 1, exit 1"},
		{"a copy", one().attempt(1, 1, tok, rcpt, 250).attempt(1, 2, tok, stranger, 250).close(1, yes), "1 delivered, fault misrouted 1, exit 1"},
		{"a copy of what was refused", with(one().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 2, tok, stranger, 250).close(1, yes), func(b *history) { b.dsns = []Notification{failed("5.1.1")} }),
			"1 refused, fault misrouted 1, exit 1"},
		{"a copy of what was given up", with(one().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, stranger, 250).close(1, yes), func(b *history) { b.dsns = []Notification{failed("4.4.7")} }),
			"1 expired, fault misrouted 1, exit 1"},
		{"a copy of what is queued", with(one().attempt(1, 1, tok, stranger, 250).close(1, yes), func(b *history) { b.queue = []QueueEntry{{Sender: tok, Recipient: rcpt}} }),
			"1 queued, fault misrouted 1, exit 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := test.b.judge(t); said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}

// TestGivenUpInTheLogAlone: an MTA that says in its log that it gave a recipient up owes the sender a notification of it.
func TestGivenUpInTheLogAlone(t *testing.T) {
	for _, test := range []struct{ notify, want string }{
		{"", "1 expired, fault dsn-missing 1, exit 1"}, {"NEVER", "1 expired, exit 0"},
	} {
		j := New(Options{})
		for _, err := range []error{
			j.Claim(&Claim{Token: tok, Recipient: rcpt, Notify: test.notify}),
			j.Log(&LogEvent{Event: "expired", Sender: tok, Recipient: rcpt}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		j.Listing(at(0), true)
		j.KnowNotifications()
		result, err := j.Finish(nil)
		if err != nil || said(result) != test.want {
			t.Errorf("with NOTIFY=%q: got %s, want %s (%v)", test.notify, said(result), test.want, err)
		}
	}
}

// TestANameThatOneClaimHas goes before a sender and a recipient that another one has.
func TestANameThatOneClaimHas(t *testing.T) {
	b := newHistory().claim("a", rcpt, from("shop@x.example")).claim("b", "r2@a.example", from("shop@x.example"))
	b.attempt(1, 1, "shop@x.example", "r2@a.example", 250, withEnvID("a")).attempt(1, 2, "shop@x.example", "r2@a.example", 250, withEnvID("b")).close(1, yes)
	if got, _ := b.judge(t); said(got) != "1 delivered, 1 misdelivered, fault misdelivered 1, exit 1" {
		t.Errorf("got %s", said(got))
	}
}
