package conn

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// unmapped returns the address with IPv4 in its own form: a client is the same on a dual-stack listener and on an IPv4 one.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// isOutOfResources reports whether accept failed because the process or the system has no descriptors or memory left.
func isOutOfResources(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS)
}

// abort makes the close of a TCP connection that follows send RST.
func abort(nc net.Conn) {
	if tcp, ok := nc.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0) // a failure leaves an ordinary close, which is all that can be done then
	}
}
