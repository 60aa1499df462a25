package sink

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
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
	peer     peer
	raw      net.Conn // the connection, TLS or not
	nc       net.Conn // what the session talks over: raw, or TLS over it
	driver   *netDriver
	recorder *recorder
	count    *netCounters
	info     session.ConnInfo
	signals  atomic.Int32 // what interrupt was called for and nobody has dealt with yet
	leaving  atomic.Bool  // the session shall know of the shutdown

	mu      sync.Mutex
	results []commitResult

	told      bool // the session knows of the shutdown
	paused    bool
	drain     bool // the session awaits a drain
	handshake bool // the session awaits a TLS handshake
	fault     fault.TLSFault
	leftover  []byte // plaintext that came before the handshake
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

// leave makes the goroutine tell its session of the shutdown. Any goroutine may call it.
func (c *netConn) leave() {
	c.leaving.Store(true)
	c.interrupt()
}

// committed implements committer.
func (c *netConn) committed(ticket uint64, err error) {
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
	c.peer.closed(c.recorder, c, c.driver.server.now(), err)
	if err != nil {
		c.count.failed.Add(1)
	}
	c.count.closed.Add(1)
}

// run goes on until the session wants the connection to end (nil) or it breaks.
func (c *netConn) run() error {
	var (
		now   = c.driver.server.now
		small = smallPool.Get().(*[smallRead]byte)
		input = c.leftover // read, but not taken yet
		large []byte       // from largePool, while a body is read that small is too small for
		full  bool         // the last read has filled its buffer
		eof   bool
	)
	defer func() { releaseLarge(large); smallPool.Put(small) }()
	c.leftover = nil
	for {
		c.attend()
		switch {
		case c.failure != nil:
			return c.failure
		case c.ended:
			return nil
		case c.drain: // a write returns when the kernel has taken all
			c.drain = false
			c.peer.drained(c.recorder, c, now())
		case c.paused:
			if err := c.wait(); err != nil {
				return err
			}
		case len(input) > 0:
			input = input[c.peer.feed(c.recorder, c, now(), input):]
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
			if c.peer.session.WantRead() <= len(buf) {
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
			n, err := c.read(buf, c.peer.session.Deadline())
			full = n == len(buf)
			switch {
			case n > 0:
				input = buf[:n]
			case isTimeout(err):
				c.advance()
			case err == io.EOF, err == io.ErrUnexpectedEOF: // of TLS: without its farewell
				eof = true
				c.peer.eof(c.recorder, c, now())
			case err != nil:
				return err
			}
		}
	}
}

// attend deals with what other goroutines have left.
func (c *netConn) attend() {
	if c.signals.Load() == 0 {
		return
	}
	c.signals.Store(0) // before looking: what comes now is seen now or the next time
	now := c.driver.server.now
	c.mu.Lock()
	results := c.results
	c.results = nil
	c.mu.Unlock()
	for _, r := range results {
		c.peer.committed(c.recorder, c, now(), r.ticket, r.err)
	}
	if c.leaving.Load() && !c.told && !c.ended {
		c.told = true
		c.peer.shutdown(c.recorder, c, now())
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

// arm sets the read deadline. It reports whether interrupt was called, whose deadline this one may have replaced.
func (c *netConn) arm(deadline time.Time) (interrupted bool, err error) {
	err = c.raw.SetReadDeadline(c.real(deadline))
	return c.signals.Load() != 0, err
}

// real turns a time of the server's clock, which may be off, into one of the real clock, which deadlines go by.
func (c *netConn) real(deadline time.Time) time.Time {
	if deadline.IsZero() {
		return deadline
	}
	return time.Now().Add(deadline.Sub(c.driver.server.now()))
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
	return n, err
}

// advance lets the session act if its deadline has come.
func (c *netConn) advance() {
	now := c.driver.server.now
	if due, replied := c.peer.advance(c.recorder, c, now()); replied {
		c.recorder.shard.Late(now().Sub(due))
	}
}

// wait waits, without reading, until the session's deadline, an interrupt, or the end of the connection.
func (c *netConn) wait() error {
	interrupted, err := c.arm(c.peer.session.Deadline())
	if err != nil || interrupted {
		return err
	}
	if err := awaitFailure(c.raw); !isTimeout(err) {
		return err
	}
	c.advance()
	return nil
}

// shakeHands does the handshake that the session asked for, or what a fault makes of it, and tells the session.
func (c *netConn) shakeHands() error {
	var info session.TLSInfo
	var err error
	switch c.fault {
	case fault.TLSGarbage:
		err = c.spoil(tlsGarbage)
	case fault.TLSRefused:
		err = c.spoil(tlsRefusal)
	case fault.TLSReset:
		if err = c.hear(); err == nil {
			err = errTLSFault
		}
		c.reset = true
	case fault.TLSStall:
		for err == nil && !c.ended {
			err = c.hear()
		}
	default:
		info, err = c.secure()
	}
	if c.ended { // by its deadline, or the shutdown
		return nil
	}
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	c.attend()
	c.peer.tlsDone(c.recorder, c, c.driver.server.now(), info, err)
	return nil
}

// errTLSFault is the planned end of a handshake.
var errTLSFault = errors.New("handshake spoilt as planned")

// tlsGarbage is no TLS record: those begin with their type, 20 to 24 (RFC 8446 section 5.1).
var tlsGarbage = []byte("\x00\xff\x80garbage instead of a handshake\x00\xff\x80\r\n")

// tlsRefusal is a record of type alert (21) in TLS 1.2's wire version: fatal (2), handshake_failure (40); RFC 8446 section 6.
var tlsRefusal = []byte{21, 3, 3, 0, 2, 2, 40}

// spoil answers the client's hello with these octets, and ends the handshake.
func (c *netConn) spoil(answer []byte) error {
	if err := c.hear(); err != nil || c.ended {
		return err
	}
	c.write(answer)
	return errTLSFault
}

// hear reads what the client says in a handshake that is spoilt. The error is the client's end; without one it has said something, or
// the session has lost its patience.
func (c *netConn) hear() error {
	var buf [4 << 10]byte
	for {
		n, err := c.read(buf[:], c.peer.session.Deadline())
		if n > 0 {
			return nil
		}
		if !isTimeout(err) {
			return err
		}
		c.attend()
		c.advance()
		if c.ended {
			return nil
		}
	}
}

// secure does a handshake in earnest, though perhaps with a faulty certificate.
func (c *netConn) secure() (session.TLSInfo, error) {
	config, err := c.driver.server.certificates.profile(c.fault)
	if err != nil {
		return session.TLSInfo{}, err
	}
	secure := tls.Server(countedConn{c.raw, c.count}, config)
	interrupted, err := c.arm(c.peer.session.Deadline())
	if err == nil && interrupted {
		err = os.ErrDeadlineExceeded
	}
	if err == nil {
		_ = c.raw.SetWriteDeadline(time.Now().Add(c.driver.server.writeTimeout()))
		err = secure.Handshake()
	}
	if err != nil {
		if isTimeout(err) {
			c.attend()
			c.advance()
		}
		return session.TLSInfo{}, err
	}
	c.nc = secure
	state := secure.ConnectionState()
	return session.TLSInfo{
		Version: tls.VersionName(state.Version), Cipher: cipherName(state.CipherSuite),
		ServerName: state.ServerName, Resumed: state.DidResume,
	}, nil
}

// cipherNames spares tls.CipherSuiteName, which makes a list of all suites whenever it is called.
var cipherNames = func() map[uint16]string {
	names := make(map[uint16]string)
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		names[suite.ID] = suite.Name
	}
	return names
}()

func cipherName(id uint16) string {
	if name, ok := cipherNames[id]; ok {
		return name
	}
	return tls.CipherSuiteName(id)
}

// countedConn counts what goes over the wire.
type countedConn struct {
	net.Conn
	count *netCounters
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.count.read(n)
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.count.wrote(n)
	return n, err
}

// finish closes the connection as the session wants it.
func (c *netConn) finish() error {
	defer c.raw.Close()
	if c.mode == session.CloseRST || c.reset {
		awaitAcknowledged(c.raw, c.driver.server.writeTimeout(), c.driver.closing)
		abort(c.raw)
		return nil
	}
	if err := c.closeWrite(); err != nil {
		return err
	}
	// Closing with unread input would send RST and destroy the last reply on its way.
	err := c.discard(c.driver.server.now().Add(lingerTime), lingerBytes)
	if c.nc != c.raw && errors.Is(err, syscall.ECONNRESET) {
		return nil // the client has left our TLS farewell unread, as most do
	}
	return err
}

// closeWrite shuts the sending side down.
func (c *netConn) closeWrite() error {
	if secure, ok := c.nc.(*tls.Conn); ok {
		_ = secure.CloseWrite() // its farewell; the FIN that follows says as much
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
			if !c.driver.server.now().Before(deadline) {
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
	now := c.driver.server.now
	began := now()
	deadline, octets := began.Add(c.driver.server.maxHold()), uint64(0)
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
	if err != nil {
		c.count.failed.Add(1)
	}
	c.count.closed.Add(1)
}

func (c *netConn) write(p []byte) {
	if c.failure != nil || c.ended {
		return
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.driver.server.writeTimeout()))
	n, err := c.nc.Write(p)
	if c.nc == c.raw {
		c.count.wrote(n)
	}
	c.failure = err
}

func (c *netConn) pause()      { c.paused = true }
func (c *netConn) resume()     { c.paused = false }
func (c *netConn) awaitDrain() { c.drain = true }

func (c *netConn) startTLS(f fault.TLSFault) { c.handshake, c.fault = true, f }

func (c *netConn) close(mode session.CloseMode) {
	if mode == session.CloseHalf {
		c.failure = c.closeWrite()
		return
	}
	c.ended, c.mode = true, mode
}
