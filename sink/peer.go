package sink

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// transport is what a session's effects act on: a connection as its driver sees it.
type transport interface {
	write(p []byte) // p is the session's: write or copy it
	pause()
	resume()
	awaitDrain() // the driver then calls peer.drained once
	close(mode session.CloseMode)
}

// peer is the part of a connection that the drivers share: its session, and the replies of which nobody knows yet whether the
// client has read them. Its methods must be called on the goroutine that drives the connection.
type peer struct {
	session *session.Session
	unread  unread
	kept    bool // the session left a part of the input that it was offered
}

// unread lists the replies that were handed over for writing since the client sent something last.
type unread struct {
	last *metrics.Cell
	more []*metrics.Cell // those before, of a pipelining client
}

func (u *unread) add(c *metrics.Cell) {
	if u.last != nil {
		u.more = append(u.more, u.last)
	}
	u.last = c
}

func (u *unread) clear() {
	u.last = nil
	if len(u.more) > 0 {
		if u.more = u.more[:0]; cap(u.more) > 64 {
			u.more = nil
		}
	}
}

// count gives the replies up: the connection ended without a sign that the client has read them.
func (u *unread) count() {
	if u.last != nil {
		u.last.Unread()
	}
	for _, c := range u.more {
		c.Unread()
	}
	u.clear()
}

// greet starts the session.
func (p *peer) greet(r *recorder, t transport, cfg *session.Config, info session.ConnInfo, now time.Time) {
	r.peer = p
	p.session = session.New(cfg, &r.env, info, now)
	p.pump(t)
}

// feed offers input and returns how much of it was taken; the rest is to be offered again after a resume, alone.
func (p *peer) feed(r *recorder, t transport, now time.Time, data []byte) int {
	r.peer = p
	if !p.kept {
		p.unread.clear()
	}
	n := p.session.Feed(now, data)
	p.kept = n < len(data)
	p.pump(t)
	return n
}

// advance tells the session that its deadline has come. It reports when that was, and whether a reply was written because of it.
func (p *peer) advance(r *recorder, t transport, now time.Time) (due time.Time, replied bool) {
	r.peer = p
	r.replied = false
	due = p.session.Deadline()
	p.session.Advance(now)
	p.pump(t)
	return due, r.replied
}

// eof tells the session that the client sends nothing more.
func (p *peer) eof(r *recorder, t transport, now time.Time) {
	r.peer = p
	// No end of file comes here once the session has closed: a command was due, and nobody knows whether the client closed before or
	// after it had read the last replies.
	p.unread.count()
	p.session.EOF(now)
	p.pump(t)
}

// drained tells the session that the kernel has taken all output.
func (p *peer) drained(r *recorder, t transport, now time.Time) {
	r.peer = p
	p.session.Drained(now)
	p.pump(t)
}

// shutdown tells the session that the sink is going away.
func (p *peer) shutdown(r *recorder, t transport, now time.Time) {
	r.peer = p
	p.session.Shutdown(now)
	p.pump(t)
}

// closed tells the session that the connection is gone; err is nil when it ended as the session had asked.
func (p *peer) closed(r *recorder, t transport, now time.Time, err error) {
	r.peer = p
	if err != nil {
		p.unread.count()
	}
	p.session.Closed(now, err)
	p.pump(t)
}

// pump carries out what the session wants done.
func (p *peer) pump(t transport) {
	for {
		e, ok := p.session.Next()
		if !ok {
			return
		}
		switch e.Kind {
		case session.EffectWrite:
			t.write(e.Data)
		case session.EffectPause:
			t.pause()
		case session.EffectResume:
			t.resume()
		case session.EffectAwaitDrain:
			t.awaitDrain()
		case session.EffectClose:
			t.close(e.Close)
		case session.EffectDone:
		}
	}
}
