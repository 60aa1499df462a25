package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a dialogue as the server sees it, one step a line, in virtual time:
//
//	S: 250 ok       write the line and CRLF
//	S~ 25           write the text as it is, without CRLF
//	S= "250 a\r\n"   write a Go string in one piece
//	C: NOOP         read a line and compare it
//	C~ NOOP         read a line that begins so
//	C. line         read body lines up to the final dot and compare the count: "C. 3" means three lines and the dot
//	+5s             let time pass
//	tls             do the server's side of a TLS handshake; what follows is encrypted
//	auth PLAIN      read AUTH with that mechanism, hold the exchange for user "ann" with password "secret", and answer 235 or 535
//	scram 4096      read AUTH SCRAM-SHA-256, ask for so many rounds, and expect the client to end the exchange
//	close           close the connection
//	hang            neither read nor write until the client closes
func play(t *testing.T, conn net.Conn, script string) (failure error) {
	t.Helper()
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n, step := range strings.Split(strings.TrimSpace(script), "\n") {
		step = strings.TrimSpace(step)
		verb, rest, _ := strings.Cut(step, " ")
		fail := func(format string, args ...any) error {
			return fmt.Errorf("step %d %q: %s", n+1, step, fmt.Sprintf(format, args...))
		}
		switch {
		case step == "" || strings.HasPrefix(step, "#"):
		case verb == "S:":
			if _, err := io.WriteString(conn, rest+"\r\n"); err != nil {
				return fail("%v", err)
			}
		case verb == "S~":
			if _, err := io.WriteString(conn, rest); err != nil {
				return fail("%v", err)
			}
		case verb == "S=":
			text, err := strconv.Unquote(rest)
			if err != nil {
				return fail("%v", err)
			}
			if _, err := io.WriteString(conn, text); err != nil {
				return fail("%v", err)
			}
		case verb == "C:":
			line, err := in.ReadString('\n')
			if err != nil {
				return fail("client sent %q, then %v", line, err)
			}
			if line != rest+"\r\n" {
				return fail("client sent %q", line)
			}
		case verb == "C~":
			line, err := in.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, rest) {
				return fail("client sent %q, then %v", line, err)
			}
		case verb == "C.":
			lines := 0
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return fail("client sent %q after %d lines, then %v", line, lines, err)
				}
				if line == ".\r\n" {
					break
				}
				lines++
			}
			if fmt.Sprint(lines) != rest {
				return fail("client sent %d lines", lines)
			}
		case strings.HasPrefix(verb, "+"):
			d, err := time.ParseDuration(verb[1:])
			if err != nil {
				return fail("%v", err)
			}
			time.Sleep(d)
		case verb == "tls":
			encrypted := tls.Server(conn, serverTLS())
			if err := encrypted.Handshake(); err != nil {
				return fail("%v", err)
			}
			conn, in = encrypted, bufio.NewReader(encrypted)
		case verb == "auth":
			if err := authenticate(conn, in, rest); err != nil {
				return fail("%v", err)
			}
		case verb == "scram":
			line, err := in.ReadString('\n')
			if err != nil {
				return fail("%v", err)
			}
			first, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(line, "AUTH SCRAM-SHA-256 ")))
			_, nonce, ok := strings.Cut(string(first), ",r=")
			if err != nil || !ok {
				return fail("client sent %q: %v", line, err)
			}
			challenge := "r=" + nonce + "more,s=c2FsdA==,i=" + rest
			if _, err := fmt.Fprintf(conn, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(challenge))); err != nil {
				return fail("%v", err)
			}
			if line, err := in.ReadString('\n'); err != nil || line != "*\r\n" {
				return fail("client sent %q, then %v", line, err)
			}
			if _, err := io.WriteString(conn, "501 5.7.0 ended\r\n"); err != nil {
				return fail("%v", err)
			}
		case verb == "close":
			return nil
		case verb == "hang":
			// Whatever the client wrote before it gave up is no concern of this step.
			_, _ = io.Copy(io.Discard, in)
			return nil
		default:
			return fail("unknown step")
		}
	}
	if line, err := in.ReadString('\n'); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("after the script the client sent %q (%v)", line, err)
	}
	return nil
}

// pipeDialer hands out the client's end of a pipe.
type pipeDialer struct{ conn net.Conn }

func (d pipeDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return d.conn, nil
}

// log is an Observer that writes down what it is told: "mail 250 2.1.0", "data lost: timeout".
type log struct{ lines []string }

func (l *log) Reply(phase smtp.Stage, code smtp.Code, enhanced smtp.Enhanced) {
	l.lines = append(l.lines, strings.TrimSpace(fmt.Sprintf("%v %d %v", phase, code, enhanced)))
}

func (l *log) Lost(phase smtp.Stage, err *Error) {
	if err.Phase != phase {
		l.lines = append(l.lines, fmt.Sprintf("%v lost, but the error says %v", phase, err.Phase))
		return
	}
	l.lines = append(l.lines, fmt.Sprintf("%v lost: %v", phase, err.Err))
}

func (l *log) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(l.lines, want) {
		t.Errorf("observed:\n\t%s\nexpected:\n\t%s", strings.Join(l.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// session runs a client against a script, within a bubble of virtual time.
type session struct {
	t        *testing.T
	ctx      context.Context
	cancel   context.CancelFunc
	cfg      Config
	log      log
	greeting Greeting
	// tolerated is part of the error with which the server's script may end; a NUL matches none.
	tolerated string
	conn      *Conn
	result    Result
}

// dialogue plays script against client, and fails when either sees something else than expected.
func dialogue(t *testing.T, script string, run func(*session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		server, conn := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := &session{t: t, ctx: ctx, cancel: cancel, tolerated: "\x00", cfg: Config{
			Address: "mx.test:25", Dialer: pipeDialer{conn}, Timeouts: AllTimeouts(time.Minute), Now: time.Now,
		}}
		done := make(chan error, 1)
		go func() { done <- play(t, server, script) }()
		run(s)
		if s.conn != nil {
			s.conn.Close()
		}
		conn.Close()
		if err := <-done; err != nil && !strings.Contains(err.Error(), s.tolerated) {
			t.Errorf("server: %v", err)
		}
	})
}

// connect connects, and wants it to work.
func (s *session) connect() {
	s.t.Helper()
	conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
	if err != nil {
		s.t.Fatalf("connect: %v", err)
	}
	s.conn = conn
	s.log.lines = nil
}

func (s *session) send(to ...string) error {
	s.t.Helper()
	return s.conn.Send(s.ctx, &Message{From: "a@src.test", To: to, Body: NewBody([]byte("Subject: x\n\nhello\n"))}, &s.result)
}

// finals lists every recipient's final reply: "message 250", "rcpt 550", "data 0" for one that has none.
func (s *session) finals(want ...string) {
	s.t.Helper()
	var got []string
	for _, r := range s.result.Recipients {
		got = append(got, fmt.Sprintf("%v %d", r.Reply.Phase, r.Reply.Code))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("final replies %q, expected %q", got, want)
	}
}

// greeted and piped open a script: a server without extensions, and one that pipelines.
const (
	greeted = `
		S: 220 mx.test ready
		C: EHLO localhost
		S: 250 mx.test
		`
	piped = `
		S: 220 mx.test ready
		C: EHLO localhost
		S: 250-mx.test
		S: 250 PIPELINING
		`
)
