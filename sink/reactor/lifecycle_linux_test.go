package reactor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// An event for a connection that is gone never reaches its descriptor's next owner.
func TestStaleGeneration(t *testing.T) {
	var conn *Conn
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		conn = s.c
		s.c.Write([]byte("hi"))
		s.data = func(time.Time, []byte) int { panic("no input was sent") }
		s.eof = func(time.Time) { t.Error("EOF by a stale event") }
		s.closed = func(_ time.Time, err error) {
			if !errors.Is(err, ErrStopped) {
				t.Errorf("closed by a stale event: %v", err)
			}
		}
	})})
	nc := dial(t, ln)
	expect(t, nc, "hi")
	r.Post(0, func(time.Time) {
		conn.l.dispatch(&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP | unix.EPOLLERR, Fd: conn.fd, Pad: int32(conn.gen + 1)})
	})
	if s := r.TotalStats(); s.Stale != 1 || s.Open != 1 {
		t.Errorf("%d stale events, %d open; expected 1 and 1", s.Stale, s.Open)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Without descriptors accepting stops, doesn't spin, and goes on later.
func TestAcceptSurvivesEMFILE(t *testing.T) {
	var fails atomic.Int32
	fails.Store(3)
	r := startAccepting(t, Config{NewHandler: newEcho}, func(fd int32, from *unix.RawSockaddrAny) (int32, unix.Errno) {
		if fails.Add(-1) >= 0 {
			return -1, unix.EMFILE
		}
		return accept(fd, from)
	})
	ln := listen(t, r, ListenConfig{})
	nc := dial(t, ln)
	write(t, nc, "x")
	expect(t, nc, "x")
	s := r.TotalStats()
	if s.AcceptPauses != 3 {
		t.Errorf("%d pauses, expected 3", s.AcceptPauses)
	}
	if s.Waits > 60 {
		t.Errorf("%d waits in three pauses: it spins", s.Waits)
	}
}

func TestAcceptGoesOnAfterOtherErrors(t *testing.T) {
	var calls atomic.Int32
	errnos := []unix.Errno{unix.ECONNABORTED, unix.EINTR, unix.EPROTO, unix.EPERM}
	r := startAccepting(t, Config{NewHandler: newEcho}, func(fd int32, from *unix.RawSockaddrAny) (int32, unix.Errno) {
		if n := int(calls.Add(1)); n <= len(errnos) {
			return -1, errnos[n-1]
		}
		return accept(fd, from)
	})
	nc := dial(t, listen(t, r, ListenConfig{}))
	write(t, nc, "x")
	expect(t, nc, "x")
	if s := r.TotalStats(); s.AcceptErrors != uint64(len(errnos)) || s.AcceptPauses != 0 {
		t.Errorf("%d errors, %d pauses; expected %d and none", s.AcceptErrors, s.AcceptPauses, len(errnos))
	}
}

const childEnv = "REACTOR_TEST_CHILD"

// childMain is a server with few descriptors: it prints its address, then, at
// the end of its input, its counters.
func childMain() int {
	die := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 40}); err != nil {
		return die(err)
	}
	r, err := New(Config{Loops: 2, NewHandler: func(_ int, c *Conn, _ time.Time) Handler {
		c.Write([]byte("220 hi\r\n"))
		return &echo{c}
	}})
	if err != nil {
		return die(err)
	}
	ln, err := r.Listen(ListenConfig{Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		return die(err)
	}
	fmt.Println(ln.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s := r.TotalStats()
	fmt.Println(s.Accepted, s.Closed, s.AcceptPauses, s.Waits)
	if err := r.Close(); err != nil {
		return die(err)
	}
	return 0
}

// The same with a real limit, in a process of its own: of 100 clients the first
// get in, the others wait, and each that leaves lets another one in.
func TestDescriptorLimit(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(stdout)
	if !out.Scan() {
		t.Fatal("the child printed no address")
	}
	const n = 100
	greeted, failed := make(chan net.Conn, n), make(chan error, n)
	for range n {
		nc, err := net.DialTimeout("tcp", out.Text(), patience)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		go func() {
			if _, err := io.ReadFull(nc, make([]byte, 8)); err != nil {
				failed <- err
				_ = nc.Close()
				return
			}
			greeted <- nc
		}()
	}
	for range n { // one leaves, the next comes in
		select {
		case nc := <-greeted:
			_ = nc.Close()
		case err := <-failed:
			t.Errorf("a client never got in: %v", err)
		}
	}
	_ = stdin.Close()
	if !out.Scan() {
		t.Fatal("the child printed no counters")
	}
	var accepted, closed, pauses, waits int
	if _, err := fmt.Sscan(out.Text(), &accepted, &closed, &pauses, &waits); err != nil {
		t.Fatalf("counters %q: %v", out.Text(), err)
	}
	if accepted != n || pauses == 0 || waits > 20*n {
		t.Errorf("accepted %d, %d pauses, %d waits; expected %d, some, and no spinning", accepted, pauses, waits, n)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
}

// A detached connection arrives after the output, with the input that wasn't consumed.
func TestDetach(t *testing.T) {
	served := make(chan error, 1)
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.closed = func(_ time.Time, err error) { served <- fmt.Errorf("closed with %v", err) }
		s.timer = func(time.Time) { served <- errors.New("Timer after Detach") }
		s.data = func(now time.Time, p []byte) int {
			s.c.SetDeadline(now.Add(time.Millisecond))
			s.c.Write(make([]byte, 5<<20))
			s.c.Write([]byte("go ahead\r\n"))
			s.c.Detach(func(_ time.Time, nc net.Conn, leftover []byte) {
				go func() {
					defer func() { _ = nc.Close() }()
					if _, err := nc.Write(leftover); err != nil {
						served <- err
						return
					}
					_, err := io.Copy(nc, nc)
					served <- err
				}()
			})
			return len("STARTTLS\r\n")
		}
	})})
	nc := dial(t, ln)
	write(t, nc, "STARTTLS\r\nearly")
	if _, err := io.CopyN(io.Discard, nc, 5<<20); err != nil {
		t.Fatal(err)
	}
	expect(t, nc, "go ahead\r\nearly")
	write(t, nc, "later")
	expect(t, nc, "later")
	if s := r.TotalStats(); s.Detached != 1 || s.Open != 0 || s.Closed != 0 || s.Timers != 0 {
		t.Errorf("detached %d, open %d, closed %d, timers %d; expected 1, 0, 0, 0", s.Detached, s.Open, s.Closed, s.Timers)
	}
	_ = nc.Close()
	if err := receive(t, served, "the goroutine's end"); err != nil {
		t.Error(err)
	}
}

