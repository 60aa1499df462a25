package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestEchoOverManyConnections(t *testing.T) {
	unixPath := filepath.Join(t.TempDir(), "s")
	for _, tc := range []struct {
		network, address string
		loops            int
	}{
		{"tcp4", "127.0.0.1:0", 1},
		{"tcp", "127.0.0.1:0", 3},
		{"tcp6", "[::1]:0", 2},
		{"unix", unixPath, 2},
	} {
		t.Run(fmt.Sprintf("%s/loops=%d", tc.network, tc.loops), func(t *testing.T) {
			r := start(t, Config{Loops: tc.loops, NewHandler: newEcho})
			ln := listen(t, r, ListenConfig{Network: tc.network, Address: tc.address})
			const conns, rounds = 60, 20
			var wg sync.WaitGroup
			for i := range conns {
				nc := dial(t, ln)
				wg.Go(func() {
					defer func() { _ = nc.Close() }()
					for k := range rounds {
						want := fmt.Sprintf("connection %d says %d for the %s time\r\n", i, k, strings.Repeat("x", 10*k))
						got := make([]byte, len(want))
						if _, err := io.WriteString(nc, want); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						if _, err := io.ReadFull(nc, got); err != nil || string(got) != want {
							t.Errorf("got %q and %v, expected %q", got, err, want)
							return
						}
					}
				})
			}
			wg.Wait()
			testkit.Await(t, "all connections closed", func() bool { return r.TotalStats().Open == 0 })
			s := r.TotalStats()
			if s.Accepted != conns || s.Closed != conns || s.Failed != 0 || s.BytesIn != s.BytesOut || s.BytesIn == 0 {
				t.Errorf("stats: %+v; expected %d accepted and closed, none failed, as much out as in", s, conns)
			}
			if tc.network == "tcp" {
				for i, s := range r.Stats() {
					if s.Accepted == 0 {
						t.Errorf("loop %d of %d got no connection of %d", i, tc.loops, conns)
					}
				}
			}
		})
	}
}

func TestTwoThousandConnections(t *testing.T) {
	r, ln := serve(t, Config{Loops: 2, NewHandler: newEcho})
	const n = 2000
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = dial(t, ln)
		write(t, conns[i], fmt.Sprintf("%06d", i))
	}
	for i, nc := range conns {
		expect(t, nc, fmt.Sprintf("%06d", i))
	}
	if s := r.TotalStats(); s.Open != n {
		t.Errorf("open %d, expected %d", s.Open, n)
	}
	for _, nc := range conns {
		_ = nc.Close()
	}
	testkit.Await(t, "all closed", func() bool { return r.TotalStats().Open == 0 })
}

func TestAddresses(t *testing.T) {
	type seen struct{ remote, local netip.AddrPort }
	at := make(chan seen, 1)
	r := start(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		nodelay, err := unix.GetsockoptInt(int(s.c.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		if err != nil || nodelay == 0 {
			t.Errorf("TCP_NODELAY is %d, error %v; expected it on", nodelay, err)
		}
		if s.c.Tag() != "mx" || s.c.Listener().Tag() != "mx" {
			t.Errorf("tag %v, expected mx", s.c.Tag())
		}
		at <- seen{s.c.RemoteAddr(), s.c.LocalAddr()}
	})})
	for _, tc := range []struct{ network, address, dial string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"tcp6", "[::1]:0", "::1"},
		{"tcp", ":0", "127.0.0.1"}, // IPv4 through the IPv6 socket
		{"tcp", ":0", "::1"},
	} {
		ln := listen(t, r, ListenConfig{Network: tc.network, Address: tc.address, Tag: "mx"})
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp", net.JoinHostPort(tc.dial, port))
		if err != nil {
			t.Fatal(err)
		}
		got := receive(t, at, "a connection")
		if got.remote.String() != nc.LocalAddr().String() || got.local.String() != nc.RemoteAddr().String() {
			t.Errorf("%s %s: saw %+v, the client is %v to %v", tc.network, tc.address, got, nc.LocalAddr(), nc.RemoteAddr())
		}
		_ = nc.Close()
	}
}

