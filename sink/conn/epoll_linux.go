package conn

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/reactor"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// HaveEpoll says whether this system has what NewEpoll needs.
const HaveEpoll = true

// NewEpoll returns the driver that carries connections on event loops.
func NewEpoll(cfg Config) (Driver, error) { return newEpollDriver(&cfg) }

// epollDriver carries connections on the loops of a reactor. Those that want TLS go to goroutines of their own.
type epollDriver struct {
	cfg     *Config
	reactor *reactor.Reactor
	loops   []epollLoop
	tls     *netDriver
}

// epollLoop is what the connections of one loop share; only that loop touches it.
type epollLoop struct {
	driver   *epollDriver
	recorder *recorder
	now      func() time.Time
	lastID   uint64
	conns    []*epollConn   // in no order
	silent   []*epollSilent // likewise
	leaving  bool           // the sessions know of the shutdown
	_        [64]byte
}

func newEpollDriver(cfg *Config) (*epollDriver, error) {
	r := newRooms(cfg.Connections)
	d := &epollDriver{cfg: cfg, loops: make([]epollLoop, cfg.Loops), tls: newNetDriver(cfg, r)}
	for i := range d.loops {
		// The loops number their connections without sharing a counter: 1, 1+n, 1+2n, ... for the first of n.
		// #nosec G115 -- both are positive; it wraps below zero until the first connection adds the loops
		d.loops[i] = epollLoop{driver: d, recorder: newRecorder(cfg, i), now: cfg.Now, lastID: uint64(i+1) - uint64(cfg.Loops)}
		d.loops[i].recorder.env.Scratch = new(session.Scratch)
	}
	rc := reactor.Config{Loops: cfg.Loops, NewHandler: d.newConn, DrainTimeout: cfg.WriteTimeout, Now: cfg.Now}
	if r != nil {
		rc.Rooms = r
	}
	var err error
	d.reactor, err = reactor.New(rc)
	return d, err
}

func (d *epollDriver) Listen(l Listener, at Place, receiveBuffer int) (Socket, error) {
	ln, err := d.reactor.Listen(reactor.ListenConfig{Network: at.Network, Address: at.Address, Inherited: at.Inherited, ReceiveBuffer: receiveBuffer, Tag: l})
	if err != nil {
		return nil, err
	}
	return epollListener{ln}, nil
}

// epollListener is an open listener.
type epollListener struct{ *reactor.Listener }

func (ln epollListener) Close() { _ = ln.Listener.Close() }

func (ln epollListener) SetAccepting(accepting bool) {
	if accepting {
		ln.SetBacklog(0)
		ln.Resume()
	} else {
		ln.Pause()
		ln.SetBacklog(shutBacklog)
	}
}

func (d *epollDriver) Shutdown(ctx context.Context) error {
	d.tls.announceShutdown()
	err := d.reactor.Shutdown(ctx, func(c *reactor.Conn, now time.Time) {
		// The reactor knows its connections, not their owners, which the loop lists itself: the first call is for all of them.
		l := &d.loops[c.Loop()]
		if l.leaving {
			return
		}
		l.leaving = true
		for _, conn := range l.conns {
			if !conn.leaves {
				conn.pump.shutdown(l.recorder, conn, now)
				conn.arm()
			}
		}
		for _, c := range l.silent {
			c.conn.Close(reactor.CloseFIN)
		}
	})
	return errors.Join(err, d.tls.Shutdown(ctx))
}

func (d *epollDriver) Close() error {
	err := d.reactor.Close()
	return errors.Join(err, d.tls.Close())
}

func (d *epollDriver) Counters() (count.Traffic, count.Net) {
	st := d.reactor.TotalStats()
	traffic, net := d.tls.Counters()
	return count.Traffic{
			Connections: st.Accepted, Open: st.Open + traffic.Open, BytesIn: st.BytesIn + traffic.BytesIn, BytesOut: st.BytesOut + traffic.BytesOut,
		}, count.Net{
			Closed: st.Closed + net.Closed, Failed: st.Failed + net.Failed, Reads: st.Reads + net.Reads, Writes: st.Writes + net.Writes, Waits: st.Waits,
			AcceptPauses: st.AcceptPauses, AcceptsHeld: st.AcceptsHeld, AcceptErrors: st.AcceptErrors, HighWater: st.HighWater, Pending: st.Pending,
			LagP99Micros: uint64(st.Lag.Quantile(0.99) / time.Microsecond), LagMaxMicros: uint64(st.Lag.Max / time.Microsecond), // #nosec G115 -- a loop's lag is not negative
		}
}

// epollConn is a connection of the epoll driver: the owner of a reactor's connection, and its session's transport.
type epollConn struct {
	pump   pump
	conn   *reactor.Conn
	loop   *epollLoop
	due    time.Duration // the deadline that the reactor knows, as Session.Due has it: never later than the session's; 0: none
	slot   int32         // index in loop.conns
	read   uint8         // the limit that the reactor knows, in KiB
	leaves bool          // for a goroutine, as soon as its output is written

	crossed bool // the client's FIN has crossed a final reply: the session learns of it when that is acknowledged
}

func (d *epollDriver) newConn(loop int, rc *reactor.Conn, now time.Time) reactor.Handler {
	l := &d.loops[loop]
	l.lastID += uint64(len(d.loops))
	listener := rc.Tag().(Listener)
	client := rc.RemoteAddr()
	info := session.ConnInfo{ID: l.lastID, Listener: listener.ListenerName(), Client: client, N: numberOf(d.cfg, listener, client.Addr())}
	if listener.Ungreeting() {
		return l.newSilent(rc, info, now)
	}
	c := &epollConn{conn: rc, loop: l, slot: int32(len(l.conns))} // #nosec G115 -- an index of connections, fewer than descriptors
	l.conns = append(l.conns, c)
	c.pump.greet(l.recorder, c, listener.SessionConfig(), info, now)
	c.arm()
	return c
}

