package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// patience bounds each wait of a client: more than any delay or hold of a plan.
const patience = 30 * time.Second

// dialogue is a connection of a client. It trusts nothing: what is no reply by the letter is an error.
type dialogue struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial connects, and counts that. Nothing cuts it short: whether a connection came about would not be known.
func (s *soaking) dial() (*dialogue, error) {
	conn, err := net.DialTimeout("tcp", s.sink.mail, patience)
	if errors.Is(err, syscall.ECONNRESET) { // a plan has it closed so soon that it is over before it is known to be there
		s.connected.Add(1)
		return nil, err
	}
	if err != nil {
		s.failedDials.Add(1)
		return nil, err
	}
	s.connected.Add(1)
	return newDialogue(conn), nil
}

func newDialogue(conn net.Conn) *dialogue {
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &dialogue{conn, bufio.NewReader(conn)}
}

func (d *dialogue) write(text string) error {
	_ = d.conn.SetDeadline(time.Now().Add(patience))
	_, err := io.WriteString(d.conn, text)
	return err
}

var errNoReply = errors.New("no reply that could be read")

// reply reads one.
func (d *dialogue) reply() (code int, err error) {
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		text, whole := strings.CutSuffix(line, "\r\n")
		if !whole || len(text) < 3 || len(text) > 4096 {
			return 0, errNoReply
		}
		n := 0
		for _, c := range text[:3] {
			if c < '0' || c > '9' {
				return 0, errNoReply
			}
			n = 10*n + int(c-'0')
		}
		if n < 200 || n > 599 || code != 0 && n != code {
			return 0, errNoReply
		}
		code = n
		if len(text) == 3 || text[3] == ' ' {
			return code, nil
		}
		if text[3] != '-' {
			return 0, errNoReply
		}
	}
}

func (d *dialogue) ask(command string) (int, error) {
	if err := d.write(command + "\r\n"); err != nil {
		return 0, err
	}
	return d.reply()
}

// greet takes the greeting and says EHLO; with encrypt it goes on in TLS.
func (d *dialogue) greet(encrypt bool) error {
	code, err := d.reply()
	if err != nil || code != 220 {
		return errors.Join(err, errRefused)
	}
	if code, err = d.ask("EHLO client.soak.test"); err != nil || code != 250 {
		return errors.Join(err, errRefused)
	}
	if !encrypt {
		return nil
	}
	if code, err = d.ask("STARTTLS"); err != nil || code != 220 {
		return errors.Join(err, errRefused)
	}
	secure := tls.Client(d.conn, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- a sink's own certificate, on loopback
	if err := secure.Handshake(); err != nil {
		return err
	}
	*d = *newDialogue(secure)
	if code, err = d.ask("EHLO client.soak.test"); err != nil || code != 250 {
		return errors.Join(err, errRefused)
	}
	return nil
}

var errRefused = errors.New("not served")

// quit leaves as a good client does: it reads to the end.
func (d *dialogue) quit() {
	if _, err := d.ask("QUIT"); err == nil {
		_, _ = io.Copy(io.Discard, d.in)
	}
	_ = d.conn.Close()
}

// reset closes by RST.
func (d *dialogue) reset() {
	conn := d.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
