package xk6smtp

import (
	"context"
	"net"
	"syscall"

	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/lib/netext"
)

// dialer dials through the VU's dialer, so that k6's options (hosts, blacklists, DNS, local IPs) hold and bytes are counted.
// The sinks of the process are told whom a script speaks to: only then can a record say whose replies it holds.
type dialer struct {
	vu    lib.DialContexter
	sinks *sinks
}

// DialContext implements client.Dialer.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.vu.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.sinks.noteDial(conn.RemoteAddr())
	if counted, ok := conn.(*netext.Conn); ok {
		if socket, ok := counted.Conn.(syscall.Conn); ok {
			return countedConn{counted, socket}, nil
		}
	}
	return conn, nil
}

// countedConn shows the socket that k6's byte-counting connection hides, so that the client can look whether it is still alive.
type countedConn struct {
	*netext.Conn
	socket syscall.Conn
}

// SyscallConn implements syscall.Conn.
func (c countedConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }
