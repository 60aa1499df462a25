package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// overTCP plays a script over a loopback socket, in real time: for what only a kernel does.
func overTCP(t *testing.T, script string) (*Conn, *log, <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- play(t, conn, script)
	}()
	cfg := Config{Address: listener.Addr().String(), Dialer: &net.Dialer{}, Timeouts: AllTimeouts(30 * time.Second), Now: time.Now}
	observed := &log{}
	var greeting Greeting
	conn, err := Connect(context.Background(), &cfg, observed, &greeting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	observed.lines = nil
	return conn, observed, done
}

func TestIdleConnectionIsLookedAt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no look without reading on windows")
	}
	for _, test := range []struct{ name, script string }{
		{"closed by the server", greeted + "C: NOOP\nS: 250 ok\nclose"},
		{"421 and closed", greeted + "C: NOOP\nS: 250 ok\nS: 421 4.4.2 idle\nclose"},
		{"a late reply", greeted + "C: NOOP\nS: 250 ok\nS: 250 late\nhang"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, _, done := overTCP(t, test.script)
			if _, err := conn.Noop(t.Context()); err != nil {
				t.Fatal(err)
			}
			testkit.Await(t, "an unusable connection", func() bool { return !conn.Usable() })
			conn.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestQuietConnectionStaysUsableAfterItsDeadline(t *testing.T) {
	conn, _, done := overTCP(t, greeted+"C: NOOP\nS: 250 ok\nhang")
	if _, err := conn.Noop(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn.until = time.Now().Add(-time.Second)
	if err := conn.guard.set(conn.until); err != nil {
		t.Fatal(err)
	}
	if !conn.Usable() {
		t.Error("not usable")
	}
	conn.Close()
	<-done
}

// brokenPipe fails every write after the first bytes, as a socket does that the server has reset.
type brokenPipe struct {
	net.Conn
	after int
}

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.after == 0 {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", errBroken)}
	}
	b.after--
	return b.Conn.Write(p)
}

var errBroken = errors.New("broken pipe")

func TestReplyThatIsThereIsReadAfterAFailedWrite(t *testing.T) {
	server, pipe := net.Pipe()
	done := make(chan error, 1)
	go func() {
		var err error
		for _, reply := range []string{"220 hi\r\n", "250 mx.test\r\n", "421 4.3.2 going down\r\n"} {
			_, e := io.WriteString(server, reply)
			err = errors.Join(err, e)
		}
		done <- err
	}()
	cfg := Config{Timeouts: AllTimeouts(time.Minute), Now: time.Now}
	observed := &log{}
	var greeting Greeting
	go func() { _, _ = io.Copy(io.Discard, server) }() // until c is closed
	cfg.Dialer = pipeDialer{&brokenPipe{pipe, 1}}
	c, err := Connect(t.Context(), &cfg, observed, &greeting)
	if err != nil {
		t.Fatal(err)
	}
	var result Result
	if err := c.Send(t.Context(), &Message{From: "a@x.test", To: []string{"b@x.test"}, Body: NewBody(nil)}, &result); err != nil {
		t.Errorf("the reply was there, and yet the error is %v", err)
	}
	observed.expect(t, "connect 220", "ehlo 250", "mail 421 4.3.2")
	if c.Open() {
		t.Error("still open after a failed write")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
