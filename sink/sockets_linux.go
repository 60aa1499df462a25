package sink

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
		if raw.Control(func(fd uintptr) { queued, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) != nil || err != nil || queued == 0 {
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

// awaitFailure waits without reading until the read deadline, or until the connection has failed, and returns how.
func awaitFailure(nc net.Conn) error {
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		failure = socketFailure(int(fd))
		return failure != nil
	})
	if failure != nil {
		return failure
	}
	return err
}

// socketFailure returns the error that a socket has met, such as ECONNRESET, or nil.
func socketFailure(fd int) error {
	fds := [1]unix.PollFd{{Fd: int32(fd)}} // #nosec G115 -- a descriptor is a C int
	if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 || fds[0].Revents&unix.POLLERR == 0 {
		return nil
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return os.NewSyscallError("poll", unix.ECONNRESET)
	}
	return os.NewSyscallError("poll", unix.Errno(errno))
}

// setBacklog changes how many connections may wait to be accepted.
func setBacklog(ln net.Listener, n int) {
	control(ln, func(fd int) { _ = unix.Listen(fd, n) })
}

// setReceiveBuffer changes the receive buffers of the connections to come.
func setReceiveBuffer(ln net.Listener, octets int) {
	control(ln, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets) })
}

func control(ln net.Listener, f func(fd int)) {
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}
