package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// handedOver returns both ends of a connection that a reactor has handed over at once: the client's and the reactor's Socket.
func handedOver(t *testing.T, cfg ListenConfig) (client net.Conn, socket *Socket) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	r := start(t, Config{NewHandler: func(_ int, c *Conn, _ time.Time) Handler {
		c.Detach(func(_ time.Time, nc net.Conn, _ []byte) { conns <- nc })
		return &echo{c}
	}})
	client = dial(t, listen(t, r, cfg))
	socket = receive(t, conns, "the connection").(*Socket)
	t.Cleanup(func() { _ = socket.Close() })
	return client, socket
}

// Whoever takes a Socket over can't tell it from package net's own connection.
func TestSocketFailsLikePackageNet(t *testing.T) {
	client, s := handedOver(t, ListenConfig{})
	if got, want := s.LocalAddr().String(), client.RemoteAddr().String(); got != want {
		t.Errorf("local address %v, expected %v", got, want)
	}
	if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || err != timeout {
		t.Errorf("read past the deadline: %T %v, expected a net.Error with Timeout", err, err)
	}
	// crypto/tls goes on after an error that says that it passes.
	if temporary, ok := err.(interface{ Temporary() bool }); !ok || !temporary.Temporary() {
		t.Errorf("read past the deadline: %v, expected a temporary error", err)
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read after the peer's RST: %v, expected ECONNRESET", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("write after the peer's RST: %v, expected EPIPE", err)
	}
	if err := s.CloseWrite(); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("CloseWrite after the peer's RST: %v, expected ENOTCONN", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, readErr := s.Read(make([]byte, 1))
	_, writeErr := s.Write([]byte("x"))
	_, lastErr := s.WriteLast([]byte("x"))
	for name, err := range map[string]error{"Read": readErr, "Write": writeErr, "WriteLast": lastErr, "CloseWrite": s.CloseWrite(), "Close": s.Close()} {
		var op *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
			t.Errorf("%s after Close: %v, expected a net.OpError with net.ErrClosed", name, err)
		}
	}
}

func TestSocketEnds(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, client net.Conn, s *Socket) (want error){
		"half closed, still read": func(t *testing.T, client net.Conn, s *Socket) error {
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			write(t, client, "late")
			expect(t, s, "late")
			return io.EOF
		},
		"reset": func(t *testing.T, _ net.Conn, s *Socket) error {
			if err := s.SetLinger(0); err != nil {
				t.Error(err)
			}
			_ = s.Close()
			return unix.ECONNRESET
		},
		"lingering again": func(t *testing.T, _ net.Conn, s *Socket) error {
			if err := errors.Join(s.SetLinger(0), s.SetLinger(-1)); err != nil {
				t.Error(err)
			}
			_ = s.Close()
			return io.EOF
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := handedOver(t, ListenConfig{})
			if _, err := s.Write([]byte("bye")); err != nil {
				t.Fatal(err)
			}
			expect(t, client, "bye")
			expectEnd(t, client, leave(t, client, s))
		})
	}
}

// WriteLast sends everything, however slowly it is read, and then the end.
func TestSocketWriteLast(t *testing.T) {
	for name, cfg := range map[string]ListenConfig{"tcp": {}, "unix": {Network: "unix", Address: filepath.Join(t.TempDir(), "s")}} {
		for size, octets := range map[string]int{"nothing": 0, "a line": 80, "more than the kernel takes": 12 << 20} {
			t.Run(name+"/"+size, func(t *testing.T) {
				client, s := handedOver(t, cfg)
				wrote := make(chan error, 1)
				want := bytes.Repeat([]byte("0123456789abcde\n"), octets/16)
				go func() {
					n, err := s.WriteLast(want)
					if err == nil && n != len(want) {
						err = io.ErrShortWrite
					}
					wrote <- err
				}()
				got, err := io.ReadAll(client)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("the peer got %d octets, expected %d", len(got), len(want))
				}
				if err := receive(t, wrote, "WriteLast"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSocketWriteLastHasADeadline(t *testing.T) {
	_, s := handedOver(t, ListenConfig{})
	if err := s.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteLast(make([]byte, 32<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("WriteLast to a peer that doesn't read: %v, expected ErrDeadlineExceeded", err)
	}
}

// After a handover the loop waits in the runtime's poller: it still hears its connections and those who post, and its timers are on time. After
// a while without handovers it waits by itself again.
func TestLoopWaitsElsewhereAfterAHandover(t *testing.T) {
	const pause = 2 * sharedLeast
	type firing struct{ due, at time.Time }
	fired := make(chan firing, 1)
	// The runtime's own poller opens its descriptors at first use, so use it.
	if p, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = p.Close()
	}
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		var due time.Time
		s.data = func(now time.Time, p []byte) int {
			switch p[0] {
			case 'd':
				s.c.Detach(func(_ time.Time, nc net.Conn, _ []byte) { _ = nc.Close() })
			case 't':
				due = now.Add(pause)
				s.c.SetDeadline(due)
			default:
				s.c.Write(p)
			}
			return len(p)
		}
		s.timer = func(time.Time) { fired <- firing{due, time.Now()} }
	})})
	nc, other := dial(t, ln), dial(t, ln)
	write(t, nc, "echo")
	expect(t, nc, "echo")
	write(t, other, "echo")
	expect(t, other, "echo")
	before := openFDs(t)
	shares := func() (shares bool) {
		asked := make(chan bool, 1)
		if !r.Post(0, func(time.Time) { asked <- r.loops[0].shared.file != nil }) {
			t.Fatal("the loop has ended")
		}
		return receive(t, asked, "the posted function")
	}
	write(t, other, "d")
	expectEnd(t, other, io.EOF)
	testkit.Await(t, "waiting in the runtime's poller", shares)
	if now := openFDs(t); now != before { // the end of other, and the loop's duplicate; the client's own end is still there
		t.Errorf("%d descriptors, before the handover %d", now, before)
	}
	write(t, nc, "again")
	expect(t, nc, "again")
	write(t, nc, "t")
	if f := receive(t, fired, "the timer"); f.at.Before(f.due) {
		t.Errorf("the timer fired %v early", f.due.Sub(f.at))
	}
	testkit.Await(t, "waiting by itself again", func() bool { return !shares() })
	if now := openFDs(t); now != before-1 {
		t.Errorf("%d descriptors, expected %d: without the duplicate", now, before-1)
	}
	write(t, nc, "still here")
	expect(t, nc, "still here")
}
