package storm

import (
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func TestEnds(t *testing.T) {
	zero := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	e := newEnded(5 * time.Second)
	for _, row := range []event.Row{
		{Kind: event.KindMessage, Message: event.Message{Conn: 1, Message: 1, Time: at(1)}},
		{Kind: event.KindAttempt, Attempt: event.Attempt{Conn: 1, Message: 1, Recipient: []byte("A@x"), Time: at(0), End: at(9)}},
		{Kind: event.KindMessage, Message: event.Message{Conn: 1, Message: 2, Time: at(10)}},
		{Kind: event.KindAttempt, Attempt: event.Attempt{Conn: 1, Message: 2, Recipient: []byte("b@x"), Time: at(10), End: at(11), Handed: at(12)}},
		{Kind: event.KindAttempt, Attempt: event.Attempt{Conn: 2, Message: 1, Recipient: []byte("c@x"), Time: at(10), End: at(20)}}, // refused at RCPT
		{Kind: event.KindTransaction, Transaction: event.Transaction{Conn: 3, Sender: []byte("S@y"), Time: at(30), End: at(31)}},
	} {
		e.add(&row)
	}
	for name, test := range map[string]struct {
		recipient, sender string
		at, want          time.Time
	}{
		"the sender lost its patience":   {"a@x", "s@y", at(0), at(6)},
		"the reply was handed over":      {"b@x", "s@y", at(10), at(12)},
		"no body, no patience":           {"c@x", "s@y", at(10), at(20)},
		"MAIL was refused":               {"d@x", "s@y", at(30), at(31)},
		"an attempt that nobody noticed": {"d@x", "t@y", at(30), time.Time{}},
	} {
		if got := e.of(test.recipient, test.sender, test.at); !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestArrived(t *testing.T) {
	zero := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	claim := &reconcile.Claim{Sent: zero.Add(time.Second / 2), Replied: zero.Add(time.Second)}
	logs := arrivals([]reconcile.LogEvent{
		{Event: "deferred", Sender: "a", Time: zero}, {Event: "accepted", Sender: "a", Time: zero.Add(time.Second * 3 / 4)}, {Event: "accepted", Sender: "a", Time: zero.Add(time.Minute)},
		{Event: "accepted", Sender: "whole seconds", Time: zero},
	})
	for sender, want := range map[string]time.Time{"a": zero.Add(time.Second * 3 / 4), "whole seconds": claim.Sent, "unknown": claim.Sent} {
		if got := arrived(claim, logs[sender]); !got.Equal(want) {
			t.Errorf("%s: got %v, want %v", sender, got, want)
		}
	}
}

func TestUnseen(t *testing.T) {
	zero := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	const perhaps = "Upstream error: 421 4.3.2 not now"
	failures := failuresOf([]reconcile.LogEvent{
		{Event: "deferred", Recipient: "A@x", Text: perhaps, Time: at(11)}, {Event: "deferred", Recipient: "a@x", Text: perhaps, Time: at(20)},
		{Event: "deferred", Recipient: "a@x", Text: "connect to h[1.2.3.4]:25: Connection refused", Time: at(31)}, {Event: "sent", Recipient: "a@x", Time: at(40)},
	})
	u := &measure.Unit{Attempts: []time.Time{at(0), at(30)}, Ends: []time.Time{at(10), {}}}
	if got := unseen(u, failures["a@x"]); len(got) != 2 || !got[0].Equal(at(20)) || !got[1].Equal(at(31)) {
		t.Errorf("unseen at %v, want 20 s, when no attempt was near, and 31 s, which is certain", got)
	}
}

// TestStrays: an MTA that takes two ports of an address for one host sends mail to the wrong one.
func TestStrays(t *testing.T) {
	for _, test := range []struct {
		layout                      layout
		listener, sender, recipient string
		want                        bool
	}{
		{hopPerHost, "d0", "s@src.bench.test", "r5@D0.bench.test", false},
		{hopPerHost, "d1", "s@src.bench.test", "r5@d0.bench.test", true},
		{hopPerHost, "d1", "", "s@src.bench.test", false},
		{oneHop, mainListener, "s@src.bench.test", "r5@d0.bench.test", false},
		{oneHop, dsnListener, "s@src.bench.test", "r5@d0.bench.test", true},
		{twoHops, "mx2", "s@src.bench.test", "r5@d0.bench.test", false},
	} {
		c := &cell{traits: mta.Traits{Routes: true}, storm: &Storm{beyond: beyond{layout: test.layout}}}
		if got := c.strays(test.listener, test.sender, test.recipient); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}