func TestDetachAtOnce(t *testing.T) {
	conns := make(chan net.Conn, 1)
	_, ln := serve(t, Config{NewHandler: func(_ int, c *Conn, _ time.Time) Handler {
		c.Detach(func(_ time.Time, nc net.Conn, leftover []byte) {
			if len(leftover) != 0 {
				t.Errorf("leftover %q", leftover)
			}
			conns <- nc
		})
		return &echo{c}
	}})
	nc := dial(t, ln)
	write(t, nc, "client hello")
	detached := receive(t, conns, "the connection")
	defer func() { _ = detached.Close() }()
	expect(t, detached, "client hello")
	if detached.RemoteAddr().String() != nc.LocalAddr().String() {
		t.Errorf("remote address %v, expected %v", detached.RemoteAddr(), nc.LocalAddr())
	}
}

func TestNilHandlerRefuses(t *testing.T) {
	r, ln := serve(t, Config{NewHandler: func(int, *Conn, time.Time) Handler { return nil }})
	nc := dial(t, ln)
	expectEnd(t, nc, io.EOF)
	_ = nc.Close()
	testkit.Await(t, "closed", func() bool { return r.TotalStats().Closed == 1 })
}

// Shutdown lets the owners finish; nothing is left behind.
func TestShutdown(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	// The runtime's own poller opens its descriptors at first use, so use it.
	if p, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = p.Close()
	}
	before := openFDs(t)
	unixPath := filepath.Join(t.TempDir(), "s")
	closed := make(chan error, 100)
	r, err := New(Config{Loops: 2, NewHandler: scripted(func(s *script, _ time.Time) {
		s.c.Write([]byte("hi"))
		s.closed = func(_ time.Time, err error) { closed <- err }
	})})
	if err != nil {
		t.Fatal(err)
	}
	lns := []*Listener{listen(t, r, ListenConfig{}), listen(t, r, ListenConfig{Network: "unix", Address: unixPath})}
	var conns []net.Conn
	for i := range 20 {
		nc := dial(t, lns[i%2])
		expect(t, nc, "hi")
		conns = append(conns, nc)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- r.Shutdown(context.Background(), func(c *Conn, _ time.Time) {
			c.Write([]byte("421 bye\r\n"))
			c.Close(CloseFIN)
		})
	}()
	for _, nc := range conns {
		expect(t, nc, "421 bye\r\n")
		expectEnd(t, nc, io.EOF)
		_ = nc.Close()
	}
	if err := receive(t, ended, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range conns {
		if err := receive(t, closed, "Closed"); err != nil {
			t.Errorf("Closed with %v", err)
		}
	}
	for _, ln := range lns {
		if nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
			_ = nc.Close()
			t.Errorf("%v still accepts", ln.Addr())
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(unixPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
	if r.Post(0, func(time.Time) {}) {
		t.Error("Post to a stopped reactor says that it will run")
	}
	if s := r.TotalStats(); s.Closed != 20 || s.Open != 0 {
		t.Errorf("closed %d, open %d; expected 20 and 0", s.Closed, s.Open)
	}
	if _, err := r.Listen(ListenConfig{Network: "tcp", Address: "127.0.0.1:0"}); !errors.Is(err, ErrStopped) {
		t.Errorf("Listen on a stopped reactor: %v, expected ErrStopped", err)
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
	if err := goleak.Find(ignore); err != nil {
		t.Error(err)
	}
}

// Connections that don't end by the deadline are ended.
func TestShutdownDeadline(t *testing.T) {
	closed := make(chan error, 1)
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.c.Write([]byte("hi"))
		s.closed = func(_ time.Time, err error) { closed <- err }
	})})
	nc := dial(t, ln)
	expect(t, nc, "hi")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, expected the deadline's error", err)
	}
	expectClosed(t, closed, ErrStopped)
}

