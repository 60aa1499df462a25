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

// ConnPeer is a server at the other end of a network connection. It is a Peer whose time is real.
type ConnPeer struct {
	conn    net.Conn
	reader  *bufio.Reader
	timeout time.Duration
}

// NewConnPeer talks over conn, which stays the caller's to close. timeout is how long a line of the server may take.
func NewConnPeer(conn net.Conn, timeout time.Duration) *ConnPeer {
	return &ConnPeer{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), timeout: timeout}
}

// Send writes octets. That the server has closed the connection is not an error: the script will say whether it may.
func (p *ConnPeer) Send(octets []byte) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		return err
	}
	if _, err := p.conn.Write(octets); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return nil
}

// CloseWrite closes the sending side.
func (p *ConnPeer) CloseWrite() error {
	half, ok := p.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T can't close one side", p.conn)
	}
	return half.CloseWrite()
}

// ReadLine reads the next line.
func (p *ConnPeer) ReadLine() (string, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return "", err
	}
	line, err := p.reader.ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%w within %v, after %q", ErrSilent, p.timeout, line)
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
func (p *ConnPeer) Read(n int) ([]byte, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return nil, err
	}
	got := make([]byte, n)
	n, err := io.ReadFull(p.reader, got)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w within %v", ErrSilent, p.timeout)
	case errors.Is(err, syscall.ECONNRESET):
		err = ErrReset
	}
	return got[:n], err
}

// Half does not know: a network shows the end of the server's output only.
func (p *ConnPeer) Half() (half, known bool) { return false, false }

// StartTLS does a handshake as a client that trusts anybody, or, with a fault, nobody: that must fail.
func (p *ConnPeer) StartTLS(f fault.TLSFault) error {
	if p.reader.Buffered() > 0 {
		return fmt.Errorf("the server said more before the handshake")
	}
	if err := p.conn.SetDeadline(time.Now().Add(p.timeout)); err != nil {
		return err
	}
	// #nosec G402 -- a test peer trusts anybody: it is the server that is tested
	conn := tls.Client(p.conn, &tls.Config{ServerName: Hostname, InsecureSkipVerify: f == fault.TLSNone})
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
	p.conn, p.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	return nil
}

// Pass waits; it is an error when anything comes before nine tenths of the time have passed, since timers may be coarse.
func (p *ConnPeer) Pass(d time.Duration) error {
	if err := p.conn.SetReadDeadline(time.Now().Add(d * 9 / 10)); err != nil {
		return err
	}
	_, _ = p.reader.Peek(p.reader.Buffered() + 1) // silence is what is hoped for, and a timeout with it
	if n := p.reader.Buffered(); n > 0 {
		line, _ := p.reader.Peek(n)
		return fmt.Errorf("the server said %q before %v had passed", firstLine(line), d)
	}
	return nil
}

// Unread returns nothing: a network does not tell what is still under way.
func (p *ConnPeer) Unread() []string { return nil }
