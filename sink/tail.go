package sink

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// DefaultTail is how many octets of rows a Tail keeps when nobody says.
const DefaultTail = 16 << 20

// tailBlock is how many octets of lines are set aside at once: a row costs no allocation of its own.
const tailBlock = 64 << 10

// Tail is an Observer that keeps the last rows, so that others can read them as they come, and again from where they were. All its
// methods are safe for concurrent use; readers never hold up the sink.
type Tail struct {
	limit int

	mu      sync.Mutex
	blocks  []*rowBlock   // in order, the oldest first
	octets  int           // of the lines that are kept
	last    uint64        // the number of the last row
	counts  TailCounts    // of all rows up to that one
	changed chan struct{} // closed at the next row; nil while nobody waits
}

// rowBlock holds rows that follow each other. What is written in it stays as it is, since readers have it too.
type rowBlock struct {
	rows  []TailRow // all that are kept of it
	lines []byte    // theirs, one behind the other; it never grows beyond its capacity
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
	line := ledger.Append(space[:0], row)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.counts.count(row)
	t.keep(row.Kind, line)
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// keep copies the line of the last row, and lets the oldest go that are over the limit. The last one stays, whatever its size.
func (t *Tail) keep(kind event.Kind, line []byte) {
	var block *rowBlock
	if n := len(t.blocks); n > 0 {
		block = t.blocks[n-1]
	}
	if block == nil || len(block.lines)+len(line) > cap(block.lines) {
		size := max(min(tailBlock, t.limit), len(line))
		block = &rowBlock{make([]TailRow, 0, size/400), make([]byte, 0, size)} // a usual row has 400 octets and more
		t.blocks = append(t.blocks, block)
	}
	from := len(block.lines)
	block.lines = append(block.lines, line...)
	block.rows = append(block.rows, TailRow{Seq: t.last, Kind: kind, Line: block.lines[from:len(block.lines):len(block.lines)]})
	t.octets += len(line)
	for t.octets > t.limit && (len(t.blocks) > 1 || len(block.rows) > 1) {
		oldest := t.blocks[0]
		t.octets -= len(oldest.rows[0].Line)
		if oldest.rows = oldest.rows[1:]; len(oldest.rows) == 0 {
			t.blocks[0] = nil // the array goes on
			t.blocks = t.blocks[1:]
		}
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
	first := t.blocks[0].rows[0].Seq
	if from := seq + 1; from < first {
		missed = first - from
	} else {
		first = from
	}
	at, found := slices.BinarySearchFunc(t.blocks, first, func(b *rowBlock, seq uint64) int { return cmp.Compare(b.rows[0].Seq, seq) })
	if !found {
		at-- // it is in the block that begins before
	}
	rows = make([]TailRow, 0, min(uint64(n), t.last-first+1)) // #nosec G115 -- n is not negative
	for _, block := range t.blocks[at:] {
		rest := block.rows[first-block.rows[0].Seq:]
		rest = rest[:min(len(rest), n-len(rows))]
		if rows = append(rows, rest...); len(rows) == cap(rows) {
			break
		}
		first += uint64(len(rest))
	}
	return rows, missed
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
