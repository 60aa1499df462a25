package reconcile

import (
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Whether a sender knows a reply decides what its next step means (docs/reconciliation.md, Told). No row can say so of its own reply; it is
// settled by what follows on the connection: an exception row, a later message, the connection's end. Replies wait here until then.

// connKey names a connection: (run, conn).
type connKey struct {
	run  uint32
	conn uint64
}

// connection is what must be kept of a connection that is open.
type connection struct {
	waiting []waiting
	message uint64 // of contents
	known   bool   // contents are known
	contents
	stormBuf, idBuf []byte
}

// waiting is a final reply of which nobody knows yet whether the client got it.
type waiting struct {
	what    replyKind
	unit    int32 // of a delivery or a refusal; for a refused MAIL the message
	place   int32 // of the delivery
	message uint64
	stage   smtp.Stage
	handed  int64
	rcpt    uint64 // hash of the recipient as exception rows write it
}

type replyKind uint8

const (
	replyDelivery replyKind = iota // 2xx after the body
	replyRefusal                   // 5xx to a recipient or after the body
	replyMail                      // 5xx to MAIL
	replyUnread                    // 5xx to a RCPT that could not be read
)

// settle takes what is known of a reply.
func (j *Judge) settle(w *waiting, told event.Told) {
	switch w.what {
	case replyDelivery:
		d := j.deliveries.at(w.place)
		if rank(told) > rank(d.told) {
			d.told = told
		}
	case replyRefusal, replyUnread:
		u := j.units.at(w.unit)
		switch told {
		case event.ToldYes:
			if w.what == replyUnread { // the next one may be spelt better: that is no retry
				u.flags |= unreadRefused
			} else if u.refused == 0 || w.handed < u.refused {
				u.refused = w.handed
			}
		case event.ToldNo:
			u.flags |= refusedUntold
		default:
			u.flags |= refusedUnknown
		}
	case replyMail:
		m := j.messages.at(w.unit)
		switch told {
		case event.ToldYes:
			if m.mailRefused == 0 || w.handed < m.mailRefused {
				m.mailRefused = w.handed
			}
		case event.ToldNo:
		default:
			for u := m.first; u >= 0; u = j.units.at(u).next {
				j.units.at(u).flags |= refusedUnknown
			}
		}
	}
}

// rank orders what is known: of two replies about one delivery the more certain one counts.
func rank(t event.Told) int { return [event.NumTold]int{0, 3, 1, 2}[t] }

// await keeps a reply until what follows tells, or settles it at once where the row itself is certain: a reply that was never handed
// over is untold, one that can't be read, or of which only a part went out, is unknown.
func (l *Ledger) await(conn uint64, w waiting, sent, ambiguous bool) {
	switch {
	case ambiguous:
		l.judge.settle(&w, event.ToldUnknown)
	case !sent:
		l.judge.settle(&w, event.ToldNo)
	default:
		c := l.connection(conn)
		c.waiting = append(c.waiting, w)
	}
}

// advance settles what waits on a connection that goes on: replies to messages before this one were told; replies before the body
// were when the body came, since even who pipelines waits for the 354 (RFC 5321 section 4.1.1.4).
func (l *Ledger) advance(c *connection, message uint64, body bool) {
	kept := c.waiting[:0]
	for i := range c.waiting {
		w := &c.waiting[i]
		if w.message != message || body && w.stage != smtp.StageMessage {
			l.judge.settle(w, event.ToldYes)
		} else {
			kept = append(kept, *w)
		}
	}
	c.waiting = kept
}

// except settles the replies that an exception row is about.
func (l *Ledger) except(e *event.Exception) {
	c := l.open[connKey{l.run, e.Conn}]
	if c == nil {
		return
	}
	rcpt := addressHash(e.Recipient)
	kept := c.waiting[:0]
	for i := range c.waiting {
		w := &c.waiting[i]
		if w.message == e.Message && (len(e.Recipient) == 0 || w.rcpt == rcpt) {
			l.judge.settle(w, e.Told)
		} else {
			kept = append(kept, *w)
		}
	}
	c.waiting = kept
}

// ended settles what a connection left waiting, as its row says. A row that doesn't say tells by how the connection ended: after QUIT
// the replies before it were read.
func (l *Ledger) ended(r *event.Connection) {
	told := r.Told
	if told == event.ToldNothing {
		told = event.ToldUnknown
		if r.Reason == "quit" {
			told = event.ToldYes
		}
	}
	l.close(connKey{l.run, r.Conn}, told)
}

func (l *Ledger) close(key connKey, told event.Told) {
	c := l.open[key]
	if c == nil {
		return
	}
	for i := range c.waiting {
		l.judge.settle(&c.waiting[i], told)
	}
	delete(l.open, key)
	c.waiting, c.known = c.waiting[:0], false
	if len(l.spare) < maxSpare {
		l.spare = append(l.spare, c)
	}
}

// maxSpare bounds the connections that are kept for their memory.
const maxSpare = 1024

// connection returns the state of a connection, which it opens if need be.
func (l *Ledger) connection(conn uint64) *connection {
	key := connKey{l.run, conn}
	c := l.open[key]
	if c == nil {
		if n := len(l.spare); n > 0 {
			c, l.spare = l.spare[n-1], l.spare[:n-1]
		} else {
			c = &connection{}
		}
		l.open[key] = c
	}
	return c
}
