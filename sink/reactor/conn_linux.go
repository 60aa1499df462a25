package reactor

import (
	"net"
	"net/netip"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"
)

// Conn is one accepted connection. Its methods may be called on the goroutine
// of its loop only (from its Handler, or a posted function), but for Post. After
// Closed they do nothing.
type Conn struct {
	l       *loop
	h       Handler
	ln      *Listener
	out     *bytebufferpool.ByteBuffer // output that the kernel hasn't taken yet, or nil
	in      *bytebufferpool.ByteBuffer // input that the Handler hasn't consumed yet, or nil
	take    func(now time.Time, nc net.Conn, leftover []byte)
	when    int64 // the deadline, in nanoseconds since the reactor's start; 0: none
	outOff  int32 // how much of out was sent
	inOff   int32 // how much of in was consumed
	fd      int32
	gen     uint32 // with fd, names the connection in an event
	slot    int32  // 1 + the index in the timer heap, or 0
	armed   uint32 // the events that epoll reports for fd
	readMax int32  // the most one Data call offers; while a CloseFIN lingers: how much more is discarded
	flags   flags
	errno   uint16 // why the connection failed
	remote  addr
}

type flags uint32

const (
	flagPaused    flags = 1 << iota // reading waits for Resume
	flagStopped                     // reading stopped for good
	flagChoked                      // reading waits for output to drain
	flagEOF                         // the peer's FIN was read
	flagHungup                      // the peer's FIN was reported by epoll
	flagShut                        // our FIN was sent
	flagHalf                        // to send FIN when output is drained
	flagFIN                         // CloseFIN
	flagRST                         // CloseRST
	flagAbort                       // CloseAbort
	flagDetach                      // to hand over when output is drained
	flagFailed                      // errno is set
	flagClosed                      // gone
	flagQueued                      // in loop.todo
	flagAwait                       // Drained was asked for
	flagAwaitPeer                   // ... by the peer's acknowledgement
	flagAckList                     // in loop.acks
	flagParked                      // taken out of epoll, which would report a hangup again and again
	flagUnix                        // a unix socket
	flagBatched                     // output waits for the end of the batch
	flagRefused                     // the kernel has refused output

	// The Handler gets no more calls but Closed.
	flagsEnding = flagFIN | flagRST | flagAbort | flagDetach | flagFailed | flagClosed
)

// Loop returns the index of the connection's loop, as in Reactor.Post.
func (c *Conn) Loop() int { return c.l.id }

// Busy returns about how many connections of its loop are busy in this turn:
// between two of their callbacks each other one may get one.
func (c *Conn) Busy() int { return c.l.busy }

// Listener returns the listener that accepted the connection.
func (c *Conn) Listener() *Listener { return c.ln }

// Tag returns the tag of that listener.
func (c *Conn) Tag() any { return c.ln.tag }

// RemoteAddr returns the peer's address, IPv4 addresses unmapped; on a unix
// socket the zero AddrPort.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote.addrPort() }

// LocalAddr returns the address that the peer connected to; on a unix socket,
// and after Closed, the zero AddrPort.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.flags&(flagClosed|flagUnix) != 0 {
		return netip.AddrPort{}
	}
	sa, err := unix.Getsockname(int(c.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	a := addrOfSockaddr(sa)
	return a.addrPort()
}

// Post runs fn on the connection's loop, unless the connection has ended by
// then. Any goroutine may call it.
func (c *Conn) Post(fn func(now time.Time)) {
	c.l.post(func(now time.Time) {
		if c.flags&flagsEnding == 0 {
			fn(now)
		}
	})
}

// Write sends p, at once or with the output of the other connections that had
// input in this turn of the loop, and returns how many octets of output the
// kernel hasn't taken yet. They were copied; p stays the caller's. An error ends
// the connection, and shows in Closed. After Close the output is dropped.
func (c *Conn) Write(p []byte) (pending int) {
	if c.flags&(flagsEnding|flagHalf|flagShut) != 0 {
		return 0
	}
	if c.flags&flagBatched != 0 {
		c.l.sendBatch() // it comes first
	}
	switch {
	case len(p) == 0:
	case c.out != nil:
		c.hold(p)
	case !c.l.postpone(c, p):
		c.send(p)
	}
	return c.Pending()
}

// hold keeps output until the kernel takes more.
func (c *Conn) hold(p []byte) {
	l := c.l
	if c.out == nil {
		c.out, c.outOff = l.r.outPool.Get(), 0
	}
	c.out.B = append(c.out.B, p...)
	l.st.Pending += int64(len(p))
	c.update(false)
	if c.flags&flagChoked == 0 && c.Pending() > l.r.highWater {
		c.flags |= flagChoked
		l.st.HighWater++
	}
}

// Pending returns how many octets of output the kernel hasn't taken yet.
func (c *Conn) Pending() int {
	if c.out == nil {
		return c.batched()
	}
	return len(c.out.B) - int(c.outOff)
}

// Refused says whether the kernel has refused output, so that the peer
// certainly never got it; it may be asked in Closed, too.
func (c *Conn) Refused() bool { return c.flags&flagRefused != 0 }

// Unread returns how many octets of input wait to be read, by a system call.
func (c *Conn) Unread() int {
	if c.flags&flagClosed != 0 {
		return 0
	}
	n, _ := unix.IoctlGetInt(int(c.fd), unix.SIOCINQ) // 0 with an error, of which reading will tell
	return n
}

// Unacknowledged returns how many octets of output the peer's kernel hasn't
// acknowledged (on a unix socket: about how many the peer hasn't read), by a
// system call.
func (c *Conn) Unacknowledged() int {
	if c.flags&flagClosed != 0 {
		return 0
	}
	n, _ := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQ) // 0 with an error, of which TakeError tells
	return n + c.Pending()
}

