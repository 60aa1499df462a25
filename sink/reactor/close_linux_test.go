package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// closer answers the first input with reply and closes; Closed's error goes to
// the channel, which has room for a second one that must not come.
func closer(reply []byte, mode CloseMode) (func(int, *Conn, time.Time) Handler, chan error) {
	closed := make(chan error, 2)
	return scripted(func(s *script, _ time.Time) {
		ended := false
		s.data = func(_ time.Time, p []byte) int {
			if ended {
				closed <- errors.New("Data after Close")
			}
			ended = true
			s.c.Write(reply)
			s.c.Close(mode)
			if s.c.Write([]byte("too late")) != 0 {
				closed <- errors.New("output taken after Close")
			}
			return 1 // with input left over
		}
		s.eof = func(time.Time) { closed <- errors.New("EOF after Close") }
		s.timer = func(time.Time) { closed <- errors.New("Timer after Close") }
		s.closed = func(_ time.Time, err error) { closed <- err }
	}), closed
}

func expectClosed(t *testing.T, closed chan error, want error) {
	t.Helper()
	if err := receive(t, closed, "Closed"); !errors.Is(err, want) {
		t.Errorf("Closed with %v, expected %v", err, want)
	}
	if len(closed) != 0 {
		t.Errorf("Closed again, with %v", <-closed)
	}
}

// A client that pipelines 64 KiB before it reads still gets the reply and a
// clean end: its unread input doesn't turn the close into a reset.
func TestCloseFINSurvivesUnreadInput(t *testing.T) {
	for name, reply := range map[string][]byte{"short": []byte("421 bye\r\n"), "long": bytes.Repeat([]byte("4"), 10<<20)} {
		t.Run(name, func(t *testing.T) {
			newHandler, closed := closer(reply, CloseFIN)
			_, ln := serve(t, Config{NewHandler: newHandler, ReadBuffer: 512})
			nc := dial(t, ln)
			write(t, nc, strings.Repeat("NOOP\r\n", 10_000))
			expect(t, nc, string(reply))
			expectEnd(t, nc, io.EOF)
			_ = nc.Close()
			expectClosed(t, closed, nil)
		})
	}
}

// The patience of a lingering close ends: by time, and by volume.
func TestCloseFINLingersWithinBounds(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		newHandler, closed := closer([]byte("bye"), CloseFIN)
		_, ln := serve(t, Config{NewHandler: newHandler, LingerTime: 20 * time.Millisecond})
		nc := dial(t, ln)
		write(t, nc, "hello")
		expect(t, nc, "bye")
		expectEnd(t, nc, io.EOF)
		expectClosed(t, closed, nil) // though the client never closes
	})
	t.Run("volume", func(t *testing.T) {
		newHandler, closed := closer([]byte("bye"), CloseFIN)
		r, ln := serve(t, Config{NewHandler: newHandler, LingerTime: time.Hour})
		nc := dial(t, ln)
		if n, err := nc.Write(make([]byte, 64<<20)); err == nil {
			t.Errorf("all %d octets were taken", n)
		}
		expectClosed(t, closed, nil)
		if n := r.TotalStats().BytesIn; n > 3*64<<10 {
			t.Errorf("%d octets were read, expected at most one read, and 64 KiB", n)
		}
	})
	t.Run("no reader", func(t *testing.T) {
		newHandler, closed := closer(make([]byte, 64<<20), CloseFIN)
		_, ln := serve(t, Config{NewHandler: newHandler, DrainTimeout: 20 * time.Millisecond})
		nc := dial(t, ln)
		write(t, nc, "hello")
		expectClosed(t, closed, ErrDrainTimeout)
	})
}

// The reset comes after the whole reply, not instead of its end.
func TestCloseRSTAfterTheReply(t *testing.T) {
	reply := bytes.Repeat([]byte("550 no\r\n"), 100_000)
	newHandler, closed := closer(reply, CloseRST)
	_, ln := serve(t, Config{NewHandler: newHandler, ReadBuffer: 512})
	nc := dial(t, ln)
	write(t, nc, strings.Repeat("NOOP\r\n", 1000))
	expect(t, nc, string(reply))
	expectEnd(t, nc, unix.ECONNRESET)
	expectClosed(t, closed, nil)
}

// A peer whose kernel acknowledges nothing more can't keep a reset waiting.
func TestCloseRSTGivesUp(t *testing.T) {
	newHandler, closed := closer(make([]byte, 64<<20), CloseRST)
	_, ln := serve(t, Config{NewHandler: newHandler, DrainTimeout: 20 * time.Millisecond})
	nc := dial(t, ln)
	write(t, nc, "hello")
	expectClosed(t, closed, ErrDrainTimeout)
}

