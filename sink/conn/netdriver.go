package conn

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// What the net driver allows a client that makes trouble; the same as package reactor's defaults.
const (
	lingerTime  = 2 * time.Second        // of a close: how long input is discarded after the FIN
	lingerBytes = 64 << 10               // and how much of it
	acceptPause = 100 * time.Millisecond // after accept has failed for want of descriptors
)

// narrowWindow is the window of a client that is read slowly, in octets: what it is shown at first on most networks. With less, a client whose segments are
// as large as those of a loopback device would send by the timer that probes a closed window, and by nothing else.
const narrowWindow = 64 << 10

// netDriver carries each connection on a goroutine of its own, over plain package net. The epoll driver hands its TLS connections
// over to one.
type netDriver struct {
	cfg    *Config
	rooms  rooms // those of the epoll driver, if it has handed the connections over
	lastID atomic.Uint64
	shards []netCounters // connections are spread over them

	mu        sync.Mutex
	listeners map[*netListener]struct{}
	conns     map[*netConn]struct{}
	idle      []chan job // of workers that wait for a connection, the last one to become idle last
	leaving   bool       // no new connections
	goroutine sync.WaitGroup
	closing   chan struct{} // closed when everything ends at once
	closeOnce sync.Once

	ballastOnce sync.Once
	ballast     []byte
}

// netCounters counts without sharing cache lines.
type netCounters struct {
	accepted, adopted, closed, failed, bytesIn, bytesOut, reads, writes, acceptPauses, acceptsHeld, acceptErrors atomic.Uint64

	_ [40]byte
}

func (c *netCounters) read(n int) {
	c.reads.Add(1)
	c.bytesIn.Add(uint64(n)) // #nosec G115 -- what a Read returned: not negative (io.Reader)
}

func (c *netCounters) wrote(n int) {
	c.writes.Add(1)
	c.bytesOut.Add(uint64(n)) // #nosec G115 -- what a Write returned: not negative (io.Writer)
}

func newNetDriver(cfg *Config, r rooms) *netDriver {
	return &netDriver{
		cfg: cfg, rooms: r, shards: make([]netCounters, cfg.Loops),
		listeners: make(map[*netListener]struct{}), conns: make(map[*netConn]struct{}), closing: make(chan struct{}),
	}
}

// netListener is an open listener. Its accept gate stands open, or is shut.
type netListener struct {
	net.Listener
	inherited bool
	driver    *netDriver
	done      chan struct{} // closed at its end
	once      sync.Once

	mu   sync.Mutex
	gate chan struct{} // closed while it stands open
}

func (d *netDriver) Listen(l Listener, at Place, receiveBuffer int) (Socket, error) {
	ln, err := at.listen()
	if err != nil {
		return nil, err
	}
	if receiveBuffer > 0 {
		setReceiveBuffer(ln, receiveBuffer)
	}
	open := &netListener{Listener: ln, inherited: at.Inherited != nil, driver: d, done: make(chan struct{}), gate: make(chan struct{})}
	close(open.gate)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners[open] = struct{}{}
	d.goroutine.Go(func() { d.accept(open, l) })
	return open, nil
}

func (ln *netListener) SetReceiveBuffer(octets int) { setReceiveBuffer(ln.Listener, octets) }

func (ln *netListener) SetAccepting(accepting bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	deadline := time.Time{}
	if accepting {
		setBacklog(ln.Listener, defaultBacklog)
		close(ln.gate)
	} else {
		ln.gate = make(chan struct{})
		deadline = time.Unix(1, 0) // ends an accept under way
	}
	if l, ok := ln.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(deadline)
	}
	if !accepting {
		setBacklog(ln.Listener, shutBacklog)
	}
}

// The kernel's queue of connections that wait to be accepted.
const (
	defaultBacklog = 4096
	shutBacklog    = 1 // while nobody accepts: it is soon full
)

// over reports whether the listener has come to its end.
func (ln *netListener) over() bool {
	select {
	case <-ln.done:
		return true
	default:
		return false
	}
}

func (ln *netListener) open() <-chan struct{} {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.gate
}

func (ln *netListener) Close() {
	ln.driver.mu.Lock()
	delete(ln.driver.listeners, ln)
	ln.driver.mu.Unlock()
	ln.end(ln.inherited)
}

// end closes the socket. Whether an inherited one is to refuse what comes has to be said.
func (ln *netListener) end(refusing bool) {
	ln.once.Do(func() {
		close(ln.done)
		if refusing {
			refuse(ln.Listener)
		}
		_ = ln.Listener.Close() // removes a unix socket, too
	})
}

func (d *netDriver) accept(ln *netListener, l Listener) {
	for {
		select {
		case <-ln.open():
		case <-ln.done:
			return
		}
		nc, err := ln.Accept()
		switch {
		case err == nil:
			if !d.admit(ln) {
				_ = nc.Close()
				return
			}
			d.open(nc, l)
		case errors.Is(err, net.ErrClosed), ln.over():
			return
		case isTimeout(err): // the gate was shut
		default:
			d.shards[0].acceptErrors.Add(1)
			if isOutOfResources(err) {
				d.shards[0].acceptPauses.Add(1)
			}
			select {
			case <-time.After(acceptPause):
			case <-ln.done:
				return
			}
		}
	}
}