func TestListenErrors(t *testing.T) {
	r := start(t, Config{Loops: 2, NewHandler: newEcho})
	other := start(t, Config{Loops: 2, NewHandler: newEcho})
	taken := listen(t, other, ListenConfig{}).Addr().String()
	path := filepath.Join(t.TempDir(), "s")
	listen(t, other, ListenConfig{Network: "unix", Address: path})
	for _, tc := range []struct {
		network, address string
		want             error
	}{
		{"tcp", taken, unix.EADDRINUSE},
		{"unix", path, unix.EADDRINUSE},
		{"unix", filepath.Join(path, "below"), unix.ENOTDIR},
		{"tcp", "192.0.2.1:0", unix.EADDRNOTAVAIL},
		{"tcp", "127.0.0.1", nil},
		{"udp", "127.0.0.1:0", nil},
	} {
		ln, err := r.Listen(ListenConfig{Network: tc.network, Address: tc.address})
		if err == nil {
			_ = ln.Close()
			t.Errorf("%s %s: no error", tc.network, tc.address)
			continue
		}
		if tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.network+" "+tc.address) {
			t.Errorf("%s %s: error %q, expected one that names both and wraps %v", tc.network, tc.address, err, tc.want)
		}
	}
	for _, cfg := range []Config{{}, {NewHandler: newEcho, Loops: -1}, {NewHandler: newEcho, ReadBuffer: -1}, {NewHandler: newEcho, HighWater: -1}, {NewHandler: newEcho, LingerBytes: -1}} {
		if r, err := New(cfg); err == nil {
			_ = r.Close()
			t.Errorf("New(%+v): no error", cfg)
		}
	}
}

// The socket file of a killed process is replaced; any other file isn't.
func TestAbandonedUnixSocket(t *testing.T) {
	r := start(t, Config{NewHandler: newEcho})
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	nc := dial(t, listen(t, r, ListenConfig{Network: "unix", Address: path}))
	write(t, nc, "x")
	expect(t, nc, "x")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Listen(ListenConfig{Network: "unix", Address: file}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("listening on a plain file: %v, expected EADDRINUSE", err)
	}
}

// A listener can be paused, resumed and closed apart from the connections.
func TestListenerPauseAndClose(t *testing.T) {
	r := start(t, Config{Loops: 2, NewHandler: newEcho})
	ln := listen(t, r, ListenConfig{Network: "tcp", Address: "127.0.0.1:0", Paused: true})
	nc := dial(t, ln)
	write(t, nc, "x")
	if s := r.TotalStats(); s.Accepted != 0 {
		t.Errorf("accepted %d while paused", s.Accepted)
	}
	ln.Resume()
	expect(t, nc, "x")
	ln.Pause()
	second := dial(t, ln)
	if s := r.TotalStats(); s.Accepted != 1 {
		t.Errorf("accepted %d, expected 1", s.Accepted)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, second, unix.ECONNRESET)
	if nc, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = nc.Close()
		t.Error("the closed listener accepts")
	}
	write(t, nc, "y")
	expect(t, nc, "y")
	again := listen(t, r, ListenConfig{Network: "tcp", Address: ln.Addr().String()})
	third := dial(t, again)
	write(t, third, "z")
	expect(t, third, "z")
}

func TestPost(t *testing.T) {
	r, _ := serve(t, Config{Loops: 2, NewHandler: newEcho})
	order := make(chan int, 1000)
	for i := range 1000 {
		if !r.Post(1, func(time.Time) { order <- i }) {
			t.Fatal("Post says no")
		}
	}
	for i := range 1000 {
		if got := receive(t, order, "a posted function"); got != i {
			t.Fatalf("function %d ran, expected %d", got, i)
		}
	}
}
