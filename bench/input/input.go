// Package input says what is wrong with what a user gave: options, files, addresses and programs. Every command of smtpbench words it
// alike, in one line, and ends with status 2.
//
// It leaves out flags (bench/cmd), and what the options of one command mean.
package input

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Error is what a wrong option or a missing file or program leads to: one line that names the culprit and the remedy. Nothing was
// started or written when a function returns one.
type Error struct{ Err error }

// Error returns the line.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error.
func Errorf(format string, args ...any) error { return &Error{Err: fmt.Errorf(format, args...)} }

// Reason strips the operation and the path from an error of package os: the caller's message names them already.
func Reason(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *exec.Error:
		return Reason(e.Err)
	case *os.LinkError:
		return e.Err
	}
	return err
}

// Readable returns why a regular file can't be read, or nil.
func Readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return Reason(err)
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	f, err := os.Open(path) // #nosec G304 -- a file that the user names, opened to see whether it can be; nothing is read
	if err != nil {
		return Reason(err)
	}
	return f.Close()
}

// Printable keeps control characters of a file's name from the terminal.
func Printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// Shortest returns a path relative to the working directory if it lies below it.
func Shortest(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// HostPort returns an *Error unless the value of a flag is a HOST:PORT.
func HostPort(flag, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return Errorf("%s %q: want HOST:PORT such as 127.0.0.1:2525", flag, address)
	}
	if _, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil {
		return Errorf("%s %q: port %q is not a number from 0 to 65535", flag, address, port)
	}
	return nil
}

// IsLoopback knows addresses of the loopback network and the one name that RFC 6761 section 6.3 reserves for it.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
