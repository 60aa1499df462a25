package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// netConn is a connection of the net driver, and its session's transport. All but interrupt, leave and committed belongs to its
// goroutine.
type netConn struct {
	pump     pump
	raw      net.Conn // the connection, TLS or not
	nc       net.Conn // what the session talks over: raw, or TLS over wire
	wire     *wire    // below TLS; nil without
	driver   *netDriver
	recorder *recorder
	count    *netCounters
	info     session.ConnInfo
	signals  atomic.Int32 // what interrupt was called for and nobody has dealt with yet
	leaving  atomic.Bool  // the session shall know of the shutdown

	mu      sync.Mutex
	results []commitResult

	armed     time.Time // the read deadline by the server's clock; zero: none, or it has passed, or interrupt has replaced it
	limit     time.Time // the write deadline, by the real clock
	told      bool      // the session knows of the shutdown
	paused    bool
	drain     bool // the session awaits a drain
	hungUp    bool // the session knows of the client's FIN, which came in a pause
	handshake bool // the session awaits a TLS handshake
	hello     bool // ... which begins with what the session has left of the input
	fault     fault.TLSFault
	leftover  []byte // what came before the handshake: plaintext, or its beginning (hello)
	early     []byte // the beginning of the handshake that was read already
	reset     bool   // a planned RST in the handshake: whatever mode says
	ended     bool   // close was called, with any mode but half
	mode      session.CloseMode
	failure   error // of a write
}

type commitResult struct {
	ticket uint64
	err    error
}

// interrupt makes the goroutine look around. Any goroutine may call it.
func (c *netConn) interrupt() {
	c.signals.Add(1)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // ends a read, a handshake or a wait under way
}

// requestShutdown makes the goroutine tell its session of the shutdown. Any goroutine may call it.
func (c *netConn) requestShutdown() {
	c.leaving.Store(true)
	c.interrupt()
}

// Committed implements Committer.
func (c *netConn) Committed(ticket uint64, err error) {
	c.mu.Lock()
	c.results = append(c.results, commitResult{ticket, err})
	c.mu.Unlock()
	c.interrupt()
}

// serve drives the session, which has been greeted, to its end.
func (c *netConn) serve() {
	err := c.run()
	if err == nil {
		err = c.finish()
	} else {
		_ = c.raw.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosed
	}
	c.pump.closed(c.recorder, c, c.driver.cfg.Now(), err)
	c.gone(err)
}

// run goes on until the session wants the connection to end (nil) or it breaks.
func (c *netConn) run() error {
	var (
		now   = c.driver.cfg.Now
		small = smallPool.Get().(*[smallRead]byte)
		input = c.leftover // read, but not taken yet
		large []byte       // from largePool, while a body is read that small is too small for
		full  bool         // the last read has filled its buffer
		eof   bool
	)
	defer func() { releaseLarge(large); smallPool.Put(small) }()
	c.leftover = nil
	for {
		c.catchUp()
		if !c.ended { // at the end, what is left leaves with the farewell
			c.flush()
		}
		switch {
		case c.failure != nil:
			return c.failure
		case c.ended:
			return nil
		case c.drain: // a write returns when the kernel has taken all
			c.drain = false
			runtime.Gosched() // the session has done its share
			c.pump.drained(c.recorder, c, now())
		case c.paused:
			if err := c.wait(); err != nil {
				return err
			}
		case c.handshake && c.hello:
			c.hello, c.early, input = false, bytes.Clone(input), nil
		case len(input) > 0:
			input = input[c.pump.feed(c.recorder, c, now(), input, full):]
		case c.handshake:
			c.handshake = false
			if err := c.shakeHands(); err != nil {
				return err
			}
		case eof:
			// The session has been told, and wants neither input nor to end: only its own deadline goes on.
			if err := c.wait(); err != nil {
				return err
			}
		default:
			buf := small[:]
			if want := c.pump.session.WantRead(); want <= len(buf) {
				buf = buf[:want]
				releaseLarge(large)
				large = nil
			} else {
				if large == nil && full {
					large = largePool.Get().(*[largeRead]byte)[:]
				}
				if large != nil {
					buf = large
				}
			}
			n, err := c.read(buf, c.pump.session.Deadline())
			if full = n == len(buf); full {
				runtime.Gosched() // a client that always has more must not keep the others waiting
			}
			switch {
			case n > 0:
				input = buf[:n]
			case isTimeout(err):
				c.advance()
			case err == io.EOF, err == io.ErrUnexpectedEOF: // of TLS: without its farewell
				eof = true
				crossed := c.pump.crosses(c)
				if crossed {
					awaitAcknowledged(c.raw, crossingTime, c.driver.closing)
				}
				c.pump.eof(c.recorder, c, now(), crossed)
			case err != nil:
				return err
			}
		}
	}
}

