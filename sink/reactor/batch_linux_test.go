package reactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// together has clients write while the loop stands still, so that it finds all their input in one turn.
func together(t *testing.T, r *Reactor, clients []net.Conn, say func(i int) string) {
	t.Helper()
	stopped, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	if !r.Post(0, func(time.Time) { close(stopped); <-goOn }) {
		t.Fatal("the loop has ended")
	}
	receive(t, stopped, "the loop to stand still")
	for i, nc := range clients {
		write(t, nc, say(i))
	}
}

func dialAll(t *testing.T, r *Reactor, ln *Listener, n int) (clients []net.Conn) {
	t.Helper()
	for range n {
		clients = append(clients, dial(t, ln))
	}
	testkit.Await(t, "all accepted", func() bool { return r.TotalStats().Open == int64(n) })
	return clients
}

func TestBatchIsHandledBeforeItIsWritten(t *testing.T) {
	const n = 5
	pending := make(chan []int, n)
	var conns []*Conn
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		conns = append(conns, s.c)
		s.data = func(_ time.Time, p []byte) int {
			s.c.Write(p)
			var now []int
			for _, c := range conns {
				now = append(now, c.Pending())
			}
			pending <- now
			return len(p)
		}
	})})
	clients := dialAll(t, r, ln, n)
	before := r.TotalStats()
	together(t, r, clients, func(int) string { return "hello" })
	for _, nc := range clients {
		expect(t, nc, "hello")
	}
	for handled := 1; handled <= n; handled++ {
		sum := 0
		for _, octets := range receive(t, pending, "input") {
			sum += octets
		}
		if sum != handled*len("hello") {
			t.Errorf("%d octets wait after %d connections were handled, expected %d", sum, handled, handled*len("hello"))
		}
	}
	after := r.TotalStats()
	if reads, writes := after.Reads-before.Reads, after.Writes-before.Writes; reads != n || writes != n || after.Pending != 0 {
		t.Errorf("%d reads and %d writes, %d octets pending; expected %d, %d and none", reads, writes, after.Pending, n, n)
	}
}

func TestBatchKeepsTheOrderOfOutput(t *testing.T) {
	big := strings.Repeat("b", 3*batchOne)
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.data = func(_ time.Time, p []byte) int {
			s.c.Write([]byte("one "))
			s.c.Write(nil)
			s.c.Write([]byte("two "))
			s.c.Write([]byte(big))
			s.c.Write(p)
			s.c.Write([]byte(" end"))
			s.c.Close(CloseFIN)
			s.c.Write([]byte(" never"))
			return len(p)
		}
	})})
	clients := dialAll(t, r, ln, 3)
	together(t, r, clients, func(i int) string { return fmt.Sprint("input of ", i) })
	for i, nc := range clients {
		expect(t, nc, fmt.Sprint("one two ", big, "input of ", i, " end"))
		expectEnd(t, nc, io.EOF)
	}
}

func TestMoreInputThanABatchHolds(t *testing.T) {
	r, ln := serve(t, Config{NewHandler: newEcho})
	clients := dialAll(t, r, ln, 3*batchReads)
	says := func(i int) string {
		if i%7 == 0 {
			return strings.Repeat(fmt.Sprintf("%06d\n", i), 2*batchOne/7)
		}
		return fmt.Sprintf("line of %d\n", i)
	}
	for range 3 {
		together(t, r, clients, says)
		for i, nc := range clients {
			expect(t, nc, says(i))
		}
	}
}

func TestPausedInABatch(t *testing.T) {
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		first := true
		s.data = func(_ time.Time, p []byte) int {
			if first { // takes the first octet, and the rest after a resume
				first = false
				s.c.Post(func(time.Time) { s.c.Resume() })
				s.c.Write(p[:1])
				return 1
			}
			s.c.Write(p)
			return len(p)
		}
	})})
	clients := dialAll(t, r, ln, 4)
	together(t, r, clients, func(i int) string { return fmt.Sprintf("%d is taken in two\n", i) })
	for i, nc := range clients {
		expect(t, nc, fmt.Sprintf("%d is taken in two\n", i))
	}
}

// One that resets in the batch takes nothing from the others.
func TestResetInABatch(t *testing.T) {
	closed := make(chan error, 4)
	r, ln := serve(t, Config{NewHandler: scripted(func(s *script, _ time.Time) {
		s.data = func(_ time.Time, p []byte) int {
			s.c.Write(p)
			if p[0] == '1' {
				s.c.Close(CloseAbort)
			}
			return len(p)
		}
		s.closed = func(_ time.Time, err error) { closed <- err }
	})})
	clients := dialAll(t, r, ln, 4)
	together(t, r, clients, func(i int) string { return fmt.Sprintf("%d\n", i) })
	if err := receive(t, closed, "the end of one"); err != nil {
		t.Errorf("ended with %v, expected no error", err)
	}
	for i, nc := range clients {
		if i != 1 {
			expect(t, nc, fmt.Sprintf("%d\n", i))
		}
	}
	if _, err := io.ReadAll(clients[1]); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read to error %v, expected a reset", err)
	}
}

// Busy are those that have events or wait to be settled; where waits find all that they can take, all of them in a row.
func TestWhoIsBusy(t *testing.T) {
	l := &loop{}
	l.st.Open = 300
	for i, c := range []struct{ events, waiting, want int }{
		{0, 0, 0}, {1, 0, 1}, {2, 40, 42},
		{eventBatch, 0, eventBatch}, {eventBatch, 10, 2 * eventBatch}, {eventBatch, 0, 300}, {eventBatch, 0, 300}, {3, 1, 4},
	} {
		l.todo = make([]*Conn, c.waiting)
		if l.count(c.events); l.busy != c.want {
			t.Errorf("turn %d, %d events and %d that wait: %d are busy, want %d", i, c.events, c.waiting, l.busy, c.want)
		}
	}
}
