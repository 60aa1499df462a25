package reactor

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Close ends the connection, or its output, as mode says, after the running
// callback. Input that wasn't consumed is dropped, but for CloseHalf. A later
// Close can only make the end more abrupt: from CloseHalf to any other, then
// from CloseFIN to CloseRST or CloseAbort.
func (c *Conn) Close(mode CloseMode) {
	if c.flags&(flagClosed|flagFailed|flagDetach|flagAbort) != 0 {
		return
	}
	switch mode {
	case CloseHalf:
		c.flags |= flagHalf
	case CloseFIN:
		if c.flags&(flagFIN|flagRST) != 0 {
			return
		}
		c.flags |= flagFIN
		c.readMax = int32(min(c.l.r.lingerBytes, 1<<30)) // #nosec G115 -- at most 2^30, and New refuses a negative Config.LingerBytes
		c.setTimer(c.l.nowNanos + int64(c.l.r.drainTimeout))
	case CloseRST:
		if c.flags&flagRST != 0 {
			return
		}
		c.flags = c.flags&^flagFIN | flagRST
		c.setTimer(c.l.nowNanos + int64(c.l.r.drainTimeout))
	default:
		c.flags |= flagAbort
	}
	if mode != CloseHalf {
		c.releaseInput()
	}
	c.queue()
}

// Detach takes the connection out of the reactor once all output has reached
// the kernel, and hands it over: take is called on the loop's goroutine, which
// it must not hold up, with the socket as a net.Conn and the input that was
// offered but not consumed; both are the callee's. Closed is then never
// called. If it can't be done (the peer is gone, or takes no output) Closed is
// called and take isn't.
func (c *Conn) Detach(take func(now time.Time, nc net.Conn, leftover []byte)) {
	if c.flags&flagsEnding != 0 {
		return
	}
	c.take = take
	c.flags |= flagDetach
	c.setTimer(c.l.nowNanos + int64(c.l.r.drainTimeout))
	c.queue()
}

// carryOut does what a callback or an event has asked for.
func (l *loop) carryOut(c *Conn, now time.Time) {
	switch {
	case c.flags&flagClosed != 0:
		return
	case c.flags&flagFailed != 0:
		l.finish(c, now, unix.Errno(c.errno))
		return
	case c.flags&flagAbort != 0:
		c.reset()
		l.finish(c, now, nil)
		return
	}
	if c.out == nil && l.drained(c, now) {
		return
	}
	for c.in != nil && c.flags&(flagPaused|flagStopped|flagChoked|flagsEnding) == 0 {
		l.offer(c)
	}
	c.update(c.flags&flagEOF != 0)
}

// drained goes on where output had to reach the kernel first. It reports
// whether the connection is gone.
func (l *loop) drained(c *Conn, now time.Time) bool {
	if c.flags&flagDetach != 0 {
		l.handOver(c, now)
		return true
	}
	if c.flags&flagRST != 0 {
		if !c.acknowledged() {
			l.awaitAck(c)
			return false
		}
		c.reset()
		l.finish(c, now, nil)
		return true
	}
	if c.flags&(flagHalf|flagFIN) != 0 && c.flags&flagShut == 0 {
		c.flags |= flagShut
		if err := unix.Shutdown(int(c.fd), unix.SHUT_WR); err != nil {
			l.finish(c, now, err)
			return true
		}
	}
	if c.flags&flagFIN != 0 {
		if c.flags&flagEOF != 0 || c.readMax <= 0 {
			l.finish(c, now, nil)
			return true
		}
		if linger := l.nowNanos + int64(l.r.lingerTime); c.when > linger {
			c.setTimer(linger)
		}
		return false
	}
	if c.flags&flagShut != 0 && c.flags&flagEOF != 0 {
		l.finish(c, now, nil)
		return true
	}
	if c.flags&flagAwait != 0 {
		if c.flags&flagAwaitPeer != 0 && !c.acknowledged() {
			l.awaitAck(c)
			return false
		}
		c.flags &^= flagAwait | flagAwaitPeer
		c.h.Drained(now)
	}
	return false
}

// acknowledged says whether the kernel's send queue is empty.
func (c *Conn) acknowledged() bool {
	if c.flags&flagUnix != 0 {
		return true
	}
	n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQ)
	return err != nil || n == 0
}

// The kernel has no event for an empty send queue: while connections wait for
// it the loop asks, every millisecond at first, less often when nothing moves.
const (
	ackEveryMin = int64(time.Millisecond)
	ackEveryMax = int64(32 * time.Millisecond)
)

func (l *loop) awaitAck(c *Conn) {
	if c.flags&flagAckList != 0 {
		return
	}
	c.flags |= flagAckList
	l.acks = append(l.acks, c)
	l.ackEvery = ackEveryMin
	l.ackAt = l.nowNanos + l.ackEvery
}

func (l *loop) pollAcks() {
	if len(l.acks) == 0 || l.nowNanos < l.ackAt {
		return
	}
	kept := l.acks[:0]
	for _, c := range l.acks {
		switch {
		case c.flags&flagClosed != 0:
		case c.out == nil && c.acknowledged():
			c.flags &^= flagAckList
			c.queue()
		default:
			kept = append(kept, c)
		}
	}
	if len(kept) < len(l.acks) {
		l.ackEvery = ackEveryMin
	} else {
		l.ackEvery = min(2*l.ackEvery, ackEveryMax)
	}
	clear(l.acks[len(kept):])
	l.acks = kept
	l.ackAt = l.nowNanos + l.ackEvery
}

// expire ends a connection whose end took too long.
func (l *loop) expire(c *Conn, now time.Time) {
	if c.flags&flagShut != 0 && c.flags&flagFIN != 0 {
		l.finish(c, now, nil)
		return
	}
	c.reset()
	l.finish(c, now, ErrDrainTimeout)
}

// reset makes the coming close send RST.
func (c *Conn) reset() {
	// A failure leaves an ordinary close, which is all that can be done then.
	_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// finish closes the descriptor and says goodbye to the Handler.
func (l *loop) finish(c *Conn, now time.Time, err error) {
	fd := int(c.fd)
	l.forget(c)
	_ = unix.Close(fd) // takes it out of epoll, too
	l.bury(c, now, err)
}

// forget takes the connection out of the loop's tables.
func (l *loop) forget(c *Conn) {
	l.timers.remove(c)
	c.release()
	l.conns[c.fd] = nil
	l.st.Open--
	c.when, c.take, c.fd = 0, nil, -1
	c.flags |= flagClosed
}

// bury counts the end of a connection that has no descriptor any more.
func (l *loop) bury(c *Conn, now time.Time, err error) {
	l.st.Closed++
	if err != nil {
		l.st.Failed++
	}
	l.leaveRoom()
	l.starvedTo = 0 // there is a descriptor again
	h := c.h
	c.h = nil
	if h != nil {
		h.Closed(now, err)
	}
}

// handOver turns the descriptor into a net.Conn that knows nothing of the loop.
func (l *loop) handOver(c *Conn, now time.Time) {
	var leftover []byte
	if c.in != nil {
		leftover = append(leftover, c.in.B[c.inOff:]...)
	}
	if c.flags&flagParked == 0 {
		c.control(unix.EPOLL_CTL_DEL, 0)
	}
	take, fd := c.take, c.fd
	l.forget(c)
	c.h = nil
	l.st.Detached++
	l.shared.until = l.nowNanos + sharedFor
	take(now, newSocket(fd, c.RemoteAddr(), c.flags&flagUnix != 0), leftover)
}