// ClampWindow bounds the window that the peer is shown from now on, in octets,
// by a system call. Nothing happens on a unix socket.
func (c *Conn) ClampWindow(octets int) {
	if c.flags&(flagClosed|flagUnix) == 0 {
		_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, octets)
	}
}

// TakeError returns the error that the socket has met and not told yet, by a
// system call: after the peer's FIN reading tells of none.
func (c *Conn) TakeError() error {
	if c.flags&flagClosed != 0 {
		return nil
	}
	n, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || n == 0 {
		return err
	}
	return unix.Errno(n)
}

// AwaitDrain asks for one call of Handler.Drained when all output that was
// written until then has come as far as d says. It comes after the running
// callback even if that is the case already.
func (c *Conn) AwaitDrain(d Drain) {
	if c.flags&flagsEnding != 0 {
		return
	}
	c.flags |= flagAwait
	if d == DrainPeer && c.flags&flagUnix == 0 {
		c.flags |= flagAwaitPeer
	}
	c.queue()
}

// Pause stops reading, and offering input, until Resume.
func (c *Conn) Pause() { c.flags |= flagPaused }

// Paused says whether the connection waits for Resume.
func (c *Conn) Paused() bool { return c.flags&flagPaused != 0 }

// Resume ends a pause after the running callback. Within Data, what Data
// returns decides: fewer octets consumed than offered pauses again.
func (c *Conn) Resume() {
	if c.flags&flagPaused != 0 {
		c.flags &^= flagPaused
		c.queue()
	}
}

// StopReading stops reading for good: once the socket's receive buffer is full
// the peer sees a zero window. Only Close, whose CloseFIN discards input, ends it.
func (c *Conn) StopReading() { c.flags |= flagStopped }

// SetReadLimit sets the most octets that one Data call offers: 1 to
// Config.ReadBuffer; anything else means Config.ReadBuffer, the default.
func (c *Conn) SetReadLimit(n int) {
	if n < 0 || n > len(c.l.buf)-batchInput {
		n = 0
	}
	if c.flags&flagsEnding == 0 {
		c.readMax = int32(n)
	}
}

// SetDeadline arms the connection's only timer: Handler.Timer is called once
// when t has passed, after the running callback at the earliest. A later call
// replaces t; the zero Time disarms.
func (c *Conn) SetDeadline(t time.Time) {
	if c.flags&flagsEnding != 0 {
		return
	}
	if t.IsZero() {
		c.when = 0
		return
	}
	c.setTimer(c.l.r.nanos(t))
}

func (c *Conn) setTimer(when int64) {
	when = max(when, 1)
	later := c.slot != 0 && c.when != 0 && when >= c.when // the slot is early enough, and needn't be looked at
	if c.when = when; !later {
		c.l.timers.set(c, when)
	}
}

// fail makes the connection end with errno after the running callback.
func (c *Conn) fail(errno unix.Errno) {
	if c.flags&(flagFailed|flagClosed) == 0 {
		c.flags |= flagFailed
		c.errno = uint16(errno) // #nosec G115 -- Linux has errnos below 4096
		c.queue()
	}
}

