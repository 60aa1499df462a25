package sink

import (
	"context"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// DefaultTail is how many octets of rows a Tail keeps when nobody says.
const DefaultTail = 16 << 20

// Tail is an Observer that keeps the last rows, so that others can read them as they come, and again from where they were. All its
// methods are safe for concurrent use; readers never hold up the sink.
type Tail struct {
	limit int

	mu      sync.Mutex
	rows    []TailRow     // in order, the oldest first
	octets  int           // of their lines
	last    uint64        // the number of the last row
	counts  TailCounts    // of all rows up to that one
	changed chan struct{} // closed at the next row; nil while nobody waits
}

// TailRow is a row as a ledger has it.
type TailRow struct {
	Seq  uint64 // the n-th row of the sink, from 1
	Kind event.Kind
	Line []byte // JSON, with its line feed; it must not be changed
}

// NewTail returns a tail that keeps so many octets of rows; 0 means DefaultTail.
func NewTail(octets int) *Tail {
	if octets <= 0 {
		octets = DefaultTail
	}
	return &Tail{limit: octets}
}

// Row implements Observer.
func (t *Tail) Row(row *event.Row) {
	var space [1 << 10]byte
	line := slices.Clone(ledger.Append(space[:0], row))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.counts.count(row)
	t.rows = append(t.rows, TailRow{Seq: t.last, Kind: row.Kind, Line: line})
	t.octets += len(line)
	drop := 0
	for t.octets > t.limit && drop < len(t.rows)-1 {
		t.octets -= len(t.rows[drop].Line)
		t.rows[drop].Line = nil // the array goes on
		drop++
	}
	t.rows = t.rows[drop:]
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// After returns at most n rows that came after the row of that number, the oldest first, and how many of those between are gone: whoever
// comes too late has missed them. 0 is before all rows.
func (t *Tail) After(seq uint64, n int) (rows []TailRow, missed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq >= t.last || n <= 0 {
		return nil, 0
	}
	first := t.rows[0].Seq
	if from := seq + 1; from < first {
		missed = first - from
	} else {
		first = from
	}
	rest := t.rows[first-t.rows[0].Seq:]
	return slices.Clone(rest[:min(n, len(rest))]), missed
}

// Last returns the number of the last row; 0 before the first.
func (t *Tail) Last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// TailCounts counts rows of a sink from its first to one of them, those of before included that are gone.
type TailCounts struct {
	Seq          uint64 // the number of the last row that is counted
	Connections  uint64 // that ended
	Transactions uint64 // that ended without any RCPT command
	Attempts     uint64 // of which the fate is known; of an amended one only once
	Deliveries   uint64 // among the attempts, by the row that was first
	Messages     uint64 // bodies that came to their end
}

// count counts one more row.
func (c *TailCounts) count(row *event.Row) {
	c.Seq++
	switch row.Kind {
	case event.KindConnection:
		c.Connections++
	case event.KindTransaction:
		c.Transactions++
	case event.KindMessage:
		c.Messages++
	case event.KindAttempt:
		if !row.Attempt.Amends {
			c.Attempts++
			if row.Attempt.Delivered {
				c.Deliveries++
			}
		}
	}
}

// Counts returns what was counted up to the last row.
func (t *Tail) Counts() TailCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// Wait returns once there is a row after that of the number, or the context's error.
func (t *Tail) Wait(ctx context.Context, seq uint64) error {
	for {
		t.mu.Lock()
		if t.last > seq {
			t.mu.Unlock()
			return nil
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
