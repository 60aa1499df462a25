package reactor

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a connection that was taken out of the reactor, as a net.Conn. It
// is what net.FileConn would make of the descriptor, but for the descriptor's
// duplicate, six system calls that ask for what is known, and TCP keep-alive,
// which it doesn't turn on. It also implements syscall.Conn. As a net.Conn's,
// its methods may be called on any goroutine, and its I/O errors are
// *net.OpError.
type Socket struct {
	file   *os.File // its descriptor is non-blocking, so that it waits in the runtime's poller
	remote netip.AddrPort
	unix   bool
}

// newSocket takes over the descriptor.
func newSocket(fd int32, remote netip.AddrPort, isUnix bool) *Socket {
	return &Socket{file: os.NewFile(uintptr(fd), ""), remote: remote, unix: isUnix} // #nosec G115 -- an open descriptor
}

// Read implements net.Conn.
func (s *Socket) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	if err != nil && err != io.EOF {
		err = s.failed("read", err)
	}
	return n, err
}

// Write implements net.Conn.
func (s *Socket) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	if err != nil {
		err = s.failed("write", err)
	}
	return n, err
}

// Close implements net.Conn.
func (s *Socket) Close() error {
	if err := s.file.Close(); err != nil {
		return s.failed("close", err)
	}
	return nil
}

// WriteLast writes p and sends FIN, both in one segment if they fit: the peer is
// woken once, and sees the end together with what came before it. It returns how
// much of p was written.
func (s *Socket) WriteLast(p []byte) (n int, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, s.failed("write", err)
	}
	waitErr := raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			sent, errno := sendMore(int32(fd), p[n:]) // #nosec G115 -- a descriptor is a C int
			if errno == unix.EAGAIN {
				return false
			}
			if errno != 0 {
				err = os.NewSyscallError("write", errno)
				return true
			}
			n += sent
		}
		err = os.NewSyscallError("shutdown", unix.Shutdown(int(fd), unix.SHUT_WR)) // #nosec G115 -- a descriptor
		return true
	})
	if waitErr != nil {
		err = rawFailure(waitErr)
	}
	if err != nil {
		err = s.failed("write", err)
	}
	return n, err
}

// CloseWrite sends FIN.
func (s *Socket) CloseWrite() error {
	return s.control("shutdown", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// SetLinger says what Close does with output that the peer hasn't acknowledged:
// a negative number leaves it to the kernel, 0 drops it and sends RST, and
// otherwise Close waits so many seconds for it.
func (s *Socket) SetLinger(seconds int) error {
	linger := unix.Linger{Onoff: 1, Linger: int32(min(seconds, 1<<30))} // #nosec G115 -- at most 2^30
	if seconds < 0 {
		linger = unix.Linger{}
	}
	return s.control("setsockopt", func(fd int) error { return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger) })
}

// LocalAddr implements net.Conn. On a unix socket it is empty, and after Close
// the zero address.
func (s *Socket) LocalAddr() net.Addr {
	var local addr
	_ = s.control("getsockname", func(fd int) error {
		sa, err := unix.Getsockname(fd)
		local = addrOfSockaddr(sa)
		return err
	})
	return s.addr(local.addrPort())
}

// RemoteAddr implements net.Conn. On a unix socket it is empty.
func (s *Socket) RemoteAddr() net.Addr { return s.addr(s.remote) }

func (s *Socket) addr(a netip.AddrPort) net.Addr {
	if s.unix {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// SetDeadline implements net.Conn.
func (s *Socket) SetDeadline(t time.Time) error { return s.file.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }

// SyscallConn implements syscall.Conn.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return s.file.SyscallConn() }

func (s *Socket) control(call string, do func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err == nil {
		if controlErr := raw.Control(func(fd uintptr) { err = os.NewSyscallError(call, do(int(fd))) }); controlErr != nil { // #nosec G115 -- a descriptor is a C int
			err = rawFailure(controlErr)
		}
	}
	if err != nil {
		return s.failed("set", err)
	}
	return nil
}

// rawFailure names the error of a syscall.RawConn: if it isn't the deadline, the
// file is closed, for which package os has no exported error here.
func rawFailure(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}

// failed gives an error of package os the form that package net would have
// given it: users of a net.Conn look for net.Error and for net.ErrClosed.
func (s *Socket) failed(op string, err error) error {
	var path *os.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.As(err, &path):
		if err = path.Err; errors.As(err, &errno) {
			err = os.NewSyscallError(path.Op, errno)
		}
	}
	network := "tcp"
	if s.unix {
		network = "unix"
	}
	return &net.OpError{Op: op, Net: network, Addr: s.RemoteAddr(), Err: err}
}