// refuse makes the connection end with the errno of a send that failed.
func (c *Conn) refuse(errno unix.Errno) {
	c.flags |= flagRefused
	c.fail(errno)
}

// queue makes the loop look at the connection at the end of its turn.
func (c *Conn) queue() {
	if c.flags&(flagQueued|flagClosed) == 0 {
		c.flags |= flagQueued
		c.l.todo = append(c.l.todo, c)
	}
}

// reads says whether input is to be read.
func (c *Conn) reads() bool {
	if c.flags&(flagEOF|flagRST|flagAbort|flagDetach|flagFailed|flagClosed) != 0 {
		return false
	}
	if c.flags&flagFIN != 0 {
		return c.readMax > 0
	}
	return c.flags&(flagPaused|flagStopped|flagChoked) == 0 && c.in == nil
}

// update tells epoll which events matter now. Input that isn't wanted stays
// armed until it really comes (drop), so that a pause in which the peer is
// quiet, the common case, costs no system call.
func (c *Conn) update(drop bool) {
	if c.flags&flagClosed != 0 {
		return
	}
	var want uint32
	if c.out != nil {
		want = unix.EPOLLOUT
	}
	if c.reads() || !drop && c.armed&unix.EPOLLIN != 0 {
		want |= unix.EPOLLIN
	}
	if c.flags&flagParked != 0 {
		if want == 0 {
			return
		}
		c.flags &^= flagParked
		c.control(unix.EPOLL_CTL_ADD, want|unix.EPOLLRDHUP)
		return
	}
	if c.flags&(flagEOF|flagHungup) == 0 {
		want |= unix.EPOLLRDHUP
	}
	if want != c.armed {
		c.control(unix.EPOLL_CTL_MOD, want)
	}
}

// park takes the connection out of epoll until update wants something again.
func (c *Conn) park() {
	if c.flags&(flagParked|flagClosed) == 0 {
		c.control(unix.EPOLL_CTL_DEL, 0)
		c.flags |= flagParked
	}
}

func (c *Conn) control(op int, events uint32) {
	l := c.l
	l.st.Controls++
	l.ev = unix.EpollEvent{Events: events, Fd: c.fd, Pad: int32(c.gen)} // #nosec G115 -- the same 32 bits come back, see dispatch
	if err := unix.EpollCtl(l.epfd, op, int(c.fd), &l.ev); err != nil {
		c.fail(errnoOf(err))
		return
	}
	c.armed = events
}

// flush sends pending output until the kernel takes no more.
func (c *Conn) flush() {
	l := c.l
	for c.out != nil {
		l.st.Writes++
		n, errno := send(c.fd, c.out.B[c.outOff:])
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			c.refuse(errno)
			return
		}
		l.st.BytesOut += uint64(n) // #nosec G115 -- what send wrote
		l.st.Pending -= int64(n)
		c.outOff += int32(n) // #nosec G115 -- output that waits is bounded by Config.HighWater, 1 GiB at most, and one write
		if int(c.outOff) == len(c.out.B) {
			l.r.outPool.Put(c.out)
			c.out, c.outOff = nil, 0
		} else if int(c.outOff) > len(c.out.B)/2 {
			c.out.B = c.out.B[:copy(c.out.B, c.out.B[c.outOff:])]
			c.outOff = 0
		}
		if c.flags&(flagFIN|flagRST|flagDetach) != 0 {
			c.setTimer(l.nowNanos + int64(l.r.drainTimeout))
		}
	}
	if c.flags&flagChoked != 0 && c.Pending() <= l.r.highWater/2 {
		c.flags &^= flagChoked
		c.queue()
	}
	if c.out == nil {
		c.queue()
	}
}

// release gives the buffers back.
func (c *Conn) release() {
	if c.out != nil {
		c.l.st.Pending -= int64(c.Pending())
		c.l.r.outPool.Put(c.out)
		c.out, c.outOff = nil, 0
	}
	c.releaseInput()
}

func (c *Conn) releaseInput() {
	if c.in != nil {
		c.l.r.inPool.Put(c.in)
		c.in, c.inOff = nil, 0
	}
}

func errnoOf(err error) unix.Errno {
	if errno, ok := err.(unix.Errno); ok {
		return errno
	}
	return unix.EIO
}
