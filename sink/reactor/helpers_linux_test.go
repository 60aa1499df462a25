package reactor

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain())
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests.
const patience = testkit.Patience

// script is a Handler made of functions; those that are nil do the least.
type script struct {
	c       *Conn
	data    func(now time.Time, p []byte) int
	eof     func(now time.Time)
	timer   func(now time.Time)
	drained func(now time.Time)
	hangup  func(now time.Time)
	closed  func(now time.Time, err error)
}

func (s *script) Data(now time.Time, p []byte) int {
	if s.data == nil {
		return len(p)
	}
	return s.data(now, p)
}

func (s *script) EOF(now time.Time) {
	if s.eof == nil {
		s.c.Close(CloseFIN)
		return
	}
	s.eof(now)
}

func (s *script) Timer(now time.Time) {
	if s.timer != nil {
		s.timer(now)
	}
}

func (s *script) Drained(now time.Time) {
	if s.drained != nil {
		s.drained(now)
	}
}

func (s *script) Hangup(now time.Time) {
	if s.hangup != nil {
		s.hangup(now)
	}
}

func (s *script) Closed(now time.Time, err error) {
	if s.closed != nil {
		s.closed(now, err)
	}
}

// scripted makes every connection follow what play sets up.
func scripted(play func(s *script, now time.Time)) func(int, *Conn, time.Time) Handler {
	return func(_ int, c *Conn, now time.Time) Handler {
		s := &script{c: c}
		play(s, now)
		return s
	}
}

// echo sends back what comes.
type echo struct{ c *Conn }

func newEcho(_ int, c *Conn, _ time.Time) Handler { return &echo{c} }

func (e *echo) Data(_ time.Time, p []byte) int { e.c.Write(p); return len(p) }
func (e *echo) EOF(time.Time)                  { e.c.Close(CloseFIN) }
func (e *echo) Timer(time.Time)                {}
func (e *echo) Drained(time.Time)              {}
func (e *echo) Closed(time.Time, error)        {}

// start runs a reactor until the test ends.
func start(tb testing.TB, cfg Config) *Reactor {
	tb.Helper()
	return startAccepting(tb, cfg, accept)
}

func startAccepting(tb testing.TB, cfg Config, accept func(int32, *unix.RawSockaddrAny) (int32, unix.Errno)) *Reactor {
	tb.Helper()
	r, err := newReactor(cfg, accept)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return r
}

func listen(tb testing.TB, r *Reactor, cfg ListenConfig) *Listener {
	tb.Helper()
	if cfg.Network == "" {
		cfg.Network, cfg.Address = "tcp", "127.0.0.1:0"
	}
	ln, err := r.Listen(cfg)
	if err != nil {
		tb.Fatalf("Listen: %v", err)
	}
	return ln
}

// serve starts a reactor with one listener on loopback.
func serve(tb testing.TB, cfg Config) (*Reactor, *Listener) {
	tb.Helper()
	r := start(tb, cfg)
	return r, listen(tb, r, ListenConfig{})
}

// dial connects to ln; the connection ends with the test.
func dial(tb testing.TB, ln *Listener) net.Conn {
	tb.Helper()
	nc, err := net.DialTimeout(ln.Addr().Network(), ln.Addr().String(), patience)
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	return nc
}

func write(tb testing.TB, nc io.Writer, s string) {
	tb.Helper()
	if _, err := io.WriteString(nc, s); err != nil {
		tb.Fatalf("write of %d octets: %v", len(s), err)
	}
}

// expect reads exactly want.
func expect(tb testing.TB, nc io.Reader, want string) {
	tb.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(nc, got); err != nil {
		tb.Fatalf("read %d of %d octets, then: %v", n, len(want), err)
	}
	if string(got) != want {
		tb.Fatalf("read %.80q, expected %.80q", got, want)
	}
}

// expectEnd reads one more time and expects err: io.EOF, or an errno.
func expectEnd(tb testing.TB, nc io.Reader, want error) {
	tb.Helper()
	if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		tb.Fatalf("read %d octets and error %v, expected %v", n, err, want)
	}
}

// receive waits for a value.
func receive[T any](tb testing.TB, ch <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatalf("%s: nothing came in %v", what, patience)
		panic("unreachable")
	}
}

func openFDs(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}
