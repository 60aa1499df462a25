package sinktest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// NetConn is a Conn over a network connection, in real time.
type NetConn struct {
	conn    net.Conn
	reader  *bufio.Reader
	timeout time.Duration
}

// NewNetConn talks over conn, which stays the caller's to close. timeout is how long a line of the server may take.
func NewNetConn(conn net.Conn, timeout time.Duration) *NetConn {
	return &NetConn{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), timeout: timeout}
}

// Send writes octets. That the server has closed the connection is not an error: the script will say whether it may.
func (c *NetConn) Send(octets []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(octets); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return nil
}

// CloseWrite closes the sending side.
func (c *NetConn) CloseWrite() error {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T can't close one side", c.conn)
	}
	return half.CloseWrite()
}

// ReadLine reads the next line.
func (c *NetConn) ReadLine() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	line, err := c.reader.ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%w within %v, after %q", ErrSilent, c.timeout, line)
	case err == io.EOF && line != "":
		return "", fmt.Errorf("the server closed the connection within the line %q", line)
	case errors.Is(err, syscall.ECONNRESET):
		return "", ErrReset
	case err != nil:
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("the line %q does not end in CRLF", line)
	}
	return text, nil
}

// Read reads the next octets.
func (c *NetConn) Read(n int) ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	got := make([]byte, n)
	n, err := io.ReadFull(c.reader, got)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w within %v", ErrSilent, c.timeout)
	case errors.Is(err, syscall.ECONNRESET):
		err = ErrReset
	}
	return got[:n], err
}

// Half does not know: a network shows the end of the server's output only.
func (c *NetConn) Half() (half, known bool) { return false, false }

// StartTLS does a handshake as a client that trusts anybody, or, with a fault, nobody: that must fail.
func (c *NetConn) StartTLS(f fault.TLSFault) error {
	if c.reader.Buffered() > 0 {
		return fmt.Errorf("the server said more before the handshake")
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	// #nosec G402 -- a test client trusts anybody: it is the server that is tested
	conn := tls.Client(c.conn, &tls.Config{ServerName: Hostname, InsecureSkipVerify: f == fault.TLSNone})
	err := conn.Handshake()
	if f != fault.TLSNone {
		if err == nil {
			return fmt.Errorf("the handshake succeeded, want the fault %v", f)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	return nil
}

// Pass waits; it is an error when anything comes before nine tenths of the time have passed, since timers may be coarse.
func (c *NetConn) Pass(d time.Duration) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(d * 9 / 10)); err != nil {
		return err
	}
	_, _ = c.reader.Peek(c.reader.Buffered() + 1) // silence is what is hoped for, and a timeout with it
	if n := c.reader.Buffered(); n > 0 {
		line, _ := c.reader.Peek(n)
		return fmt.Errorf("the server said %q before %v had passed", firstLine(line), d)
	}
	return nil
}

// Unread returns nothing: a network does not tell what is still under way.
func (c *NetConn) Unread() []string { return nil }
