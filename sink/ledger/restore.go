package ledger

import (
	"net/netip"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// CauseProtocol is the cause of a reply to a command that broke the protocol: such a RCPT was not counted as an attempt.
const CauseProtocol = "protocol"

// Counters is what a Restorer rebuilds: each call counts one more, as it did when the row's session made it. The slices are valid
// during the call only.
type Counters interface {
	Connection(client netip.Addr) uint64
	Mail(sender []byte) uint64
	Recipient(sender, recipient []byte) uint64
}

// Standings is what a Restorer rebuilds of the standings to which reactions of plans have led. What it is given is valid during the call only.
type Standings interface {
	// Stand takes a standing that has begun, changed or ended.
	Stand(s *event.Standing)
	// Keep takes for over what reactions had led to that are not among these (event.Start.Reactions).
	Keep(reactions string)
}

// Restorer makes from the rows of a ledger what connections share, so that a sink that starts again goes on where it was. Its Row
// method is what OpenConfig.Replay wants. It keeps an entry for each connection that is open at that point of the ledger.
//
// What a killed process had not recorded yet is not restored, nor what was counted towards a standing that had not begun: a RCPT whose fate was open counts again under the same ordinal when it
// is repeated, and a connection that was still open counts only if it left a row.
type Restorer struct {
	// Counters may be nil.
	Counters Counters
	// Seen, if not nil, is told of each RCPT: greylisting starts at the first for a (client network, sender, recipient). The
	// attempt is valid during the call only.
	Seen func(a *event.Attempt)
	// Standings may be nil.
	Standings Standings
	// Forget, if not nil, is told of each reset of what connections share.
	Forget func()

	open map[uint64]uint64 // connection -> the number of its last message that was counted
}

// Row takes the next row. It never fails.
func (r *Restorer) Row(row *event.Row) error {
	switch row.Kind {
	case event.KindStart: // connection numbers start again
		clear(r.open)
		r.keep(row.Start.Reactions)
	case event.KindSwap:
		r.keep(row.Swap.Reactions)
	case event.KindStanding:
		if r.Standings != nil {
			r.Standings.Stand(&row.Standing)
		}
	case event.KindConnection:
		c := &row.Connection
		if _, counted := r.open[c.Conn]; counted {
			delete(r.open, c.Conn)
		} else if r.Counters != nil {
			r.Counters.Connection(c.Client.Addr())
		}
	case event.KindTransaction:
		t := &row.Transaction
		r.mail(t.Conn, t.Message, t.Client, t.Sender)
	case event.KindAttempt:
		r.attempt(&row.Attempt)
	case event.KindReset:
		if row.Reset.State && r.Forget != nil {
			r.Forget()
		}
	}
	return nil
}

func (r *Restorer) keep(reactions string) {
	if r.Standings != nil {
		r.Standings.Keep(reactions)
	}
}

func (r *Restorer) attempt(a *event.Attempt) {
	r.mail(a.Conn, a.Message, a.Client, a.Sender)
	if len(a.Recipient) == 0 || (a.N == 0 && a.Cause == CauseProtocol) {
		return
	}
	if r.Counters != nil {
		r.Counters.Recipient(a.Sender, a.Recipient)
	}
	if r.Seen != nil {
		r.Seen(a)
	}
}

// mail counts the connection at its first row, and the sender's MAIL at its first row: a message has a row for each recipient.
func (r *Restorer) mail(conn, message uint64, client netip.AddrPort, sender []byte) {
	if r.Counters == nil {
		return
	}
	last, counted := r.open[conn]
	if !counted {
		r.Counters.Connection(client.Addr())
	}
	if message > last {
		r.Counters.Mail(sender)
		last = message
	}
	if r.open == nil {
		r.open = make(map[uint64]uint64)
	}
	r.open[conn] = last
}
