//go:build unix

package client

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe asks whether a socket has anything to read, without reading from it.
type probe struct {
	raw  syscall.RawConn
	poll func(fd uintptr)
	fds  [1]unix.PollFd
	n    int // of them have something to tell
	err  error
}

// newProbe returns nil for a connection that shows no descriptor; a nil probe finds everything quiet.
func newProbe(conn net.Conn) *probe {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	p := &probe{raw: raw}
	p.poll = func(fd uintptr) {
		p.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // #nosec G115 -- a descriptor
		p.n, p.err = unix.Poll(p.fds[:], 0)
	}
	return p
}

// quiet reports that the peer neither sent anything nor ended the connection: either would be there to read.
func (p *probe) quiet() bool {
	if p == nil {
		return true
	}
	return p.raw.Control(p.poll) == nil && (p.n == 0 || p.err == unix.EINTR)
}
