package conn

import (
	"errors"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// transport is what a session's effects act on: a connection as its driver sees it.
type transport interface {
	write(p []byte) // p is the session's: write or copy it
	pause()
	resume()
	awaitDrain() // the driver then calls pump.drained once
	close(mode session.CloseMode)
	narrow()                               // the client is read slowly: its window shall close
	startTLS(f fault.TLSFault, hello bool) // input that the session has left begins the handshake, if hello; the driver then calls pump.tlsDone once
	Committer
	kernel
}

// kernel is what a driver can ask the system of its connection. Each is a system call: see pump.receipt for when they are made.
type kernel interface {
	unread() int         // octets of input that wait; 0 where nobody knows
	unacknowledged() int // octets of output that the client's kernel has not acknowledged; 0 where nobody knows
	takeError() error    // what reading doesn't tell after the client's FIN
	refused() bool       // the kernel has refused output
	encrypted() bool     // the client's FIN doesn't show that it has read: libraries of TLS drain what is left
}

// pump is the part of a connection that the drivers share: its session, and the replies of which nobody knows yet whether the
// client has read them. Its methods must be called on the goroutine that drives the connection.
type pump struct {
	session *session.Session
	at      *metrics.Listener // whose counters its replies belong to
	unread  unread
	kept    bool // the session left a part of the input that it was offered
	waiting int  // octets of input that waited already when the last final reply was handed over
	commits bool // the session waits for its rows on disk, or its message to be captured, and who does that knows

	mailed *mailed // a message that is kept, and whose recipients have not all got their rows; nil: none

	rowOctets uint64 // of the rows that the connection has made the ledger write
}

// unread lists the replies that were handed over for writing since the client sent something last. Equal neighbours are one entry, so
// that the replies to a thousand recipients of LMTP are few.
type unread struct {
	last unreadCell
	more []unreadCell // those before, of a pipelining client
}

type unreadCell struct {
	cell *metrics.Cell
	n    uint64
}

func (u *unread) add(c *metrics.Cell) {
	switch u.last.cell {
	case c:
		u.last.n++
		return
	case nil:
	default:
		u.more = append(u.more, u.last)
	}
	u.last = unreadCell{c, 1}
}

func (u *unread) clear() {
	u.last = unreadCell{}
	if len(u.more) > 0 {
		if u.more = u.more[:0]; cap(u.more) > 64 {
			u.more = nil
		}
	}
}

// count gives the replies up: the connection ended without a sign that the client has read them.
func (u *unread) count() {
	if u.last.cell != nil {
		u.last.cell.Unread(u.last.n)
	}
	for _, c := range u.more {
		c.cell.Unread(c.n)
	}
	u.clear()
}

// greet starts the session.
func (p *pump) greet(r *recorder, t transport, cfg *session.Config, info session.ConnInfo, now time.Time) {
	r.pump, p.at = p, r.shard.Listener(info.Listener)
	p.session = session.New(cfg, &r.env, info, now)
	p.perform(r, t, now)
}

// feed offers input and returns how much of it was taken; the rest is to be offered again after a resume, alone.
// more says that the read that brought it has filled its buffer.
func (p *pump) feed(r *recorder, t transport, now time.Time, data []byte, more bool) int {
	r.pump, r.replied = p, false
	if !p.kept {
		p.unread.clear()
	}
	p.session.Receipt(p.receipt(t, len(data), more))
	n := p.session.Feed(now, data)
	p.kept = n < len(data)
	p.perform(r, t, now)
	return n
}

// receipt returns what is known of input: whether the client can have sent it before it had got the replies before. The kernel is asked
// only where the session has doubts.
func (p *pump) receipt(t transport, octets int, more bool) session.Receipt {
	known := session.Receipt{Waiting: p.kept || p.waiting > 0, More: more}
	if !p.kept {
		p.waiting = max(p.waiting-octets, 0)
	}
	if !known.Waiting && p.session.Doubts() {
		known.Unacknowledged = t.unacknowledged() > 0
	}
	return known
}

// hangup tells the session that the client's FIN has come in a pause.
func (p *pump) hangup(r *recorder, t transport, now time.Time) {
	r.pump = p
	if p.session.Awaits() {
		err := t.takeError()
		p.session.Receipt(session.Receipt{Waiting: t.encrypted(), Unacknowledged: t.unacknowledged() > 0, Refused: err != nil})
	}
	p.session.Hangup(now)
	p.perform(r, t, now)
}

// advance tells the session that its deadline has come. It reports when that was, and whether a reply was written because of it.
func (p *pump) advance(r *recorder, t transport, now time.Time) (due time.Time, replied bool) {
	r.pump = p
	r.replied = false
	due = p.session.Deadline()
	p.session.Advance(now)
	p.perform(r, t, now)
	return due, r.replied
}

// crosses reports whether the client's FIN, which was read, has crossed a final reply: then eof should wait until the client's kernel has
// acknowledged that, or refused it.
func (p *pump) crosses(t transport) bool {
	return p.session.Awaits() && !t.encrypted() && t.unacknowledged() > 0
}

// crossingTime is how long a client's kernel may take to acknowledge, or refuse, what has crossed its FIN.
const crossingTime = 2 * time.Second

// eof tells the session that the client sends nothing more. crossed says that its FIN has crossed a final reply.
func (p *pump) eof(r *recorder, t transport, now time.Time, crossed bool) {
	r.pump = p
	// No end of file comes here once the session has closed: a command was due, and nobody knows whether the client closed before or
	// after it had read the last replies.
	p.unread.count()
	if p.session.Awaits() {
		err := t.takeError()
		p.session.Receipt(session.Receipt{Waiting: t.encrypted() || p.waiting > 0, Unacknowledged: crossed, Refused: err != nil})
	}
	p.session.EOF(now)
	p.perform(r, t, now)
}

// drained tells the session that the kernel has taken all output.
func (p *pump) drained(r *recorder, t transport, now time.Time) {
	r.pump, r.replied = p, false
	p.session.Drained(now)
	p.perform(r, t, now)
}

// tlsDone tells the session what became of the handshake.
func (p *pump) tlsDone(r *recorder, t transport, now time.Time, info session.TLSInfo, err error) {
	r.pump = p
	if err == nil { // then the client has read the reply to STARTTLS
		p.unread.clear()
	} else {
		p.unread.count()
	}
	p.session.TLSDone(now, info, err)
	p.perform(r, t, now)
}

// committed tells the session what became of its rows.
func (p *pump) committed(r *recorder, t transport, now time.Time, ticket uint64, err error) {
	r.pump, r.replied = p, false
	p.session.Committed(now, ticket, err)
	p.commits = p.commits && p.session.Committing() // still: the answer was for a commit that the session has given up
	p.perform(r, t, now)
}

// shutdown tells the session that the sink is going away.
func (p *pump) shutdown(r *recorder, t transport, now time.Time) {
	r.pump = p
	p.session.Shutdown(now)
	p.perform(r, t, now)
}

// closed tells the session that the connection is gone; err is nil when it ended as the session had asked.
func (p *pump) closed(r *recorder, t transport, now time.Time, err error) {
	r.pump = p
	if err != nil {
		p.unread.count()
		closed := errors.Is(err, syscall.EPIPE) // a reset after the client's FIN
		p.session.Receipt(session.Receipt{Refused: closed || t.refused(), Finished: closed})
	}
	p.session.Closed(now, err)
	p.perform(r, t, now)
}

// perform does what the session wants done. Rows go before the replies that they are about.
func (p *pump) perform(r *recorder, t transport, now time.Time) {
	for {
		e, ok := p.session.Next()
		if !ok {
			r.flush()
			if p.commits && !p.session.Committing() {
				p.commits = false
				r.forget(t)
			}
			return
		}
		switch e.Kind {
		case session.EffectWrite:
			r.flush()
			if r.replied && p.session.Doubts() {
				p.waiting = t.unread() // before the client can answer
			}
			t.write(e.Data)
		case session.EffectPause, session.EffectStopReading: // in a pause, no driver reads
			t.pause()
		case session.EffectResume:
			t.resume()
		case session.EffectAwaitDrain:
			t.awaitDrain()
		case session.EffectNarrow:
			t.narrow()
		case session.EffectClose:
			t.close(e.Close)
		case session.EffectStartTLS:
			t.startTLS(e.TLS, e.Hello)
		case session.EffectCommit:
			r.unsaved = false
			if err, decided := r.ledger.commit(e.Ticket, t); decided {
				p.session.Committed(now, e.Ticket, err)
			} else {
				p.commits = true
			}
		case session.EffectCapture:
			r.captures.Keep(e.Ticket, e.Captured, t)
			p.commits = true
		case session.EffectDone:
		}
	}
}
