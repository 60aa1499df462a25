package cmd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// listens finds out whether a descriptor is a TCP socket that listens, or could, and keeps it from other programs.
func listens(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	_, local := address.(*unix.SockaddrUnix)
	if kind != unix.SOCK_STREAM || local {
		return errors.New("it is not a TCP socket (systemd: ListenStream= with a port)")
	}
	if _, err := unix.Getpeername(fd); err == nil {
		return errors.New("it is a connection, not a listener (systemd: Accept=no)")
	}
	unix.CloseOnExec(fd)
	return nil
}
