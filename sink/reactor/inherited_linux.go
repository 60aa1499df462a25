package reactor

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// listenInherited takes up a socket that another process has bound, and may hold, too.
func (ln *Listener) listenInherited(cfg *ListenConfig) (fds []int, err error) {
	fd := -1
	raw, err := cfg.Inherited.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := raw.Control(func(inherited uintptr) {
		fd, err = unix.FcntlInt(inherited, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl", err)
	})
	if err = errors.Join(controlErr, err); err != nil {
		return nil, err
	}
	ln.inherited = true
	if err = ln.takeUp(fd, cfg); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return []int{fd}, nil
}

func (ln *Listener) takeUp(fd int, cfg *ListenConfig) error {
	bound := func() (a addr, err error) {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return a, os.NewSyscallError("getsockname", err)
		}
		if a = addrOfSockaddr(sa); a.kind == 0 {
			err = errors.New("the inherited socket is not one of TCP")
		}
		return a, err
	}
	before, err := bound()
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if cfg.ReceiveBuffer > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReceiveBuffer); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := startListening(fd, cfg); err != nil {
		return err
	}
	// A socket that was bound to any free port loses it when it is shut down.
	after, err := bound()
	if err == nil && after.port != before.port {
		err = errors.New("the inherited socket has lost its port: it must be bound to a port of its own, not to any free one")
	}
	ln.addr = net.TCPAddrFromAddrPort(after.addrPort())
	return err
}

// refuse has the kernel refuse what comes, and reset what waits. Closing would not, as long as another process has the socket. Listening
// again ends it.
func refuse(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RD) }
