package reconcile

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// The provisional fate is the judge's on what is known so far.
func TestProvisional(t *testing.T) {
	b := newHistory().attempt(1, 1, tok, rcpt, 451, atRcpt).attempt(1, 2, tok, rcpt, 250).attempt(2, 1, tok, rcpt, 250).close(1, yes)
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
	b := newHistory().attempt(1, 1, "app@src.test", rcpt, 451, atRcpt)
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