// A Handler that takes a few octets at a time sees every octet once, in order,
// and nothing while it is paused.
func TestPausedInputIsOfferedAgainInOrder(t *testing.T) {
	for _, limit := range []int{0, 5} {
		t.Run(fmt.Sprintf("limit=%d", limit), func(t *testing.T) {
			got := make(chan string, 1)
			_, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
				var all []byte
				paused := false
				s.c.SetReadLimit(limit)
				s.data = func(now time.Time, p []byte) int {
					if paused {
						t.Error("offered input while paused")
					}
					if limit > 0 && len(p) > limit {
						t.Errorf("offered %d octets, the limit is %d", len(p), limit)
					}
					n := min(3, len(p))
					all = append(all, p[:n]...)
					if paused = n < len(p); paused {
						s.c.SetDeadline(now.Add(10 * time.Microsecond))
					}
					return n
				}
				s.timer = func(time.Time) { paused = false; s.c.Resume() }
				s.eof = func(time.Time) { got <- string(all); s.c.Close(CloseFIN) }
			})})
			nc := dial(t, ln)
			var want strings.Builder
			for i := range 200 {
				line := fmt.Sprintf("line %d\r\n", i)
				want.WriteString(line)
				write(t, nc, line)
			}
			if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, got, "the input"); got != want.String() {
				t.Errorf("got %d octets %.60q, expected %d octets %.60q", len(got), got, want.Len(), want.String())
			}
			expectEnd(t, nc, io.EOF)
		})
	}
}

// Pause without a remainder holds back what comes later; and as long as the
// peer is quiet it costs no system call.
func TestPauseOfAQuietPeerIsFree(t *testing.T) {
	var conn *Conn
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		conn = s.c
		s.data = func(_ time.Time, p []byte) int {
			s.c.Write(p)
			s.c.Pause()
			return len(p)
		}
	})})
	resume := func() { r.Post(conn.Loop(), func(time.Time) { conn.Resume() }) }
	nc := dial(t, ln)
	write(t, nc, "a")
	expect(t, nc, "a")
	before := r.TotalStats()
	resume()
	write(t, nc, "b")
	expect(t, nc, "b")
	if n := r.TotalStats().Controls - before.Controls; n != 0 {
		t.Errorf("a pause of a quiet peer cost %d changes to epoll, expected none", n)
	}
	write(t, nc, "c")
	testkit.Await(t, "the early input to disarm reading", func() bool { return r.TotalStats().Controls > before.Controls })
	waits := r.TotalStats().Waits
	resume()
	expect(t, nc, "c")
	if n := r.TotalStats().Waits - waits; n > 40 {
		t.Errorf("%d waits while paused: it spins", n)
	}
}

// The output of a peer that doesn't read waits, is bounded since input isn't
// read either, and arrives whole when the peer reads at last.
func TestSlowReader(t *testing.T) {
	const highWater, block = 100_000, 50_000
	reported := make(chan int, 10_000)
	drained := make(chan struct{}, 1)
	r, ln := serve(t, Config{HighWater: highWater, NewHandler: scripted(func(s *script, _ time.Time) {
		s.data = func(_ time.Time, p []byte) int {
			for _, b := range p {
				if n := s.c.Write(bytes.Repeat([]byte{b}, block)); n > highWater {
					reported <- n
					s.c.AwaitDrain(DrainKernel)
				}
			}
			return len(p)
		}
		s.drained = func(time.Time) {
			if s.c.Pending() != 0 {
				t.Errorf("Drained with %d octets pending", s.c.Pending())
			}
			select {
			case drained <- struct{}{}:
			default:
			}
		}
		s.c.SetReadLimit(1)
	})})
	nc := dial(t, ln)
	var want strings.Builder
	for i := range 400 { // asks for 20 MB, more than any socket buffer
		b := string(rune('a' + i%26))
		want.WriteString(strings.Repeat(b, block))
		write(t, nc, b)
	}
	if n := receive(t, reported, "output over the high-water mark"); n > highWater+block {
		t.Errorf("%d octets pending, expected at most %d", n, highWater+block)
	}
	s := r.TotalStats()
	if s.HighWater == 0 || s.Pending <= 0 || s.Pending > highWater+block || s.BytesIn >= 400 {
		t.Errorf("while the peer doesn't read: %d times over the mark, %d pending, %d read; expected some, some within bounds, not all 400", s.HighWater, s.Pending, s.BytesIn)
	}
	expect(t, nc, want.String())
	receive(t, drained, "Drained")
	testkit.Await(t, "nothing pending", func() bool { return r.TotalStats().Pending == 0 })
}

func TestAwaitDrain(t *testing.T) {
	for _, d := range []Drain{DrainKernel, DrainPeer} {
		calls := make(chan bool, 8)
		_, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
			inside := true
			s.c.Write([]byte("hello"))
			s.c.AwaitDrain(d)
			s.drained = func(time.Time) { calls <- inside || !s.c.acknowledged() && d == DrainPeer }
			inside = false
		})})
		nc := dial(t, ln)
		expect(t, nc, "hello")
		if wrong := receive(t, calls, "Drained"); wrong {
			t.Errorf("drain %d: called within AwaitDrain, or before the peer had it all", d)
		}
		if len(calls) != 0 {
			t.Errorf("drain %d: Drained came more than once", d)
		}
	}
}

