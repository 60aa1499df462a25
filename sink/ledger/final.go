package ledger

import (
	"bytes"
	"maps"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// finalRows passes on the rows that count: of an attempt that was amended only the amended row. With durability ack a row that says
// of a message that it was accepted is held back until its client goes on or the connection ends; so it may come later than rows of
// other connections, and memory grows with the connections open at a time.
type finalRows struct {
	emit    func(*event.Row) error // the row is valid during the call only
	amended uint64                 // rows that were not passed on

	hold bool
	held map[uint64][]event.Attempt // by connection
	row  event.Row
}

// take takes the next row of the ledger.
func (f *finalRows) take(row *event.Row) error {
	var err error
	switch row.Kind {
	case event.KindStart: // the run before is over
		err = f.end()
		f.hold = row.Start.Durability == event.Ack
	case event.KindConnection:
		err = f.release(row.Connection.Conn)
	case event.KindTransaction:
		err = f.release(row.Transaction.Conn)
	case event.KindAttempt:
		a := &row.Attempt
		held := f.held[a.Conn]
		if i := slices.IndexFunc(held, func(b event.Attempt) bool { return replaces(a, &b) }); a.Amends && i >= 0 {
			held = slices.Delete(held, i, i+1)
			f.held[a.Conn] = held
			f.amended++
		}
		if len(held) > 0 && held[0].Message != a.Message {
			err = f.release(a.Conn)
		}
		if err == nil && f.hold && !a.Amends && a.Stage == smtp.StageMessage && a.Ending == event.EndReply && a.Code.Class() == 2 {
			if f.held == nil {
				f.held = make(map[uint64][]event.Attempt)
			}
			f.held[a.Conn] = append(f.held[a.Conn], clone(a))
			return nil
		}
	}
	if err != nil {
		return err
	}
	return f.emit(row)
}

// release passes on what was held back of a connection.
func (f *finalRows) release(conn uint64) error {
	held := f.held[conn]
	delete(f.held, conn)
	for i := range held {
		f.row.Kind, f.row.Attempt = event.KindAttempt, held[i]
		if err := f.emit(&f.row); err != nil {
			return err
		}
	}
	return nil
}

// end passes on all that was held back: nothing follows, or another run.
func (f *finalRows) end() error {
	for _, conn := range slices.Sorted(maps.Keys(f.held)) {
		if err := f.release(conn); err != nil {
			return err
		}
	}
	return nil
}

// replaces reports whether b is the row that a amends.
func replaces(a, b *event.Attempt) bool {
	return a.Message == b.Message && a.Time.Equal(b.Time) && bytes.Equal(a.Recipient, b.Recipient)
}

func clone(a *event.Attempt) event.Attempt {
	c := *a
	for _, field := range []*[]byte{&c.Sender, &c.Recipient, &c.Token, &c.StormID, &c.MessageID} {
		*field = bytes.Clone(*field)
	}
	return c
}
