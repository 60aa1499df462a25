package ledger

import (
	"errors"
	"fmt"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Ticket names a Flush of a Shard whose rows are not on disk yet. The tickets of a shard count up from 1; 0 means that there is
// nothing to wait for.
type Ticket uint64

const (
	// flushAt is how many octets of rows a shard gathers before it writes them unasked.
	flushAt = 64 << 10
	// ackAtMost bounds the rows of one Flush when it has to be atomic.
	ackAtMost = 16 << 20
	// keepBuffer is the largest buffer that a shard keeps.
	keepBuffer = 1 << 20
)

var errTooMany = fmt.Errorf("more than %d octets of rows in one flush", ackAtMost)

// Shard takes the rows of one event loop. Its methods never sync, and allocate nothing once its buffer has grown. They are safe for
// concurrent use, so that the connections of a driver without loops may share one.
type Shard struct {
	w      *Writer
	notify func(Ticket, error)

	mu      sync.Mutex // taken before Writer.mu, never after
	buf     []byte
	rows    uint64 // in buf
	early   error  // of an unasked write since the last Flush
	failed  error  // what became of the last rows that were flushed
	issued  Ticket // the last ticket
	decided Ticket // the last ticket that was decided
}

// Attempt appends the final row of a RCPT command, with wide room. Nothing of a is kept.
func (s *Shard) Attempt(a *event.Attempt) { s.AttemptWithin(a, RoomWide) }

// AttemptWithin is Attempt with the room that is given. It returns how many octets the row has.
func (s *Shard) AttemptWithin(a *event.Attempt, room Room) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = appendAttempt(s.buf, a, room)
	return s.appended(before)
}

// Transaction appends the row of a transaction that died before RCPT, with wide room. Nothing of t is kept.
func (s *Shard) Transaction(t *event.Transaction) { s.TransactionWithin(t, RoomWide) }

// TransactionWithin is Transaction with the room that is given. It returns how many octets the row has.
func (s *Shard) TransactionWithin(t *event.Transaction, room Room) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = appendTransaction(s.buf, t, room)
	return s.appended(before)
}

// Message appends the row of what is the message's own, and returns its length. Nothing of m is kept.
func (s *Shard) Message(m *event.Message) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = AppendMessage(s.buf, m)
	return s.appended(before)
}

// Told appends the row that says whether a client knows a reply, and returns its length.
func (s *Shard) Told(e *event.Exception) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = AppendTold(s.buf, e)
	return s.appended(before)
}

// Standing appends the row of a standing that has changed, and returns its length.
func (s *Shard) Standing(st *event.Standing) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = AppendStanding(s.buf, st)
	return s.appended(before)
}

// Connection appends the last row of a connection. Nothing of c is kept.
func (s *Shard) Connection(c *event.Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.buf)
	s.buf = AppendConnection(s.buf, c)
	s.appended(before)
}

// appended does what follows from a row that was appended, and returns its length. s.mu is held.
func (s *Shard) appended(before int) int {
	s.rows++
	length := len(s.buf) - before
	switch d := s.w.durability; {
	case d == event.Ack && len(s.buf) > ackAtMost:
		s.drop(errTooMany)
		s.early = errTooMany
	case d != event.Ack && len(s.buf) >= flushAt:
		s.writeEarly()
	case d == event.None && s.rows == 1:
		s.w.poke()
	}
	return length
}

// Flush hands over the rows appended since the last Flush. A driver calls it before it writes the replies of a turn.
//
//   - None: nothing happens; rows are written within WriterConfig.Every. The error is that of the last write, told once.
//   - Batch: the rows are in the page cache when it returns, by one write(2): they survive the death of the process.
//   - Ack: as Batch, and the positive final replies have to wait until notify tells of the ticket, for then the rows are on disk.
//     notify may be called before Flush has returned. The ticket is 0 when there is nothing to wait for.
//
// An error means that rows since the last Flush are not in the file and never will be: they are counted as lost, and their memory is
// free. For Ack it is all of them. A Flush to which nothing is new says what became of the rows before.
func (s *Shard) Flush() (Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w.durability == event.None {
		err := s.early
		s.early = nil
		return 0, err
	}
	if len(s.buf) == 0 {
		if s.early != nil {
			s.failed, s.early = s.early, nil
		}
		if s.decided < s.issued {
			return s.issued, s.failed
		}
		return 0, s.failed
	}
	if s.w.durability == event.Ack && s.early != nil { // all or nothing
		s.drop(s.early)
		s.failed, s.early = s.early, nil
		return 0, s.failed
	}
	ticket, err := s.write(s.w.durability == event.Ack)
	s.failed, s.early = errors.Join(s.early, err), nil
	return ticket, s.failed
}

// writeEarly writes before a Flush. s.mu is held.
func (s *Shard) writeEarly() {
	if len(s.buf) == 0 {
		return
	}
	if _, err := s.write(false); err != nil {
		s.early = err
		s.w.poke()
	} else if s.early == nil {
		s.failed = nil
	}
}

// write appends the buffer to the file and issues a ticket for it, in one step as far as a failing sync is concerned. s.mu is held.
func (s *Shard) write(ticket bool) (Ticket, error) {
	w := s.w
	w.mu.Lock()
	err := w.append(s.buf, s.rows)
	if err != nil || !ticket {
		ticket = false
	} else {
		s.issued++
		w.pending = append(w.pending, commit{s, s.issued})
	}
	w.mu.Unlock()
	s.empty()
	if w.durability != event.None {
		w.poke()
	}
	if !ticket {
		return 0, err
	}
	return s.issued, nil
}

// drop loses the buffer. s.mu is held.
func (s *Shard) drop(err error) {
	s.w.mu.Lock()
	s.w.lose(s.rows)
	s.w.stats.Error = err.Error()
	s.w.mu.Unlock()
	s.empty()
}

func (s *Shard) empty() {
	s.buf, s.rows = s.buf[:0], 0
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
}

// decide tells what became of a ticket.
func (s *Shard) decide(ticket Ticket, err error) {
	s.mu.Lock()
	s.decided = ticket
	if ticket == s.issued {
		s.failed = err
	}
	s.mu.Unlock()
	if s.notify != nil {
		s.notify(ticket, err)
	}
}
