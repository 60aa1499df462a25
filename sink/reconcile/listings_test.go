package reconcile

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

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
		b := newHistory().claim(tok, rcpt).claim(other, otherRcpt)
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
	two := func() *history {
		return newHistory().claim("m1", "r1@b.example", from(shared)).claim("m2", "r2@b.example", from(shared))
	}
	one := func() *history { return newHistory().claim(tok, rcpt).claim("s+9@a.example", "r9@b.example") }
	queued := func(b *history, e QueueEntry) *history { b.queue = append(b.queue, e); return b }
	failed := func(b *history, n Notification) *history { b.dsns = append(b.dsns, n); return b }
	for _, test := range []struct {
		name string
		b    *history
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
