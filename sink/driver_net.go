package sink

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// What the net driver allows a client that makes trouble; the same as package reactor's defaults.
const (
	lingerTime   = 2 * time.Second        // of a close: how long input is discarded after the FIN
	lingerBytes  = 64 << 10               // and how much of it
	writeTimeout = 10 * time.Second       // how long a client may take no output
	acceptPause  = 100 * time.Millisecond // after accept has failed for want of descriptors
)

// netDriver carries each connection on a goroutine of its own, over plain package net.
type netDriver struct {
	server *Server
	lastID atomic.Uint64
	shards []netCounters // connections are spread over them

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*netConn]struct{}
	leaving   bool // no new connections
	goroutine sync.WaitGroup
	closing   chan struct{} // closed when everything ends at once
	closeOnce sync.Once
}

// netCounters counts without sharing cache lines.
type netCounters struct {
	accepted, closed, failed, bytesIn, bytesOut, reads, writes, acceptPauses, acceptErrors atomic.Uint64

	_ [56]byte
}

func newNetDriver(s *Server) *netDriver {
	return &netDriver{
		server: s, shards: make([]netCounters, s.cfg.Loops),
		conns: make(map[*netConn]struct{}), closing: make(chan struct{}),
	}
}

func (d *netDriver) listen(l *boundListener) (net.Addr, error) {
	ln, err := net.Listen(l.network(), l.Address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners = append(d.listeners, ln)
	d.goroutine.Go(func() { d.accept(ln, l) })
	return ln.Addr(), nil
}

func (d *netDriver) accept(ln net.Listener, l *boundListener) {
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			d.open(nc, l)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			d.shards[0].acceptErrors.Add(1)
			if isOutOfResources(err) {
				d.shards[0].acceptPauses.Add(1)
			}
			select {
			case <-time.After(acceptPause):
			case <-d.closing:
				return
			}
		}
	}
}

// open starts the goroutine of a connection, unless the server is going away.
func (d *netDriver) open(nc net.Conn, l *boundListener) {
	id := d.lastID.Add(1)
	c := &netConn{
		nc: nc, driver: d, id: id, listener: l,
		recorder: d.server.newRecorder(int(id % uint64(len(d.shards)))),
		count:    &d.shards[id%uint64(len(d.shards))],
		wake:     make(chan struct{}, 1),
	}
	c.count.accepted.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving {
		c.count.closed.Add(1)
		_ = nc.Close()
		return
	}
	d.conns[c] = struct{}{}
	d.goroutine.Go(func() {
		c.serve()
		d.mu.Lock()
		delete(d.conns, c)
		d.mu.Unlock()
	})
}

func (d *netDriver) closeListeners() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving = true
	for _, ln := range d.listeners {
		_ = ln.Close() // removes a unix socket, too
	}
	d.listeners = nil
}

func (d *netDriver) shutdown(ctx context.Context) error {
	d.closeListeners()
	d.mu.Lock()
	for c := range d.conns {
		c.leave()
	}
	d.mu.Unlock()
	gone := make(chan struct{})
	go func() { d.goroutine.Wait(); close(gone) }()
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = d.close()
	<-gone
	return err
}

func (d *netDriver) close() error {
	d.closeListeners()
	d.closeOnce.Do(func() { close(d.closing) })
	d.mu.Lock()
	for c := range d.conns {
		_ = c.nc.Close()
	}
	d.mu.Unlock()
	d.goroutine.Wait()
	return nil
}

func (d *netDriver) counters() (sum DriverCounters) {
	for i := range d.shards {
		c := &d.shards[i]
		sum.Closed += c.closed.Load() // before accepted: a connection is accepted first
		sum.Accepted += c.accepted.Load()
		sum.Failed += c.failed.Load()
		sum.BytesIn += c.bytesIn.Load()
		sum.BytesOut += c.bytesOut.Load()
		sum.Reads += c.reads.Load()
		sum.Writes += c.writes.Load()
		sum.AcceptPauses += c.acceptPauses.Load()
		sum.AcceptErrors += c.acceptErrors.Load()
	}
	sum.Open = int64(sum.Accepted - sum.Closed)
	return sum
}

// netConn is a connection of the net driver, and its session's transport. All but leave belongs to its goroutine.
type netConn struct {
	peer     peer
	nc       net.Conn
	driver   *netDriver
	listener *boundListener
	recorder *recorder
	count    *netCounters
	id       uint64
	leaving  atomic.Bool   // the session shall know of the shutdown
	wake     chan struct{} // leaving was set

	told    bool // the session knows of the shutdown
	paused  bool
	drain   bool // the session awaits a drain
	ended   bool // close was called, with any mode but half
	mode    session.CloseMode
	failure error // of a write
}

// leave makes the goroutine tell its session of the shutdown. Any goroutine may call it.
func (c *netConn) leave() {
	c.leaving.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // ends a read under way
}

