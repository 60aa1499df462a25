package ledger

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/state"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

var _ Counters = (*state.Attempts)(nil)

// countedCalls writes down what a Restorer counts.
type countedCalls struct {
	calls   map[string]int
	seenAt  time.Time
	seenFor string
}

func (c *countedCalls) Connection(client netip.Addr) uint64 {
	return c.count("connection " + client.String())
}
func (c *countedCalls) Mail(sender []byte) uint64 { return c.count("mail " + string(sender)) }
func (c *countedCalls) Recipient(sender, recipient []byte) uint64 {
	return c.count("rcpt " + string(sender) + " " + string(recipient))
}

func (c *countedCalls) count(what string) uint64 {
	c.calls[what]++
	return uint64(c.calls[what])
}

func TestRestorer(t *testing.T) {
	const v, w = "a@x", "b@x"
	noCause := func(a *event.Attempt) {}
	protocol := func(a *event.Attempt) { a.Cause, a.N = CauseProtocol, 0 }
	var h history
	h.run()
	h.attempt(1, 1, v, "r1", 450, noCause).attempt(1, 1, v, "r2", 250). // one MAIL, two RCPT
										attempt(1, 2, v, "r1", 250). // the same connection, the second message
										attempt(1, 2, v, "", 501).   // a RCPT that could not be parsed
										attempt(1, 2, v, "r1", 503, protocol).
										mailRefused(2, 1, w, 450).attempt(2, 2, w, "r1", 250).close(2).
										close(1).
										close(3).                   // a connection without any message
										attempt(4, 1, v, "r1", 450) // a connection that was open when the sink died
	h.run()
	h.attempt(4, 1, v, "r1", 250).close(4) // another of the same number
	got := countedCalls{calls: map[string]int{}}
	r := Restorer{Counters: &got, Seen: func(a *event.Attempt) {
		if got.seenFor == "" {
			got.seenFor, got.seenAt = string(a.Sender)+" "+string(a.Recipient), a.Time
		}
		got.calls["seen"]++
	}}
	if _, err := Each(Input{"h", bytes.NewReader(h.buf)}, r.Row); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"connection 127.0.0.1": 3, "connection invalid IP": 2, // the helpers give connection and transaction rows no client
		"mail a@x": 4, "mail b@x": 2,
		"rcpt a@x r1": 4, "rcpt a@x r2": 1, "rcpt b@x r1": 1, "seen": 6,
	}
	if !reflect.DeepEqual(got.calls, want) {
		t.Errorf("counted %v,\nwant    %v", got.calls, want)
	}
	if got.seenFor != "a@x r1" || !got.seenAt.Equal(at(1)) {
		t.Errorf("first seen %q at %v, want a@x r1 at %v", got.seenFor, got.seenAt, at(1))
	}
	if len(r.open) != 0 {
		t.Errorf("%d connections are still kept", len(r.open))
	}
}
