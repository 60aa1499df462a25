package session

import "testing"

// TestReceipts: what is known of a final reply after what has come since.
func TestReceipts(t *testing.T) {
	octets := func(r *receipts) { r.followed() }
	crossed := func(r *receipts) { r.note(Receipt{Unacknowledged: true}); r.followed() }
	another := func(r *receipts) { r.answered() }
	fin := func(r *receipts) { r.finished() }
	reset := func(r *receipts) { r.broken(false) }
	refused := func(r *receipts) { r.note(Receipt{Refused: true}); r.broken(false) }
	for _, tt := range []struct {
		name  string
		since []func(*receipts)
		want  receipt
	}{
		{"nothing", nil, receiptGiven},
		{"octets", []func(*receipts){octets}, receiptFollowed},
		{"octets that crossed it", []func(*receipts){crossed}, receiptGiven},
		{"octets, another reply, octets", []func(*receipts){octets, another, octets}, receiptTold},
		{"octets of a body", []func(*receipts){octets, (*receipts).body}, receiptTold},
		{"FIN", []func(*receipts){fin}, receiptTold},
		{"a FIN that had come before", []func(*receipts){(*receipts).fin, fin}, receiptUnknown},
		{"octets that crossed it, a reset", []func(*receipts){crossed, reset}, receiptUnknown},
		{"octets, a reset", []func(*receipts){octets, reset}, receiptUnknown},
		{"octets, FIN, a reset", []func(*receipts){octets, fin, reset}, receiptTold},
		{"a reset that refuses it", []func(*receipts){refused}, receiptUntold},
		{"a reset that refuses another reply", []func(*receipts){another, refused}, receiptUnknown},
	} {
		var r receipts
		r.given(false, false)
		for _, happens := range tt.since {
			happens(&r)
		}
		if r.state != tt.want {
			t.Errorf("%s: the receipt is %d, want %d", tt.name, r.state, tt.want)
		}
		if r.settled(); r.state != receiptNone {
			t.Errorf("%s: settled, the receipt is %d", tt.name, r.state)
		}
	}
}

// TestOutbox: octets are handed over once, and are gone when the driver has taken them, not before.
func TestOutbox(t *testing.T) {
	var o outbox
	var x Scratch
	if o.hand() != nil || o.full() {
		t.Error("an empty outbox hands something over, or is full")
	}
	b := o.open(&x)
	b.B = append(b.B, "250 "...)
	if o.taken(&x); o.buffer == nil {
		t.Error("what was not handed over is gone")
	}
	if got := string(o.hand()); got != "250 " {
		t.Errorf("handed over %q, want 250", got)
	}
	if o.taken(&x); o.buffer != nil || o.hand() != nil {
		t.Error("what was taken is handed over again")
	}
	b = o.open(&x)
	b.B = append(b.B, make([]byte, outputMark)...)
	if !o.full() {
		t.Errorf("not full with %d octets", len(b.B))
	}
}

// TestPieces: the pieces are the reply, in order, and it is cut between the first and the last.
func TestPieces(t *testing.T) {
	const reply = "250 OK\r\n"
	for size := 1; size <= len(reply)+1; size++ {
		var p pieces
		p.split([]byte(reply), size)
		if p.cut() {
			t.Error("cut before the first piece")
		}
		sent := ""
		for last := false; !last; {
			var piece []byte
			piece, last = p.next()
			if sent += string(piece); last != (sent == reply) || len(piece) > size {
				t.Fatalf("in pieces of %d: got %q, last %v", size, sent, last)
			}
			if !last && !p.cut() {
				t.Errorf("in pieces of %d: not cut after %q", size, sent)
			}
		}
		if p.release(); p.cut() {
			t.Error("cut though it is over")
		}
	}
}
