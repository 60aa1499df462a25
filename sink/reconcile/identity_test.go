package reconcile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// What makes addresses the same is told by smtp.AppendAddress; identities may stand in angle brackets besides.
func TestAddressesThatAreTheSame(t *testing.T) {
	want := "user@dst.test"
	for _, address := range []string{"user@dst.test", "<user@DST.test.>", `<"us\er"@dst.test>`} {
		if got := appendAddress(nil, []byte(address)); string(got) != want {
			t.Errorf("%s becomes %q, want %q", address, got, want)
		}
	}
}

// An identity that rows can't hold is compared as far as they hold it, with angle brackets and without.
func TestLongIdentitiesAreComparedAsCut(t *testing.T) {
	long := strings.Repeat("m", 2*maxID) + "@X.test"
	inRow := func(id string) string { return id[:min(len(id), maxID)] }
	want := appendID(nil, []byte(long))
	for _, id := range []string{"<" + long + ">", inRow(long), inRow("<" + long + ">")} {
		if got := appendID(nil, []byte(id)); !bytes.Equal(got, want) {
			t.Errorf("an identity of %d octets, %.3s...: compared by %d octets, want %d", len(id), id, len(got), len(want))
		}
	}
}

func TestORCPT(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"rfc822;a+2Bb@x", "a+b@x"}, {"RFC822;a@x", "a@x"}, {"utf-8;a@x", "a@x"}, {"x400;a@x", ""}, {"a@x", ""}, {"rfc822;a+2bb@x", "a+2bb@x"}, {"", ""},
	} {
		got, ok := decodeORCPT(nil, []byte(test.in))
		if ok != (test.want != "") || ok && string(got) != test.want {
			t.Errorf("%q: %q, %v; want %q", test.in, got, ok, test.want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{`"a\\b"@x.`, "<a@b>", `"a"@[IPv6:::1]`, "ü@ü.example"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, address []byte) {
		if got := appendAddress(nil, address); len(got) > 4*maxID {
			t.Errorf("%q becomes %d octets", address, len(got))
		}
	})
}

func TestIdentity(t *testing.T) {
	tests := []struct {
		name string
		b    *history
		want string
	}{
		{"a token in xtext, one sender for all mail", func() *history {
			b := newHistory().claim("order+17", rcpt, from("shop@x.example")).claim("order+18", rcpt, from("shop@x.example"))
			return b.attempt(1, 1, "shop@x.example", rcpt, 250, withEnvID("order+2B18")).attempt(1, 2, "shop@x.example", rcpt, 250, withEnvID("order+2B17")).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"a shared sender names nobody, the headers do", func() *history {
			b := newHistory().claim("a", rcpt, from("shop@x.example"), ids3("run-a", "")).claim("b", rcpt, from("shop@x.example"), ids3("run-b", ""))
			b.message(1, 1, "run-b", "", 0).attempt(1, 1, "shop@x.example", rcpt, 250).close(1, yes)
			return b.message(2, 1, "run-b", "", 0).attempt(2, 1, "shop@x.example", rcpt, 250).close(2, yes)
		}(), "1 duplicated, 1 lost, fault lost 1, fault duplicated 1, exit 1"},
		{"a shared sender with the recipient", func() *history {
			b := newHistory().claim("a", rcpt, from("shop@x.example")).claim("b", "r2@a.example", from("shop@x.example"))
			return b.attempt(1, 1, "shop@x.example", rcpt, 250).attempt(1, 2, "shop@x.example", "r2@a.example", 250).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"a Message-ID that two claims share names nobody", func() *history {
			b := newHistory().claim("a", rcpt, from("x@x"), ids3("", "<1@x>")).claim("b", rcpt, from("y@x"), ids3("", "<1@x>"))
			return b.message(1, 1, "", "<1@x>", 0).attempt(1, 1, "srs@z", rcpt, 250).close(1, yes)
		}(), "2 undetermined, exit 3"},
		{"a rewritten sender, a body that one claim has", func() *history {
			b := newHistory().claim("a@x", rcpt, body(7)).claim("b@x", rcpt, body(8))
			b.message(1, 1, "", "", 8).attempt(1, 1, "srs@z", rcpt, 250)
			return b.message(1, 2, "", "", 7).attempt(1, 2, "srs@z", rcpt, 250).close(1, yes)
		}(), "2 delivered, exit 0"},
		{"blanks in a quoted local part count", newHistory().claim(tok, `"a b"@a.example`).claim(tok, `"a  b"@a.example`).attempt(1, 1, tok, `"a  b"@a.example`, 250).close(1, yes),
			"1 delivered, 1 lost, fault lost 1, exit 1"},
		{"another case of the local part", newHistory().claim(tok, "User@a.example").attempt(1, 1, tok, "user@a.example", 250).close(1, yes), "1 delivered, information local-part-case-changed 1, exit 0"},
		{"both cases are claimed", newHistory().claim(tok, "User@a.example").claim(tok, "user@a.example").attempt(1, 1, tok, "user@a.example", 250).attempt(1, 1, tok, "User@a.example", 250).close(1, yes), "2 delivered, exit 0"},
		{"ORCPT names the claim", newHistory().claim(tok, "list+x@a.example").attempt(1, 1, tok, "bob@b.example", 250, func(a *event.Attempt) { a.ORCPT = []byte("rfc822;list+2Bx@A.example") }).close(1, yes),
			"1 delivered, information recipient-rewritten 1, exit 0"},
		{"an alias", newHistory().claim(tok, "list@a.example", func(c *Claim) { c.DeliveredTo = []string{"bob@b.example"} }).attempt(1, 1, tok, "bob@B.example.", 250).attempt(1, 2, tok, "bob@b.example", 250).close(1, yes),
			"1 duplicated, fault duplicated 1, exit 1"},
		{"a list that two read", newHistory().claim(tok, "list@a.example", func(c *Claim) { c.DeliveredTo = []string{"bob@b.example", "eve@b.example"} }).attempt(1, 1, tok, "bob@b.example", 250).attempt(1, 2, tok, "eve@b.example", 250).close(1, yes),
			"1 delivered, exit 0"},
		{"rows of another run before the first claim", newHistory().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(11, 12)).close(2, yes), "1 delivered, exit 0"},
		{"foreign with this run's id", newHistory().claim(tok, rcpt, func(c *Claim) { c.Run = "k6run" }).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, "s+k6run-99@x", "who@x", 250).close(1, yes), "1 delivered, fault foreign 1, exit 1"},
		{"a notification on its way home", newHistory().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).attempt(1, 2, "", tok, 250).close(1, yes), "1 delivered, exit 0"},
		{"split", newHistory().claim(tok, rcpt).claim(tok, "r2@a.example").attempt(1, 1, tok, rcpt, 250).attempt(2, 1, tok, "r2@a.example", 250).close(1, yes).close(2, yes), "2 delivered, information split 2, exit 0"},
		{"split, and one of them lost", newHistory().claim(tok, rcpt).claim(tok, "r2@a.example").claim(tok, "r3@a.example").attempt(1, 1, tok, rcpt, 250).attempt(2, 1, tok, "r3@a.example", 250).close(1, yes).close(2, yes), "2 delivered, 1 lost, fault lost 1, information split 2, exit 1"},
		{"a queued notification of one of several", func() *history {
			b := newHistory().claim("a", rcpt, from("shop@x.example")).claim("b", "r2@a.example", from("shop@x.example")).attempt(1, 1, "shop@x.example", rcpt, 250).close(1, yes)
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
