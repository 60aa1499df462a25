package sink

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// tryPorts finds out whether the listeners' addresses can be had, so that a ledger is not touched for a server that can't start. It accepts
// nothing: a client that connects meanwhile is reset. Serving it would be wrong, as no ledger would have its rows.
func tryPorts(listeners []Listener) (err error) {
	var tried []net.Listener
	defer func() {
		for _, ln := range tried {
			_ = ln.Close() // nobody used it
		}
	}()
	for _, l := range listeners {
		if l.Inherited != nil {
			continue
		}
		network := l.network()
		if network == "unix" {
			err = tryPath(l.Address)
		} else {
			var ln net.Listener
			if ln, err = net.Listen(network, l.Address); err == nil {
				tried = append(tried, ln)
			}
		}
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w", l.Address, rootCause(err))
		}
	}
	return nil
}

// tryPath finds out whether a unix socket can be made at path: nothing is there, or a socket that nobody listens on any more, as a killed
// process leaves it.
func tryPath(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // a folder that is not there is told by who listens
	}
	if info.Mode()&os.ModeSocket == 0 {
		return syscall.EADDRINUSE
	}
	if nc, err := net.Dial("unix", path); err == nil {
		_ = nc.Close()
		return syscall.EADDRINUSE
	}
	return nil
}
