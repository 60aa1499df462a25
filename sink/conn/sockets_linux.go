package conn

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How often an empty send queue is asked for: the kernel has no event for it.
const (
	ackEveryMin = time.Millisecond
	ackEveryMax = 32 * time.Millisecond
)

// awaitAcknowledged waits until the client's kernel has acknowledged all output, until limit has passed, or until closing is closed.
func awaitAcknowledged(nc net.Conn, limit time.Duration, closing <-chan struct{}) {
	tcp, ok := nc.(syscall.Conn)
	if !ok || nc.RemoteAddr().Network() != "tcp" {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	for every, waited := ackEveryMin, time.Duration(0); waited < limit; every = min(2*every, ackEveryMax) {
		queued := 0
		failed := false
		if raw.Control(func(fd uintptr) {
			queued, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			failed = polled(int(fd))&unix.POLLERR != 0
		}) != nil || err != nil || queued == 0 || failed {
			return
		}
		select {
		case <-time.After(every):
			waited += every
		case <-closing:
			return
		}
	}
}

// unreadInput returns how many octets of input wait; 0 when that can't be known.
func unreadInput(nc net.Conn) int { return asked(nc, unix.SIOCINQ) }

// unacknowledged returns how many octets of output the client's kernel has not acknowledged; 0 when that can't be known.
func unacknowledged(nc net.Conn) int { return asked(nc, unix.SIOCOUTQ) }

func asked(nc net.Conn, what uint) (n int) {
	onSocket(nc, func(fd int) { n, _ = unix.IoctlGetInt(fd, what) })
	return n
}

// takeError returns the error that the socket has met and not told yet, or nil.
func takeError(nc net.Conn) (err error) {
	onSocket(nc, func(fd int) {
		if errno, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); e == nil && errno != 0 {
			err = unix.Errno(errno)
		}
	})
	return err
}

func onSocket(nc net.Conn, f func(fd int)) {
	if c, ok := nc.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}

// polled returns which of POLLERR, POLLHUP and POLLRDHUP hold.
func polled(fd int) int16 {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} // #nosec G115 -- a descriptor is a C int
	if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents
}

// awaitFailure waits without reading until the read deadline, or until the connection has failed, and returns how. It calls hungUp when the
// client's FIN has come.
func awaitFailure(nc net.Conn, hungUp func()) error {
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	for told := false; ; told = true {
		var failure error
		finished := false
		err = raw.Read(func(fd uintptr) bool {
			events := polled(int(fd))
			if events&unix.POLLERR != 0 {
				failure = os.NewSyscallError("poll", socketFailure(int(fd)))
			}
			finished = events&unix.POLLRDHUP != 0 && !told
			return failure != nil || finished
		})
		switch {
		case failure != nil:
			return failure
		case !finished:
			return err
		}
		hungUp()
	}
}

// socketFailure takes the error that a socket has met.
func socketFailure(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return unix.ECONNRESET
	}
	return unix.Errno(errno)
}

// clampWindow bounds the window that the client is shown from now on.
func clampWindow(nc net.Conn, octets int) {
	onSocket(nc, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, octets) })
}

// setBacklog changes how many connections may wait to be accepted.
func setBacklog(ln net.Listener, n int) {
	control(ln, func(fd int) { _ = unix.Listen(fd, n) })
}

// setReceiveBuffer changes the receive buffers of the connections to come.
func setReceiveBuffer(ln net.Listener, octets int) {
	control(ln, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets) })
}

// refuse has the kernel refuse what comes, whoever has the socket. Listening again ends it.
func refuse(ln net.Listener) {
	control(ln, func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RD) })
}

func control(ln net.Listener, f func(fd int)) {
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}
