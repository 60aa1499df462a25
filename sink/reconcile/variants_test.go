package reconcile

import (
	"fmt"
	"testing"
)

// An application may give one sender for all its mail, and for the token, too.
func TestMessagesThatShareAToken(t *testing.T) {
	const shop = "shop@src.example"
	storm := func(i int) string { return fmt.Sprintf("run-%d", i) }
	to := func(recipient func(i int) string, edits func(i int) []func(*Claim), relay func(b *history, i int, recipient string)) *history {
		b := newHistory()
		for i := range 10 {
			b.claim(shop, recipient(i), edits(i)...)
		}
		for i := range 10 {
			relay(b, i, recipient(i))
		}
		return b
	}
	each := func(i int) string { return fmt.Sprintf("r%d@a.example", i) }
	one := func(int) string { return rcpt }
	stormOnly := func(i int) []func(*Claim) { return []func(*Claim){ids3(storm(i), "")} }
	whole := func(i int) []func(*Claim) { return []func(*Claim){ids3(storm(i), ""), body(uint64(i + 1))} }
	bodyOnly := func(i int) []func(*Claim) { return []func(*Claim){body(uint64(i + 1))} }
	pass := func(b *history, i int, recipient string) {
		conn := uint64(i + 1)
		b.message(conn, 1, storm(i), "", uint64(i+1)).attempt(conn, 1, shop, recipient, 250).close(conn, yes)
	}
	but := func(lost int) func(b *history, i int, recipient string) {
		return func(b *history, i int, recipient string) {
			if i != lost {
				pass(b, i, recipient)
			}
		}
	}
	swapped := func(b *history, i int, recipient string) {
		if i < 2 {
			conn := uint64(i + 1)
			b.message(conn, 1, storm(1-i), "", uint64(2-i)).attempt(conn, 1, shop, recipient, 250).close(conn, yes)
			return
		}
		pass(b, i, recipient)
	}
	twice := func(b *history, i int, recipient string) {
		pass(b, i, recipient)
		if i == 4 {
			b.message(40, 1, storm(i), "", uint64(i+1)).attempt(40, 1, shop, recipient, 250).close(40, yes)
		}
	}
	for _, test := range []struct {
		name string
		b    *history
		want string
	}{
		{"a recipient each", to(each, whole, pass), "10 delivered, exit 0"},
		{"a recipient each, by X-Storm-Id alone", to(each, stormOnly, pass), "10 delivered, exit 0"},
		{"a recipient each, by body alone", to(each, bodyOnly, pass), "10 delivered, exit 0"},
		{"one recipient", to(one, whole, pass), "10 delivered, exit 0"},
		{"one recipient, by X-Storm-Id alone", to(one, stormOnly, pass), "10 delivered, exit 0"},
		{"one recipient, by body alone", to(one, bodyOnly, pass), "10 delivered, exit 0"},
		{"one is lost", to(each, whole, but(3)), "9 delivered, 1 lost, fault lost 1, exit 1"},
		{"one of one recipient's is lost", to(one, whole, but(3)), "9 delivered, 1 lost, fault lost 1, exit 1"},
		{"the first is lost", to(one, whole, but(0)), "9 delivered, 1 lost, fault lost 1, exit 1"},
		{"one comes twice", to(one, whole, twice), "1 duplicated, 9 delivered, fault duplicated 1, exit 1"},
		{"two bodies are swapped", to(each, whole, swapped), "2 delivered-altered, 8 delivered, fault delivered-altered 2, fault bodies-swapped 2, exit 1"},
		{"the same one is claimed again when it is answered", func() *history {
			b := newHistory()
			for i := range 3 {
				b.claim(shop, rcpt, append(whole(i), ack(AckUnknown))...).claim(shop, rcpt, whole(i)...)
			}
			for i := range 3 {
				pass(b, i, rcpt)
			}
			return b
		}(), "3 delivered, exit 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := test.b.judge(t); said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}
