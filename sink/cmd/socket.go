package cmd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// listenPrivately listens on a unix socket that nobody but this user can connect to, at any time: it is made in a directory of its own
// and then put into its place. A socket that a killed process has left there is replaced.
func listenPrivately(path string) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, rootCause(err)
	case info.Mode().Type() != os.ModeSocket:
		return nil, errors.New("there is something else than a socket already")
	default:
		conn, err := net.Dial("unix", path)
		if err == nil {
			_ = conn.Close() // it was only to see whether somebody answers
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, syscall.EADDRINUSE
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".smtpsink-")
	if err != nil {
		return nil, fmt.Errorf("the socket can't be made: %w", rootCause(err))
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, rootCause(err)
	}
	l.SetUnlinkOnClose(false) // who closes it removes it where it is then
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = l.Close() // what failed is told already
		return nil, rootCause(err)
	}
	return l, nil
}
