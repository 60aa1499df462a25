package reactor

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dialRaw returns n blocking sockets: clients that cost no Go memory and no
// poller, so that what is measured is the reactor.
func dialRaw(tb testing.TB, ln *Listener, n int) []int {
	tb.Helper()
	fds := make([]int, 0, n)
	tb.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	timeout := unix.NsecToTimeval(int64(patience))
	server := &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			tb.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			tb.Fatal(err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			tb.Fatal(err)
		}
		if err := unix.Connect(fd, server); err != nil {
			tb.Fatal(err)
		}
	}
	return fds
}

// roundTrips sends msg on every connection, then reads every answer.
func roundTrips(tb testing.TB, fds []int, msg, buf []byte) {
	for _, fd := range fds {
		n, err := unix.Write(fd, msg)
		for err == unix.EINTR {
			n, err = unix.Write(fd, msg)
		}
		if n != len(msg) {
			tb.Fatalf("wrote %d octets, error %v", n, err)
		}
	}
	for _, fd := range fds {
		for got := 0; got < len(msg); {
			n, err := unix.Read(fd, buf)
			if err == unix.EINTR { // a signal of the Go scheduler
				continue
			}
			if n <= 0 {
				tb.Fatalf("read %d octets, error %v", n, err)
			}
			got += n
		}
	}
}

// pausing answers every other octet only after a pause and a timer, so that
// kept input, timers and events' changes are all part of the round trip.
type pausing struct{ c *Conn }

func (h *pausing) Data(now time.Time, p []byte) int {
	h.c.Write(p[:1])
	if len(p) > 1 {
		h.c.SetDeadline(now)
	} else {
		h.c.SetDeadline(now.Add(time.Minute)) // an idle timeout
	}
	return 1
}
func (h *pausing) EOF(time.Time)           { h.c.Close(CloseFIN) }
func (h *pausing) Timer(time.Time)         { h.c.Resume() }
func (h *pausing) Drained(time.Time)       {}
func (h *pausing) Closed(time.Time, error) {}

func TestRoundTripsDoNotAllocate(t *testing.T) {
	for name, newHandler := range map[string]func(int, *Conn, time.Time) Handler{
		"echo":    newEcho,
		"pausing": func(_ int, c *Conn, _ time.Time) Handler { return &pausing{c} },
	} {
		t.Run(name, func(t *testing.T) {
			_, ln := serve(t, Config{NewHandler: newHandler})
			fds := dialRaw(t, ln, 20)
			msg, buf := []byte("NOOP\r\n"), make([]byte, 512)
			run := func() { roundTrips(t, fds, msg, buf) }
			if raceEnabled {
				t.Skip("the race detector allocates")
			}
			for range 200 { // pools and slices reach their sizes
				run()
			}
			// It counts the allocations of the whole process. A collection
			// empties the pools, so let none happen.
			if n := testing.AllocsPerRun(500, run); n >= 1 {
				t.Errorf("%v allocations per %d round trips, expected none", n, len(fds))
			}
		})
	}
}

// A connection at rest costs the Go heap little: its Conn, its Handler, a slot in the
// loop's table, and one in the timer heap.
func TestMemoryPerIdleConnection(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size >= 200 {
		t.Errorf("a Conn has %d octets, expected under 200", size)
	}
	const n = 2000
	r, ln := serve(t, Config{NewHandler: func(_ int, c *Conn, now time.Time) Handler {
		c.SetDeadline(now.Add(time.Hour))
		return &echo{c}
	}})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	fds := dialRaw(t, ln, n)
	roundTrips(t, fds, []byte("x"), make([]byte, 16))
	per := (float64(heap()) - float64(before)) / n
	if per > 256 {
		t.Errorf("%.0f octets of heap per idle connection, expected at most 256", per)
	}
	t.Logf("%.0f octets of heap per idle connection", per)
	runtime.KeepAlive(r)
}

func BenchmarkEcho(b *testing.B) {
	for _, conns := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			r, ln := serve(b, Config{NewHandler: newEcho})
			fds := dialRaw(b, ln, conns)
			msg, buf := []byte("MAIL FROM:<someone@example.com>\r\n"), make([]byte, 512)
			roundTrips(b, fds, msg, buf)
			before := r.TotalStats()
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				n := min(conns, b.N-done)
				roundTrips(b, fds[:n], msg, buf)
				done += n
			}
			b.StopTimer()
			s := r.TotalStats()
			b.ReportMetric(float64(s.Waits-before.Waits)/float64(b.N), "waits/op")
		})
	}
}

// BenchmarkDelayed is a reply that waits for its connection's timer.
func BenchmarkDelayed(b *testing.B) {
	_, ln := serve(b, Config{NewHandler: func(_ int, c *Conn, _ time.Time) Handler { return &pausing{c} }})
	fds := dialRaw(b, ln, 100)
	msg, buf := []byte("xx"), make([]byte, 512)
	roundTrips(b, fds, msg, buf)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		n := min(len(fds), b.N-done)
		roundTrips(b, fds[:n], msg, buf)
		done += n
	}
}

// BenchmarkTimers re-arms and fires the timers of 15,000 connections.
func BenchmarkTimers(b *testing.B) {
	for _, step := range []string{"postpone", "fire"} {
		b.Run(step, func(b *testing.B) {
			const n = 15_000
			var h timerHeap
			conns := make([]Conn, n)
			for i := range conns {
				conns[i].when = int64(i*7919%n) + 1
				h.set(&conns[i], conns[i].when)
			}
			now := int64(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now++
				if step == "postpone" {
					h.set(&conns[i%n], now+n)
					continue
				}
				c := h[0].c
				h.remove(c)
				h.set(c, now+int64(i*7919%n))
			}
		})
	}
}