// catchUp deals with what other goroutines have left.
func (c *netConn) catchUp() {
	if c.signals.Load() == 0 {
		return
	}
	c.signals.Store(0) // before looking: what comes now is seen now or the next time
	c.armed = time.Time{}
	now := c.driver.cfg.Now
	c.mu.Lock()
	results := c.results
	c.results = nil
	c.mu.Unlock()
	for _, r := range results {
		c.pump.committed(c.recorder, c, now(), r.ticket, r.err)
	}
	if c.leaving.Load() && !c.told && !c.ended {
		c.told = true
		c.pump.shutdown(c.recorder, c, now())
	}
}

// How much one read takes at most: of commands, and of a body once it has shown that it is large.
const (
	smallRead = 4 << 10
	largeRead = 64 << 10
)

var (
	smallPool = sync.Pool{New: func() any { return new([smallRead]byte) }}
	largePool = sync.Pool{New: func() any { return new([largeRead]byte) }}
)

func releaseLarge(buf []byte) {
	if buf != nil {
		largePool.Put((*[largeRead]byte)(buf))
	}
}

// arm sets the read deadline, unless an earlier one stands, whose coming does no harm. It reports whether interrupt was called, whose
// deadline this one may have replaced.
func (c *netConn) arm(deadline time.Time) (interrupted bool, err error) {
	if c.armed.IsZero() || !deadline.IsZero() && deadline.Before(c.armed) {
		c.armed = deadline
		err = c.raw.SetReadDeadline(c.real(deadline))
	}
	return c.signals.Load() != 0, err
}

// real turns a time of the server's clock, which may be off, into one of the real clock, which deadlines go by.
func (c *netConn) real(deadline time.Time) time.Time {
	if deadline.IsZero() {
		return deadline
	}
	return time.Now().Add(deadline.Sub(c.driver.cfg.Now()))
}