// A peer that goes away while its connection is paused is noticed.
func TestHangupWhilePaused(t *testing.T) {
	for name, tc := range map[string]struct {
		leave func(nc net.Conn)
		err   error // of Closed; nil: Hangup comes, then the rest of the input
	}{
		"fin": {leave: func(nc net.Conn) { _ = nc.Close() }},
		"rst": {leave: func(nc net.Conn) { _ = nc.(*net.TCPConn).SetLinger(0); _ = nc.Close() }, err: unix.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			events := make(chan string, 10)
			paused := make(chan struct{}, 1)
			closed := make(chan error, 1)
			r, ln := serve(t, Config{NewHandler: scripted(func(s *script, now time.Time) {
				s.data = func(_ time.Time, p []byte) int {
					events <- string(p)
					if string(p) == "ab" {
						paused <- struct{}{}
						return 1
					}
					return len(p)
				}
				s.hangup = func(time.Time) { events <- "hangup"; s.c.Resume() }
				s.eof = func(time.Time) { events <- "eof"; s.c.Close(CloseFIN) }
				s.closed = func(_ time.Time, err error) { closed <- err }
			})})
			nc := dial(t, ln)
			write(t, nc, "ab")
			receive(t, paused, "input")
			if name == "fin" {
				write(t, nc, "cd")
			}
			tc.leave(nc)
			if err := receive(t, closed, "Closed"); !errors.Is(err, tc.err) {
				t.Errorf("Closed with %v, expected %v", err, tc.err)
			}
			close(events)
			var got []string
			for e := range events {
				got = append(got, e)
			}
			want := "ab hangup b cd eof"
			if tc.err != nil {
				want = "ab"
			}
			if strings.Join(got, " ") != want {
				t.Errorf("events %q, expected %q", got, want)
			}
			if s := r.TotalStats(); s.Waits > 100 {
				t.Errorf("%d waits: it spins", s.Waits)
			}
		})
	}
}

// A connection that is paused for long after its peer hung up doesn't make the
// loop spin, on a unix socket either, where epoll reports the hangup for ever.
func TestHangupDoesNotSpin(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			hungup, resumed := make(chan *Conn, 1), make(chan string, 2)
			r := start(t, Config{NewHandler: scripted(func(s *script, now time.Time) {
				s.c.Pause()
				s.hangup = func(time.Time) { hungup <- s.c }
				s.data = func(_ time.Time, p []byte) int { resumed <- string(p); return len(p) }
				s.eof = func(time.Time) { resumed <- "eof"; s.c.Close(CloseFIN) }
			})})
			cfg := ListenConfig{Network: network, Address: "127.0.0.1:0"}
			if network == "unix" {
				cfg.Address = filepath.Join(t.TempDir(), "s")
			}
			nc := dial(t, listen(t, r, cfg))
			write(t, nc, "last words")
			_ = nc.Close()
			c := receive(t, hungup, "Hangup")
			before := r.TotalStats().Waits
			for range 10 {
				r.TotalStats() // a turn of the loop each
			}
			if n := r.TotalStats().Waits - before; n > 60 {
				t.Errorf("%d waits in 11 turns: it spins", n)
			}
			c.Post(func(time.Time) { c.Resume() })
			if got := receive(t, resumed, "Data"); got != "last words" {
				t.Errorf("after Resume got %q", got)
			}
			if got := receive(t, resumed, "EOF"); got != "eof" {
				t.Errorf("after the input got %q", got)
			}
		})
	}
}

// StopReading lets the peer run into a zero window.
func TestStopReadingClosesTheWindow(t *testing.T) {
	r := start(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.data = func(_ time.Time, p []byte) int { s.c.StopReading(); return len(p) }
	})})
	nc := dial(t, listen(t, r, ListenConfig{Network: "tcp", Address: "127.0.0.1:0", ReceiveBuffer: 16 << 10}))
	written := make(chan error, 1)
	go func() {
		_, err := nc.Write(make([]byte, 8<<20))
		written <- err
	}()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "a zero window at the sender", func() bool {
		var info *unix.TCPInfo
		var err error
		if ctlErr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); ctlErr != nil || err != nil {
			t.Fatalf("TCP_INFO: %v %v", ctlErr, err)
		}
		return info.Snd_wnd < 1024 && info.Probes > 0 || info.Snd_wnd == 0 && info.Bytes_acked > 0
	})
	if n := r.TotalStats().BytesIn; n >= 1<<20 {
		t.Errorf("%d octets were read", n)
	}
	_ = nc.Close()
	if err := receive(t, written, "the end of the write"); err == nil {
		t.Error("8 MiB went through a closed window")
	}
}
