package reconcile

import "testing"

// TestMailForWhom: MAIL does not say for which recipients of its message it is.
func TestMailForWhom(t *testing.T) {
	two := func() *books {
		return with(newBooks().claim(tok, rcpt).claim(tok, "r2@a.example"), func(b *books) { b.dsns = []Notification{failed("5.1.1")} })
	}
	for _, test := range []struct {
		name string
		b    *books
		want string
	}{
		{"one is refused, and MAIL is deferred when the other is tried again", two().attempt(1, 1, tok, rcpt, 550, atRcpt).attempt(1, 1, tok, "r2@a.example", 451, atRcpt).close(1, yes).
			mail(2, 1, tok, 451).attempt(2, 2, tok, "r2@a.example", 250).close(2, yes), "1 delivered, 1 refused, exit 0"},
		{"a relay splits, one MAIL is refused, the other is not", two().mail(1, 1, tok, 550).close(1, yes).attempt(2, 1, tok, "r2@a.example", 250).close(2, yes), "1 delivered, 1 refused, exit 0"},
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