func TestCloseAbort(t *testing.T) {
	newHandler, closed := closer(make([]byte, 64<<20), CloseAbort)
	_, ln := serve(t, Config{NewHandler: newHandler})
	nc := dial(t, ln)
	write(t, nc, "hello")
	expectClosed(t, closed, nil)
	n, err := io.Copy(io.Discard, nc)
	if !errors.Is(err, unix.ECONNRESET) || n >= 64<<20 {
		t.Errorf("the client read %d octets and %v, expected a part and ECONNRESET", n, err)
	}
}

func TestCloseHalf(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			got, closed := make(chan string, 4), make(chan error, 2)
			r := start(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
				s.c.Write([]byte("220 hi\r\n"))
				s.c.Close(CloseHalf)
				s.data = func(_ time.Time, p []byte) int { got <- string(p); s.c.Write(p); return len(p) }
				s.eof = func(time.Time) { got <- "eof" }
				s.closed = func(_ time.Time, err error) { closed <- err }
			})})
			cfg := ListenConfig{Network: network, Address: "127.0.0.1:0"}
			if network == "unix" {
				cfg.Address = filepath.Join(t.TempDir(), "s")
			}
			nc := dial(t, listen(t, r, cfg))
			expect(t, nc, "220 hi\r\n")
			expectEnd(t, nc, io.EOF)
			write(t, nc, "still talking")
			if s := receive(t, got, "input after the half-close"); s != "still talking" {
				t.Errorf("got %q", s)
			}
			_ = nc.Close()
			if s := receive(t, got, "EOF"); s != "eof" {
				t.Errorf("got %q, expected eof", s)
			}
			expectClosed(t, closed, nil)
		})
	}
}

func TestCloseOnUnixSockets(t *testing.T) {
	for _, mode := range []CloseMode{CloseFIN, CloseRST, CloseAbort} {
		t.Run(mode.String(), func(t *testing.T) {
			newHandler, closed := closer([]byte("bye"), mode)
			r := start(t, Config{NewHandler: newHandler})
			nc := dial(t, listen(t, r, ListenConfig{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}))
			write(t, nc, "q")
			expect(t, nc, "bye")
			expectEnd(t, nc, io.EOF)
			_ = nc.Close()
			expectClosed(t, closed, nil)
		})
	}
}

// Close can be made more abrupt, not less.
func TestCloseEscalates(t *testing.T) {
	closed := make(chan error, 2)
	_, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.closed = func(_ time.Time, err error) { closed <- err }
		s.data = func(_ time.Time, p []byte) int {
			for _, mode := range []CloseMode{CloseHalf, CloseFIN, CloseRST, CloseFIN, CloseHalf} {
				s.c.Close(mode)
			}
			return len(p)
		}
	})})
	nc := dial(t, ln)
	write(t, nc, "x")
	expectEnd(t, nc, unix.ECONNRESET)
	expectClosed(t, closed, nil)
}

// What the peer does to the connection ends in Closed, once, with the reason.
func TestPeerResets(t *testing.T) {
	closed := make(chan error, 2)
	_, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.closed = func(_ time.Time, err error) { closed <- err }
	})})
	nc := dial(t, ln)
	if err := nc.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = nc.Close()
	expectClosed(t, closed, unix.ECONNRESET)
}

// Everything that a Handler calls on a connection after Closed does nothing.
func TestMethodsAfterClosed(t *testing.T) {
	done := make(chan struct{})
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, now time.Time) {
		s.closed = func(time.Time, error) {
			c := s.c
			c.Write([]byte("x"))
			c.Pause()
			c.Resume()
			c.AwaitDrain(DrainPeer)
			c.SetDeadline(now)
			c.SetReadLimit(1)
			c.Close(CloseRST)
			c.Detach(func(time.Time, net.Conn, []byte) { t.Error("detached after Closed") })
			c.Post(func(time.Time) { t.Error("a function posted to a closed connection ran") })
			if c.LocalAddr().IsValid() || !c.RemoteAddr().IsValid() {
				t.Errorf("local %v, remote %v; expected none and the peer's", c.LocalAddr(), c.RemoteAddr())
			}
			close(done)
		}
		s.timer = func(time.Time) { t.Error("Timer after Closed") }
	})})
	nc := dial(t, ln)
	_ = nc.Close()
	receive(t, done, "Closed")
	if s := r.TotalStats(); s.Open != 0 || s.Timers != 0 {
		t.Errorf("%d connections open and %d timers armed, expected none", s.Open, s.Timers)
	}
}