// admit waits until there is room for a connection that was accepted, and reports whether the listener is open still.
func (d *netDriver) admit(ln *netListener) bool {
	if d.rooms.Take() {
		return true
	}
	d.shards[0].acceptsHeld.Add(1)
	return d.rooms.await(ln.done)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// open starts the goroutine of a connection, unless the server is going away.
func (d *netDriver) open(nc net.Conn, l Listener) {
	id := d.lastID.Add(1)
	c := d.newConn(nc, int(id%uint64(len(d.shards)))) // #nosec G115 -- below len(d.shards)
	c.info = session.ConnInfo{ID: id, Listener: l.ListenerName()}
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.info.Client = unmapped(tcp.AddrPort())
	}
	c.info.N = numberOf(d.cfg, l, c.info.Client.Addr()) // even if nobody greets it
	c.count.accepted.Add(1)
	if !d.start(c, func() {
		if l.Ungreeting() {
			c.ignore()
			return
		}
		c.pump.greet(c.recorder, c, l.SessionConfig(), c.info, d.cfg.Now())
		c.serve()
	}) {
		c.gone(nil)
		_ = nc.Close()
	}
}

// gone counts the end of a connection, and makes room for another.
func (c *netConn) gone(err error) {
	if err != nil {
		c.count.failed.Add(1)
	}
	c.count.closed.Add(1)
	c.driver.rooms.Leave()
}

// adopt goes on with a connection whose session was driven by somebody else, and now wants a TLS handshake.
func (d *netDriver) adopt(nc net.Conn, p *pump, shard int, f fault.TLSFault, hello bool, leftover []byte) {
	c := d.newConn(nc, shard)
	c.pump = *p
	c.pump.session.Rebind(&c.recorder.env)
	c.handshake, c.fault, c.hello, c.leftover = true, f, hello, leftover
	c.count.adopted.Add(1)
	if !d.start(c, c.serve) {
		c.leaving.Store(true)
		_ = nc.Close()
		c.pump.closed(c.recorder, c, d.cfg.Now(), ErrClosed)
		c.gone(nil)
	}
}

func (d *netDriver) newConn(nc net.Conn, shard int) *netConn {
	return &netConn{
		raw: nc, nc: nc, driver: d, recorder: newRecorder(d.cfg, shard), count: &d.shards[shard],
	}
}

// ballastSize is that of memory that is never touched, and so takes none: it only makes the heap look larger to the collector, which runs when the heap
// has doubled. A handshake leaves 50 KiB of garbage and next to nothing that lives: without ballast the collector ran every 50 of
// them, to find a heap of 1 MiB; with it, every 200.
const ballastSize = 8 << 20

// growHeap allocates the ballast, before the first handshake.
func (d *netDriver) growHeap() {
	d.ballastOnce.Do(func() { d.ballast = make([]byte, ballastSize) })
}

// job is a connection and what drives it to its end.
type job struct {
	conn  *netConn
	serve func()
}

// maxIdle is how many goroutines wait for further connections at most. One that has shaken hands before has the stack for it.
const maxIdle = 32

// start runs serve on a goroutine, unless the driver is going away.
func (d *netDriver) start(c *netConn, serve func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving {
		return false
	}
	d.conns[c] = struct{}{}
	if n := len(d.idle); n > 0 {
		d.idle[n-1] <- job{c, serve}
		d.idle = d.idle[:n-1]
		return true
	}
	d.goroutine.Go(func() { d.serveAll(job{c, serve}) })
	return true
}

// serveAll serves one connection after the other, until there are idle workers enough or the driver is going away.
func (d *netDriver) serveAll(j job) {
	next := make(chan job, 1)
	for ok := true; ok; j, ok = <-next {
		j.serve()
		d.mu.Lock()
		delete(d.conns, j.conn)
		if d.leaving || len(d.idle) >= maxIdle {
			d.mu.Unlock()
			return
		}
		d.idle = append(d.idle, next)
		d.mu.Unlock()
		j = job{} // it is garbage while this waits
	}
}

// announceShutdown closes the listeners and tells every session that the sink is going away.
func (d *netDriver) announceShutdown() {
	d.closeListeners()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.requestShutdown()
	}
}

func (d *netDriver) closeListeners() {
	d.mu.Lock()
	d.leaving = true
	listeners := d.listeners
	d.listeners = map[*netListener]struct{}{}
	for _, next := range d.idle {
		close(next)
	}
	d.idle = nil
	d.mu.Unlock()
	for ln := range listeners {
		ln.end(false)
	}
}

func (d *netDriver) Shutdown(ctx context.Context) error {
	d.announceShutdown()
	gone := make(chan struct{})
	go func() { d.goroutine.Wait(); close(gone) }()
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = d.Close()
	<-gone
	return err
}

func (d *netDriver) Close() error {
	d.closeListeners()
	d.closeOnce.Do(func() { close(d.closing) })
	d.mu.Lock()
	for c := range d.conns {
		_ = c.raw.Close()
	}
	d.mu.Unlock()
	d.goroutine.Wait()
	return nil
}

func (d *netDriver) Counters() (traffic count.Traffic, net count.Net) {
	for i := range d.shards {
		c := &d.shards[i]
		closed := c.closed.Load() // before accepted: a connection is accepted first
		net.Closed += closed
		traffic.Open += int64(c.accepted.Load()) + int64(c.adopted.Load()) - int64(closed) // #nosec G115 -- counts of connections never get near 2^63
		traffic.Connections += c.accepted.Load()
		net.Failed += c.failed.Load()
		traffic.BytesIn += c.bytesIn.Load()
		traffic.BytesOut += c.bytesOut.Load()
		net.Reads += c.reads.Load()
		net.Writes += c.writes.Load()
		net.AcceptPauses += c.acceptPauses.Load()
		net.AcceptsHeld += c.acceptsHeld.Load()
		net.AcceptErrors += c.acceptErrors.Load()
	}
	return traffic, net
}