// arm tells the reactor what the session waits for.
func (c *epollConn) arm() {
	// A deadline that moves later, as that of a client's silence does with every command, is left where it is: the timer then finds
	// nothing to do, once, and is armed again.
	if due := c.pump.session.Due(); due < c.due || c.due == 0 {
		c.due = due
		c.conn.SetDeadline(c.pump.session.Deadline())
	}
	want := c.pump.session.WantRead()
	if kib := uint8(want >> 10); kib != c.read { // #nosec G115 -- 64 KiB at most
		c.read = kib
		c.conn.SetReadLimit(want)
	}
}

// Data implements reactor.Handler.
func (c *epollConn) Data(now time.Time, p []byte) int {
	c.loop.recorder.env.Scratch.SetBusy(c.conn.Busy())
	n := c.pump.feed(c.loop.recorder, c, now, p, len(p) >= int(c.read)<<10)
	c.arm()
	return n
}

// EOF implements reactor.Handler.
func (c *epollConn) EOF(now time.Time) {
	if c.pump.crosses(c) {
		c.crossed = true
		c.conn.AwaitDrain(reactor.DrainPeer)
		c.conn.SetDeadline(now.Add(crossingTime))
		return
	}
	c.eof(now)
}

func (c *epollConn) eof(now time.Time) {
	crossed := c.crossed
	c.crossed, c.due = false, 0
	c.pump.eof(c.loop.recorder, c, now, crossed)
	c.arm()
}

// Hangup implements reactor.HangupHandler.
func (c *epollConn) Hangup(now time.Time) {
	c.pump.hangup(c.loop.recorder, c, now)
	c.arm()
}

// Timer implements reactor.Handler.
func (c *epollConn) Timer(now time.Time) {
	if c.crossed {
		c.eof(now)
		return
	}
	c.due = 0
	if due, replied := c.pump.advance(c.loop.recorder, c, now); replied {
		c.loop.recorder.shard.Late(c.loop.now().Sub(due))
	}
	c.arm()
}

// Drained implements reactor.Handler.
func (c *epollConn) Drained(now time.Time) {
	if c.crossed {
		c.eof(now)
		return
	}
	c.loop.recorder.env.Scratch.SetBusy(c.conn.Busy())
	c.pump.drained(c.loop.recorder, c, now)
	c.arm()
}

// Closed implements reactor.Handler.
func (c *epollConn) Closed(now time.Time, err error) {
	c.pump.closed(c.loop.recorder, c, now, err)
	c.forget()
}

func (c *epollConn) forget() {
	l := c.loop
	last := l.conns[len(l.conns)-1]
	l.conns[c.slot], last.slot = last, c.slot
	l.conns[len(l.conns)-1] = nil
	l.conns = l.conns[:len(l.conns)-1]
}

func (c *epollConn) write(p []byte) { c.conn.Write(p) }
func (c *epollConn) pause()         { c.conn.Pause() }
func (c *epollConn) resume()        { c.conn.Resume() }
func (c *epollConn) narrow()        { c.conn.ClampWindow(narrowWindow) }
func (c *epollConn) awaitDrain()    { c.conn.AwaitDrain(reactor.DrainKernel) }

func (c *epollConn) unread() int         { return c.conn.Unread() }
func (c *epollConn) unacknowledged() int { return c.conn.Unacknowledged() }
func (c *epollConn) takeError() error    { return c.conn.TakeError() }
func (c *epollConn) refused() bool       { return c.conn.Refused() }
func (c *epollConn) encrypted() bool     { return false }

func (c *epollConn) startTLS(f fault.TLSFault, hello bool) {
	c.leaves = true
	c.conn.Detach(func(_ time.Time, nc net.Conn, leftover []byte) {
		c.forget()
		c.loop.driver.tls.adopt(nc, &c.pump, c.conn.Loop(), f, hello, leftover)
	})
}

func (c *epollConn) Committed(ticket uint64, err error) {
	c.conn.Post(func(now time.Time) {
		c.pump.committed(c.loop.recorder, c, now, ticket, err)
		c.arm()
	})
}

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

// epollSilent is a connection that is never greeted.
type epollSilent struct {
	conn   *reactor.Conn
	loop   *epollLoop
	slot   int
	info   session.ConnInfo
	began  time.Time
	octets uint64
}

func (l *epollLoop) newSilent(rc *reactor.Conn, info session.ConnInfo, now time.Time) *epollSilent {
	m := &epollSilent{conn: rc, loop: l, slot: len(l.silent), info: info, began: now}
	l.silent = append(l.silent, m)
	rc.SetDeadline(now.Add(l.driver.cfg.MaxHold))
	return m
}

// Data implements reactor.Handler.
func (m *epollSilent) Data(_ time.Time, p []byte) int {
	m.octets += uint64(len(p))
	return len(p)
}

// EOF implements reactor.Handler.
func (m *epollSilent) EOF(time.Time) { m.conn.Close(reactor.CloseFIN) }

// Timer implements reactor.Handler.
func (m *epollSilent) Timer(time.Time) { m.conn.Close(reactor.CloseFIN) }

// Drained implements reactor.Handler.
func (m *epollSilent) Drained(time.Time) {}

// Closed implements reactor.Handler.
func (m *epollSilent) Closed(now time.Time, err error) {
	l := m.loop
	l.recorder.ungreeted(&m.info, m.began, now, m.octets, err)
	last := l.silent[len(l.silent)-1]
	l.silent[m.slot], last.slot = last, m.slot
	l.silent[len(l.silent)-1] = nil
	l.silent = l.silent[:len(l.silent)-1]
}
