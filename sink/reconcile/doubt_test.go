package reconcile

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// TestRewrittenSenders: a relay may send under another address than it was given; what it sends, queues and gives up is the claim's still.
func TestRewrittenSenders(t *testing.T) {
	for name, test := range map[string]struct{ sender, as, want string }{
		"as it is":                  {tok, tok, "1 queued, exit 0"},
		"in another case":           {"User@src.example", "user@SRC.example", "1 queued, exit 0"},
		"SRS0":                      {tok, "SRS0=HHH=TT=src.example=s+1@relay.example", "1 queued, exit 0"},
		"srs0+":                     {tok, "srs0+HHH=TT=SRC.example=S+1@relay.example", "1 queued, exit 0"},
		"SRS1":                      {tok, "SRS1=GGG=relay.example==HHH=TT=src.example=s+1@other.example", "1 queued, exit 0"},
		"a local part with =":       {"a=b@src.example", "SRS0-HHH=TT=src.example=a=b@relay.example", "1 queued, exit 0"},
		"BATV":                      {tok, "prvs=0123ABCDEF=s+1@src.example", "1 queued, exit 0"},
		"BATV, as Exim wrote it":    {tok, "prvs=s+1/0123ABCDEF@src.example", "1 queued, exit 0"},
		"Barracuda's":               {tok, "btv1==0123==s+1@src.example", "1 queued, exit 0"},
		"SRS of BATV":               {tok, "SRS0=HHH=TT=src.example=prvs=0123=s+1@relay.example", "1 queued, exit 0"},
		"a claim of that very name": {"prvs=0=s+1@src.example", "prvs=0=s+1@src.example", "1 queued, exit 0"},
		"unknown":                   {tok, "bounce-77@relay.example", "1 undetermined, exit 3"},
		"of nobody":                 {tok, "SRS0=HHH=TT=other.example=s+1@relay.example", "1 undetermined, exit 3"},
		"broken":                    {tok, "SRS0=HHH=TT@relay.example", "1 undetermined, exit 3"},
	} {
		b := newHistory().claim(test.sender, rcpt)
		b.queue = []QueueEntry{{Sender: test.as, Recipient: rcpt}}
		if got, _ := b.judge(t); said(got) != test.want {
			t.Errorf("queued, %s: got %s, want %s", name, said(got), test.want)
		}
		if !strings.Contains(test.want, "queued") {
			continue
		}
		b = newHistory().claim(test.sender, rcpt).attempt(1, 1, test.as, rcpt, 550, atRcpt).attempt(1, 2, "", test.as, 550, atRcpt).close(1, yes)
		if got, _ := b.judge(t); said(got) != "1 refused, exit 0" {
			t.Errorf("refused, and so was its notification, %s: got %s", name, said(got))
		}
	}
	two := newHistory().claim("User@x", rcpt).claim("user@x", rcpt)
	two.queue = []QueueEntry{{Sender: "USER@x", Recipient: rcpt}}
	if got, _ := two.judge(t); said(got) != "2 undetermined, exit 3" {
		t.Errorf("two that differ in case: %s", said(got))
	}
	shared := newHistory().claim("a", rcpt, from("Shop@x")).claim("b", "r2@a.example", from("Shop@x"))
	shared.queue = []QueueEntry{{Sender: "shop@x", Recipient: rcpt}}
	if got, _ := shared.judge(t); said(got) != "1 queued, 1 lost, fault lost 1, exit 1" {
		t.Errorf("a shared sender: %s", said(got))
	}
}

