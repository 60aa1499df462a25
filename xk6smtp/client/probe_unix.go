//go:build unix

package client

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe looks at a socket's receive queue without reading from it.
type probe struct {
	raw   syscall.RawConn
	peek  func(fd uintptr) bool
	err   error
	first [1]byte
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
	p.peek = func(fd uintptr) bool {
		_, _, p.err = unix.Recvfrom(int(fd), p.first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	}
	return p
}

// quiet reports that the peer neither sent anything nor ended the connection.
func (p *probe) quiet() bool {
	if p == nil {
		return true
	}
	if err := p.raw.Read(p.peek); err != nil {
		return false
	}
	return p.err == unix.EAGAIN || p.err == unix.EWOULDBLOCK || p.err == unix.EINTR
}