// read reads until deadline, or until interrupt is called.
func (c *netConn) read(buf []byte, deadline time.Time) (int, error) {
	if interrupted, err := c.arm(deadline); err != nil {
		return 0, err
	} else if interrupted {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.nc.Read(buf)
	if c.nc == c.raw { // TLS is counted below it
		c.count.read(n)
	}
	if err != nil { // the deadline, for one
		c.armed = time.Time{}
	}
	return n, err
}

// advance lets the session act if its deadline has come.
func (c *netConn) advance() {
	now := c.driver.cfg.Now
	if due, replied := c.pump.advance(c.recorder, c, now()); replied {
		c.flush()
		c.recorder.shard.Late(now().Sub(due))
	}
}

// wait waits, without reading, until the session's deadline, an interrupt, or the end of the connection.
func (c *netConn) wait() error {
	interrupted, err := c.arm(c.pump.session.Deadline())
	if err != nil || interrupted {
		return err
	}
	hungUp := func() {
		if !c.hungUp {
			c.hungUp = true
			c.pump.hangup(c.recorder, c, c.driver.cfg.Now())
		}
	}
	if err := awaitFailure(c.raw, hungUp); !isTimeout(err) {
		return err
	}
	c.armed = time.Time{}
	c.advance()
	return nil
}

// finish closes the connection as the session wants it.
func (c *netConn) finish() error {
	defer c.raw.Close()
	if c.mode == session.CloseRST || c.reset {
		if c.flush(); c.failure != nil {
			return c.failure
		}
		awaitAcknowledged(c.raw, c.driver.cfg.WriteTimeout, c.driver.closing)
		abort(c.raw)
		return nil
	}
	if err := c.closeWrite(); err != nil {
		return err
	}
	// Closing with unread input would send RST and destroy the last reply on its way.
	err := c.discard(c.driver.cfg.Now().Add(lingerTime), lingerBytes)
	if c.nc != c.raw && errors.Is(err, syscall.ECONNRESET) {
		return nil // the client has left our TLS farewell unread, as most do
	}
	return err
}

// closeWrite shuts the sending side down.
func (c *netConn) closeWrite() error {
	if secure, ok := c.nc.(*tls.Conn); ok {
		c.wire.hold()
		_ = secure.CloseWrite() // its farewell; the FIN that follows says as much
		if last, ok := c.raw.(lastWriter); ok {
			c.limitWrites()
			return c.wire.releaseLast(last)
		}
		if c.flush(); c.failure != nil {
			return c.failure
		}
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// discard reads, below TLS, and throws away until the client closes, the deadline, or a number of octets.
func (c *netConn) discard(deadline time.Time, most int) error {
	buf := smallPool.Get().(*[smallRead]byte)
	defer smallPool.Put(buf)
	for most > 0 {
		if err := c.raw.SetReadDeadline(c.real(deadline)); err != nil {
			return err
		}
		n, err := c.raw.Read(buf[:])
		c.count.read(n)
		most -= n
		switch {
		case err == io.EOF:
			return nil
		case isTimeout(err):
			if !c.driver.cfg.Now().Before(deadline) {
				return nil
			}
		case err != nil:
			return err
		}
	}
	return nil
}

// ignore accepts a connection and never greets it, until the client or the patience ends.
func (c *netConn) ignore() {
	now := c.driver.cfg.Now
	began := now()
	deadline, octets := began.Add(c.driver.cfg.MaxHold), uint64(0)
	var err error
	var buf [4 << 10]byte
	for err == nil && !c.leaving.Load() && now().Before(deadline) {
		n := 0
		c.signals.Store(0)
		n, err = c.read(buf[:], deadline)
		octets += uint64(n) // #nosec G115 -- what a Read returned: not negative (io.Reader)
		if isTimeout(err) {
			err = nil
		}
	}
	if err == io.EOF {
		err = nil
	}
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosed
	}
	_ = c.raw.Close()
	c.recorder.ungreeted(&c.info, began, now(), octets, err)
	c.gone(err)
}

func (c *netConn) write(p []byte) {
	if c.failure != nil || c.ended {
		return
	}
	if c.nc == c.raw {
		c.limitWrites()
		n, err := c.nc.Write(p)
		c.count.wrote(n)
		c.failure = err
		return
	}
	c.wire.hold()
	if _, err := c.nc.Write(p); err != nil {
		c.failure = err
	}
	if c.wire.full() {
		c.flush()
	}
}

// flush writes what was held back.
func (c *netConn) flush() {
	if c.wire == nil || !c.wire.held {
		return
	}
	c.limitWrites()
	if err := c.wire.release(); c.failure == nil {
		c.failure = err
	}
}

// limitWrites sets the deadline of the write that follows, unless one stands that is good enough: writes on the heels of each other
// don't move the runtime's timer each time, and wait for the client an eighth shorter at most.
func (c *netConn) limitWrites() {
	now, timeout := time.Now(), c.driver.cfg.WriteTimeout
	if c.limit.Sub(now) > timeout-timeout/8 {
		return
	}
	c.limit = now.Add(timeout)
	_ = c.raw.SetWriteDeadline(c.limit)
}

func (c *netConn) pause()      { c.paused = true }
func (c *netConn) resume()     { c.paused = false }
func (c *netConn) narrow()     { clampWindow(c.raw, narrowWindow) }
func (c *netConn) awaitDrain() { c.drain = true }

func (c *netConn) unread() int         { return unreadInput(c.raw) }
func (c *netConn) unacknowledged() int { return unacknowledged(c.raw) }
func (c *netConn) takeError() error    { return takeError(c.raw) }
func (c *netConn) refused() bool       { return c.failure != nil }
func (c *netConn) encrypted() bool     { return c.nc != c.raw }

func (c *netConn) startTLS(f fault.TLSFault, hello bool) {
	c.handshake, c.fault, c.hello = true, f, hello
}

func (c *netConn) close(mode session.CloseMode) {
	if mode == session.CloseHalf {
		c.failure = c.closeWrite()
		return
	}
	c.ended, c.mode = true, mode
}