// TestQueueEntriesThatNameNoUnit may be about several, none of which is lost then.
func TestQueueEntriesThatNameNoUnit(t *testing.T) {
	one, other := newHistory().claim(tok, rcpt), "r2@a.example"
	for name, test := range map[string]struct {
		b     *history
		entry QueueEntry
		want  string
	}{
		"no recipient, of a message of one":     {newHistory().claim(tok, rcpt), QueueEntry{Sender: tok}, "1 queued, exit 0"},
		"no recipient, of a message of two":     {newHistory().claim(tok, rcpt).claim(tok, other), QueueEntry{Sender: tok}, "2 undetermined, exit 3"},
		"no recipient, of one of two messages":  {newHistory().claim("a", rcpt, from("x@x")).claim("b", other, from("x@x")), QueueEntry{Sender: "x@x"}, "2 undetermined, exit 3"},
		"no recipient, a stranger's":            {one, QueueEntry{Sender: "x@x"}, "1 lost, fault lost 1, exit 1"},
		"no recipient, a notification":          {one, QueueEntry{NullSender: true}, "1 undetermined, exit 3"},
		"known by its X-Storm-Id":               {newHistory().claim(tok, rcpt, ids3("st-1", "")), QueueEntry{Sender: "x@x", StormID: "st-1", Recipient: rcpt}, "1 queued, exit 0"},
		"known by its Message-ID":               {newHistory().claim(tok, rcpt, ids3("", "<1@x>")), QueueEntry{Sender: "x@x", MessageID: "1@x", Recipient: rcpt}, "1 queued, exit 0"},
		"a stranger's, of before the run":       {newHistory().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), QueueEntry{Sender: "x@x", Recipient: rcpt, Arrived: at(5)}, "1 lost, fault lost 1, exit 1"},
		"a stranger's, of the run":              {newHistory().claim(tok, rcpt, func(c *Claim) { c.Sent = at(10) }), QueueEntry{Sender: "x@x", Recipient: rcpt, Arrived: at(10)}, "1 undetermined, exit 3"},
		"a message that has no sender":          {newHistory().claim("st-1", rcpt, from("")), QueueEntry{NullSender: true, Recipient: rcpt}, "1 undetermined, exit 3"},
		"an alias, of a stranger":               {newHistory().claim(tok, rcpt, func(c *Claim) { c.DeliveredTo = []string{other} }), QueueEntry{Sender: "x@x", Recipient: other}, "1 undetermined, exit 3"},
		"another recipient, of a stranger":      {one, QueueEntry{Sender: "x@x", Recipient: other}, "1 lost, fault lost 1, exit 1"},
		"a notification to another's recipient": {one, QueueEntry{NullSender: true, Recipient: other}, "1 lost, fault lost 1, exit 1"},
	} {
		test.b.queue = []QueueEntry{test.entry}
		if got, _ := test.b.judge(t); said(got) != test.want {
			t.Errorf("%s: got %s, want %s", name, said(got), test.want)
		}
		var back []QueueEntry
		if err := ReadQueue(strings.NewReader(string(test.entry.Append(nil))), "q", func(q *QueueEntry) error { back = append(back, *q); return nil }); err == nil && (len(back) != 1 || back[0] != test.entry) {
			t.Errorf("%s: read back as %+v", name, back)
		}
	}
}

// A queue that is watched must lack a unit twice: an entry that may be about it counts in both listings, and the watch goes on.
func TestDoubtfulEntriesOfAWatchedQueue(t *testing.T) {
	for listing := range 3 {
		j := New(Options{})
		if err := j.Claim(&Claim{Token: tok, Recipient: rcpt}); err != nil {
			t.Fatal(err)
		}
		l := j.Ledger()
		_ = l.Row(&event.Row{Kind: event.KindStart, Start: event.Start{Durability: event.Batch}})
		_ = l.Row(&event.Row{Kind: event.KindStop})
		for i := range 3 {
			j.Listing(at(float64(10+5*i)), false)
			if i != listing {
				continue
			}
			if err := j.Queued(&QueueEntry{Sender: "bounce-77@relay.example", Recipient: rcpt}); err != nil {
				t.Fatal(err)
			}
		}
		if settled := j.Settled(); settled != (listing == 0) {
			t.Errorf("in listing %d of 3: settled %v", listing+1, settled)
		}
		j.KnowNotifications()
		got, err := j.Finish(nil)
		want := "1 undetermined, exit 3"
		if listing == 0 {
			want = "1 lost, fault lost 1, exit 1"
		}
		if err != nil || said(got) != want {
			t.Errorf("in listing %d of 3: got %s, want %s (%v)", listing+1, said(got), want, err)
		}
	}
}

// TestAttemptsOfOneOfSeveral: what no identity tells apart is nobody's attempt, and not a stranger's.
func TestAttemptsOfOneOfSeveral(t *testing.T) {
	two := func() *history { return newHistory().claim("a", rcpt, from("x@x")).claim("b", rcpt, from("x@x")) }
	same := func() *history { return newHistory().claim("a@x", rcpt, body(7)).claim("b@x", rcpt, body(7)) }
	for name, test := range map[string]struct {
		b            *history
		want         string
		unattributed uint64
	}{
		"deferred":                     {two().attempt(1, 1, "x@x", rcpt, 451, atRcpt).close(1, yes), "2 lost, fault lost 2, exit 1", 1},
		"refused":                      {two().attempt(1, 1, "x@x", rcpt, 550, atRcpt).close(1, yes), "2 undetermined, exit 3", 1},
		"delivered":                    {two().attempt(1, 1, "x@x", rcpt, 250).close(1, yes), "2 undetermined, exit 3", 1},
		"to a stranger":                {two().attempt(1, 1, "x@x", "who@z", 451, atRcpt).close(1, yes), "2 lost, fault lost 2, information foreign-of-another-run 1, exit 1", 0},
		"the same body":                {same().message(1, 1, "", "", 7).attempt(1, 1, "srs@z", rcpt, 250).close(1, yes), "2 undetermined, exit 3", 1},
		"the same body, to a stranger": {same().message(1, 1, "", "", 7).attempt(1, 1, "srs@z", "who@z", 250).close(1, yes), "2 lost, fault lost 2, information foreign-of-another-run 1, exit 1", 0},
	} {
		got, _ := test.b.judge(t)
		if said(got) != test.want || got.Unattributed != test.unattributed {
			t.Errorf("%s: got %s with %d unattributed, want %s with %d", name, said(got), got.Unattributed, test.want, test.unattributed)
		}
	}
}
