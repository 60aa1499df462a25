package reactor

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// countingAccept counts the calls of accept, and those that brought nothing.
func countingAccept(calls, empty *atomic.Int32) func(int32, *unix.RawSockaddrAny) (int32, unix.Errno) {
	return func(fd int32, from *unix.RawSockaddrAny) (int32, unix.Errno) {
		n, errno := accept(fd, from)
		calls.Add(1)
		if errno == unix.EAGAIN {
			empty.Add(1)
		}
		return n, errno
	}
}

// Connections that come one by one cost one call each: a failing one is nearly as dear.
func TestAcceptAsksOnceForOneConnection(t *testing.T) {
	const n = 100
	var calls, empty atomic.Int32
	ln := listen(t, startAccepting(t, Config{NewHandler: newEcho}, countingAccept(&calls, &empty)), ListenConfig{})
	for range n {
		nc := dial(t, ln)
		write(t, nc, "x") // a turn of the loop between two connections
		expect(t, nc, "x")
	}
	if calls.Load() != n || empty.Load() != 0 {
		t.Errorf("%d calls for %d connections, %d of them in vain", calls.Load(), n, empty.Load())
	}
}

// A queue that is full is emptied in a few turns, each of which takes twice as many as the one before.
func TestAcceptTakesAFloodInFewTurns(t *testing.T) {
	const n = 300
	var calls, empty atomic.Int32
	r := startAccepting(t, Config{NewHandler: newEcho}, countingAccept(&calls, &empty))
	ln := listen(t, r, ListenConfig{})
	ln.Pause()
	for range n {
		dial(t, ln)
	}
	before := r.TotalStats().Waits
	ln.Resume()
	testkit.Await(t, "all are accepted", func() bool { return r.TotalStats().Accepted == n })
	// 1 + 2 + ... + 64 + 64 + 64 + 45: ten turns; and some of a sleep or a question for the counters, which is a posted function.
	if calls.Load() > n+5 {
		t.Errorf("%d calls, %d in vain, for %d connections", calls.Load(), empty.Load(), n)
	}
	if waits := r.TotalStats().Waits - before; waits > 200 {
		t.Errorf("%d waits for %d connections that were there already", waits, n)
	}
}
