package sink

import (
	"context"
	"net"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reactor"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

const haveEpoll = true

// newDriver returns the driver that the server runs on.
func (s *Server) newDriver() (driver, error) {
	if s.kind == DriverNet {
		return newNetDriver(s), nil
	}
	return newEpollDriver(s)
}

// epollDriver carries connections on the loops of a reactor.
type epollDriver struct {
	reactor *reactor.Reactor
	loops   []epollLoop
}

// epollLoop is what the connections of one loop share; only that loop touches it.
type epollLoop struct {
	recorder *recorder
	now      func() time.Time
	lastID   uint64
	conns    []*epollConn // in no order
	leaving  bool         // the sessions know of the shutdown
	_        [64]byte
}

func newEpollDriver(s *Server) (*epollDriver, error) {
	d := &epollDriver{loops: make([]epollLoop, s.cfg.Loops)}
	for i := range d.loops {
		// The loops number their connections without sharing a counter: 1, 1+n, 1+2n, ... for the first of n.
		d.loops[i] = epollLoop{recorder: s.newRecorder(i), now: s.now, lastID: uint64(i+1) - uint64(s.cfg.Loops)}
	}
	var err error
	d.reactor, err = reactor.New(reactor.Config{Loops: s.cfg.Loops, NewHandler: d.newConn, Now: s.cfg.Now})
	return d, err
}

func (d *epollDriver) listen(l *boundListener) (net.Addr, error) {
	ln, err := d.reactor.Listen(reactor.ListenConfig{Network: l.network(), Address: l.Address, Tag: l})
	if err != nil {
		return nil, err
	}
	return ln.Addr(), nil
}

func (d *epollDriver) shutdown(ctx context.Context) error {
	return d.reactor.Shutdown(ctx, func(c *reactor.Conn, now time.Time) {
		// The reactor knows its connections, not their owners, which the loop lists itself: the first call is for all of them.
		l := &d.loops[c.Loop()]
		if l.leaving {
			return
		}
		l.leaving = true
		for _, conn := range l.conns {
			conn.peer.shutdown(l.recorder, conn, now)
			conn.arm()
		}
	})
}

func (d *epollDriver) close() error { return d.reactor.Close() }

func (d *epollDriver) counters() DriverCounters {
	st := d.reactor.TotalStats()
	return DriverCounters{
		Accepted: st.Accepted, Open: st.Open, Closed: st.Closed, Failed: st.Failed,
		BytesIn: st.BytesIn, BytesOut: st.BytesOut, Reads: st.Reads, Writes: st.Writes, Waits: st.Waits,
		AcceptPauses: st.AcceptPauses, AcceptErrors: st.AcceptErrors, HighWater: st.HighWater, Pending: st.Pending,
		LagP99Micros: uint64(st.Lag.Quantile(0.99) / time.Microsecond), LagMaxMicros: uint64(st.Lag.Max / time.Microsecond),
	}
}

// epollConn is a connection of the epoll driver: the owner of a reactor's connection, and its session's transport.
type epollConn struct {
	peer peer
	conn *reactor.Conn
	loop *epollLoop
	slot int32 // index in loop.conns
	read int32 // the limit that the reactor knows
}

func (d *epollDriver) newConn(loop int, rc *reactor.Conn, now time.Time) reactor.Handler {
	l := &d.loops[loop]
	l.lastID += uint64(len(d.loops))
	c := &epollConn{conn: rc, loop: l, slot: int32(len(l.conns))}
	l.conns = append(l.conns, c)
	listener := rc.Tag().(*boundListener)
	info := session.ConnInfo{ID: l.lastID, Listener: listener.name, Client: rc.RemoteAddr()}
	c.peer.greet(l.recorder, c, listener.session, info, now)
	c.arm()
	return c
}

// arm tells the reactor what the session waits for.
func (c *epollConn) arm() {
	c.conn.SetDeadline(c.peer.session.Deadline())
	if want := int32(c.peer.session.WantRead()); want != c.read {
		c.read = want
		c.conn.SetReadLimit(int(want))
	}
}

// Data implements reactor.Handler.
func (c *epollConn) Data(now time.Time, p []byte) int {
	n := c.peer.feed(c.loop.recorder, c, now, p)
	c.arm()
	return n
}

// EOF implements reactor.Handler.
func (c *epollConn) EOF(now time.Time) {
	c.peer.eof(c.loop.recorder, c, now)
	c.arm()
}

// Timer implements reactor.Handler.
func (c *epollConn) Timer(now time.Time) {
	if due, replied := c.peer.advance(c.loop.recorder, c, now); replied {
		c.loop.recorder.shard.Late(c.loop.now().Sub(due))
	}
	c.arm()
}

// Drained implements reactor.Handler.
func (c *epollConn) Drained(now time.Time) {
	c.peer.drained(c.loop.recorder, c, now)
	c.arm()
}

// Closed implements reactor.Handler.
func (c *epollConn) Closed(now time.Time, err error) {
	c.peer.closed(c.loop.recorder, c, now, err)
	l := c.loop
	last := l.conns[len(l.conns)-1]
	l.conns[c.slot], last.slot = last, c.slot
	l.conns[len(l.conns)-1] = nil
	l.conns = l.conns[:len(l.conns)-1]
}

func (c *epollConn) write(p []byte) { c.conn.Write(p) }
func (c *epollConn) pause()         { c.conn.Pause() }
func (c *epollConn) resume()        { c.conn.Resume() }
func (c *epollConn) awaitDrain()    { c.conn.AwaitDrain(reactor.DrainKernel) }

func (c *epollConn) close(mode session.CloseMode) {
	switch mode {
	case session.CloseFIN:
		c.conn.Close(reactor.CloseFIN)
	case session.CloseRST:
		c.conn.Close(reactor.CloseRST)
	case session.CloseHalf:
		c.conn.Close(reactor.CloseHalf)
	}
}