// serve drives the connection from its greeting to its end.
func (c *netConn) serve() {
	now := c.driver.server.now
	info := session.ConnInfo{ID: c.id, Listener: c.listener.name}
	if tcp, ok := c.nc.RemoteAddr().(*net.TCPAddr); ok {
		info.Client = unmapped(tcp.AddrPort())
	}
	c.peer.greet(c.recorder, c, c.listener.session, info, now())
	err := c.run()
	if err == nil {
		err = c.finish()
	} else {
		_ = c.nc.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosed
	}
	c.peer.closed(c.recorder, c, now(), err)
	if err != nil {
		c.count.failed.Add(1)
	}
	c.count.closed.Add(1)
}

// run goes on until the session wants the connection to end (nil) or it breaks.
func (c *netConn) run() error {
	var (
		now   = c.driver.server.now
		small [4 << 10]byte
		input []byte // read, but not taken yet
		large []byte // from largePool, while a body is read
		eof   bool
	)
	defer func() { releaseLarge(large) }()
	for {
		switch {
		case c.failure != nil:
			return c.failure
		case c.ended:
			return nil
		case c.leaving.Load() && !c.told:
			c.told = true
			c.peer.shutdown(c.recorder, c, now())
		case c.drain: // a write returns when the kernel has taken all
			c.drain = false
			c.peer.drained(c.recorder, c, now())
		case c.paused:
			if err := c.wait(); err != nil {
				return err
			}
		case len(input) > 0:
			input = input[c.peer.feed(c.recorder, c, now(), input):]
		case eof:
			// The session has been told, and wants neither input nor to end: only its own deadline goes on.
			if err := c.wait(); err != nil {
				return err
			}
		default:
			buf := small[:]
			if c.peer.session.WantRead() <= len(buf) {
				releaseLarge(large)
				large = nil
			} else {
				if large == nil {
					large = largePool.Get().(*[largeRead]byte)[:]
				}
				buf = large
			}
			n, err := c.read(buf, c.peer.session.Deadline())
			switch {
			case n > 0:
				input = buf[:n]
			case errors.Is(err, os.ErrDeadlineExceeded):
				c.advance()
			case err == io.EOF:
				eof = true
				c.peer.eof(c.recorder, c, now())
			case err != nil:
				return err
			}
		}
	}
}

// largeRead is how much of a body one read takes at most.
const largeRead = 64 << 10

var largePool = sync.Pool{New: func() any { return new([largeRead]byte) }}

func releaseLarge(buf []byte) {
	if buf != nil {
		largePool.Put((*[largeRead]byte)(buf))
	}
}

// read reads until deadline, or until leave is called.
func (c *netConn) read(buf []byte, deadline time.Time) (int, error) {
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if c.leaving.Load() && !c.told { // leave may have set its deadline just before ours
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.nc.Read(buf)
	c.count.reads.Add(1)
	c.count.bytesIn.Add(uint64(n))
	return n, err
}

// advance lets the session act if its deadline has come.
func (c *netConn) advance() {
	now := c.driver.server.now
	if due, replied := c.peer.advance(c.recorder, c, now()); replied {
		c.recorder.shard.Late(now().Sub(due))
	}
}

// wait waits, without reading, until the session's deadline or the shutdown.
func (c *netConn) wait() error {
	var due <-chan time.Time
	if deadline := c.peer.session.Deadline(); !deadline.IsZero() {
		timer := time.NewTimer(deadline.Sub(c.driver.server.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		c.advance()
	case <-c.wake:
	case <-c.driver.closing:
		return ErrClosed
	}
	return nil
}

// finish closes the connection as the session wants it.
func (c *netConn) finish() error {
	defer c.nc.Close()
	if c.mode == session.CloseRST {
		abort(c.nc)
		return nil
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	// Closing with unread input would send RST and destroy the last reply on its way.
	deadline, left := c.driver.server.now().Add(lingerTime), lingerBytes
	var discard [4 << 10]byte
	for left > 0 {
		if err := c.nc.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, err := c.nc.Read(discard[:])
		c.count.reads.Add(1)
		c.count.bytesIn.Add(uint64(n))
		left -= n
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !c.driver.server.now().Before(deadline) {
				return nil
			}
		case err != nil:
			return err
		}
	}
	return nil
}

func (c *netConn) write(p []byte) {
	if c.failure != nil || c.ended {
		return
	}
	_ = c.nc.SetWriteDeadline(c.driver.server.now().Add(writeTimeout))
	n, err := c.nc.Write(p)
	c.count.writes.Add(1)
	c.count.bytesOut.Add(uint64(n))
	c.failure = err
}

func (c *netConn) pause()      { c.paused = true }
func (c *netConn) resume()     { c.paused = false }
func (c *netConn) awaitDrain() { c.drain = true }

func (c *netConn) close(mode session.CloseMode) {
	if mode == session.CloseHalf {
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
			c.failure = half.CloseWrite()
		}
		return
	}
	c.ended, c.mode = true, mode
}
