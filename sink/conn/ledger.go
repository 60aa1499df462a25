package conn

import (
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// LedgerShard takes the rows of one shard, and tells connections when theirs are on disk. It is safe for concurrent use: connections of the net driver share them.
type LedgerShard struct {
	shard *ledger.Shard

	mu      sync.Mutex
	causes  causes
	waiting []waiting
	last    ledger.Ticket // the last ticket whose fate is known
	failed  []failure     // of the last tickets whose rows were not kept
}

// NewLedgerShard returns another shard of a ledger.
func NewLedgerShard(w *ledger.Writer) *LedgerShard {
	b := &LedgerShard{causes: causes{}}
	b.shard = w.Shard(b.decided)
	return b
}

// waiting is a session that waits for its rows.
type waiting struct {
	on     ledger.Ticket
	ticket uint64
	who    Committer
}

type failure struct {
	ticket ledger.Ticket
	err    error
}

// maxFailures is how many failed tickets are remembered: those that a session may still ask for, which it does at once.
const maxFailures = 256

// flush hands over what was appended since the last flush. What it can't write the writer counts, and tells.
func (b *LedgerShard) flush() { _, _ = b.shard.Flush() }

// commit puts the rows on disk for who. It reports whether that is decided already; otherwise who.Committed is called.
func (b *LedgerShard) commit(ticket uint64, who Committer) (err error, decided bool) {
	on, err := b.shard.Flush()
	if on == 0 || err != nil {
		return err, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if on > b.last { // decided may have been called before Flush returned
		b.waiting = append(b.waiting, waiting{on, ticket, who})
		return nil, false
	}
	for i := range b.failed {
		if b.failed[i].ticket == on {
			return b.failed[i].err, true
		}
	}
	return nil, true
}

// forget forgets who waits for its rows: its connection is gone, or has lost its patience.
func (b *LedgerShard) forget(who Committer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(w waiting) bool { return w.who == who })
}

// decided is told of each ticket in turn.
func (b *LedgerShard) decided(on ledger.Ticket, err error) {
	b.mu.Lock()
	b.last = on
	if err != nil {
		if len(b.failed) == maxFailures {
			b.failed = append(b.failed[:0], b.failed[1:]...)
		}
		b.failed = append(b.failed, failure{on, err})
	}
	var ready []waiting
	kept := b.waiting[:0]
	for _, w := range b.waiting {
		if w.on <= on {
			ready = append(ready, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
	b.mu.Unlock()
	for _, w := range ready {
		w.who.Committed(w.ticket, err)
	}
}

// attempt appends the row of a RCPT command, and returns its length in octets.
func (b *LedgerShard) attempt(a *session.Attempt, room ledger.Room) int {
	row := attemptRow(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	row.Cause = b.causes.of(a.Code, a.Origin)
	return b.shard.AttemptWithin(&row, room)
}

// transaction appends the row of a transaction without RCPT commands, and returns its length in octets.
func (b *LedgerShard) transaction(t *session.Transaction, room ledger.Room) int {
	row := transactionRow(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	row.Cause = b.causes.of(t.Code, t.Origin)
	return b.shard.TransactionWithin(&row, room)
}

func (b *LedgerShard) connection(c *session.Connection) {
	row := connectionRow(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.causes.ofConnection(c, &row)
	b.shard.Connection(&row)
}

// standing appends the row of a standing that has changed, and returns its length in octets.
func (b *LedgerShard) standing(s *event.Standing, by session.Origin) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Cause = b.causes.of(s.Code, by)
	return b.shard.Standing(s)
}
