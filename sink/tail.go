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

// tailBlock is how many octets of lines a block has before the next begins.
const tailBlock = 64 << 10

// Tail is an Observer that keeps the last rows, so that others can read them as they come, and again from where they were. All its
// methods are safe for concurrent use; readers hold up the sink no longer than it takes to copy what they asked for.
type Tail struct {
	limit int

	mu      sync.Mutex
	blocks  []*rowBlock   // in order, the oldest first
	spare   *rowBlock     // one that was given up: in the steady state, a row costs no allocation
	octets  int           // of the lines that are kept
	last    uint64        // the number of the last row
	counts  TailCounts    // of all rows up to that one
	changed chan struct{} // closed at the next row; nil while nobody waits
}

// rowBlock holds rows that follow each other, without pointers, so that the collector need not look at them.
type rowBlock struct {
	lines []byte    // one behind the other
	rows  []rowMark // theirs
	gone  int       // so many of them, from the first, are kept no longer
	first uint64    // the number of rows[0]
}

type rowMark struct {
	end  int // of its line in lines; that is where the next begins
	kind event.Kind
}

// line returns the line of the i-th row.
func (b *rowBlock) line(i int) []byte {
	if i == 0 {
		return b.lines[:b.rows[0].end]
	}
	return b.lines[b.rows[i-1].end:b.rows[i].end]
}

// TailRow is a row as a ledger has it.
type TailRow struct {
	Seq  uint64 // the n-th row of the sink, from 1
	Kind event.Kind
	Line []byte // JSON, with its line feed; the reader's own
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
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.counts.count(row)
	block := t.open()
	from := len(block.lines)
	block.lines = ledger.Append(block.lines, row)
	block.rows = append(block.rows, rowMark{len(block.lines), row.Kind})
	t.octets += len(block.lines) - from
	t.drop()
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// open returns the block that takes the last row.
func (t *Tail) open() *rowBlock {
	if n := len(t.blocks); n > 0 && len(t.blocks[n-1].lines) < min(tailBlock, t.limit) {
		return t.blocks[n-1]
	}
	block := t.spare
	if t.spare = nil; block == nil {
		block = &rowBlock{lines: make([]byte, 0, tailBlock+tailBlock/8)} // a row that begins within it may end behind it
	}
	*block = rowBlock{lines: block.lines[:0], rows: block.rows[:0], first: t.last}
	t.blocks = append(t.blocks, block)
	return block
}

// drop lets the oldest rows go that are over the limit. The last one stays, whatever its size.
func (t *Tail) drop() {
	for t.octets > t.limit {
		oldest := t.blocks[0]
		if len(t.blocks) == 1 && oldest.gone == len(oldest.rows)-1 {
			return
		}
		t.octets -= len(oldest.line(oldest.gone))
		if oldest.gone++; oldest.gone == len(oldest.rows) {
			t.blocks = slices.Delete(t.blocks, 0, 1)
			if cap(oldest.lines) <= 2*tailBlock { // one that a long line has widened is not kept
				t.spare = oldest
			}
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
	first := t.blocks[0].first + uint64(t.blocks[0].gone) // #nosec G115 -- a count
	if from := seq + 1; from < first {
		missed = first - from
	} else {
		first = from
	}
	at, found := slices.BinarySearchFunc(t.blocks, first, func(b *rowBlock, seq uint64) int { return cmp.Compare(b.first, seq) })
	if !found {
		at-- // it is in the block that begins before
	}
	rows = make([]TailRow, 0, min(uint64(n), t.last-first+1)) // #nosec G115 -- not negative
	for _, block := range t.blocks[at:] {
		for i := int(first - block.first); i < len(block.rows) && len(rows) < cap(rows); i++ { // #nosec G115 -- a place in the block
			rows = append(rows, TailRow{Seq: first, Kind: block.rows[i].kind, Line: slices.Clone(block.line(i))})
			first++
		}
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
