package reactor

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// The heap agrees with a sorted list, whatever is set, postponed and removed.
func TestTimerHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h timerHeap
		conns := make([]*Conn, rapid.IntRange(1, 60).Draw(t, "connections"))
		due := map[*Conn]int64{}
		for i := range conns {
			conns[i] = &Conn{}
		}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			c := rapid.SampledFrom(conns).Draw(t, "c")
			when := rapid.Int64Range(1, 50).Draw(t, "when")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				h.set(c, when)
				if old, ok := due[c]; !ok || when < old {
					due[c] = when
				}
			case 2:
				h.remove(c)
				delete(due, c)
			case 3:
				if len(h) > 0 && when >= h[0].when {
					due[h[0].c] = when
					h.postpone(when)
				}
			}
			for i, s := range h {
				if int(s.c.slot) != i+1 || due[s.c] != s.when {
					t.Fatalf("slot %d: index %d, due %d; expected due %d", i, s.c.slot-1, s.when, due[s.c])
				}
			}
		}
		want := make([]int64, 0, len(due))
		for _, when := range due {
			want = append(want, when)
		}
		slices.Sort(want)
		var got []int64
		for len(h) > 0 {
			got = append(got, h[0].when)
			h.remove(h[0].c)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("popped %v, expected %v", got, want)
		}
	})
}

// Thousands of timers fire in the order of their deadlines, never early; those that
// were cancelled don't, and those that were moved fire once, at the last deadline.
func TestTimersFireInOrder(t *testing.T) {
	const n = 3000
	type firing struct{ due, at time.Time }
	var conns []*script
	due := make([]time.Time, n)
	var fired []firing
	done := make(chan struct{})
	r := start(t, Config{NewHandler: scripted(func(s *script, _ time.Time) { conns = append(conns, s) })})
	// The connections live on loop 0, so its goroutine sets them up.
	ready := make(chan struct{})
	r.Post(0, func(now time.Time) {
		l := r.loops[0]
		expected := n - n/3
		last := now
		for i := range n {
			fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // any descriptor that epoll takes and that stays quiet
			if err != nil {
				t.Error(err)
				break
			}
			l.open(&acceptor{ln: &Listener{}}, int32(fd))
			s := conns[i]
			s.timer = func(at time.Time) {
				fired = append(fired, firing{due[i], at})
				if due[i].IsZero() {
					t.Errorf("timer %d fired, or fired again, though it was cancelled or done", i)
				}
				due[i] = time.Time{}
				if len(fired) == expected {
					close(done)
				}
			}
			at := now.Add(20*time.Millisecond + time.Duration(i*7919%n)*50*time.Microsecond)
			switch i % 3 {
			case 0: // cancelled
				s.c.SetDeadline(at)
				s.c.SetDeadline(time.Time{})
			case 1: // moved, to later and to earlier
				s.c.SetDeadline(at.Add(-10 * time.Millisecond))
				s.c.SetDeadline(at.Add(10 * time.Millisecond))
				s.c.SetDeadline(at)
				due[i] = at
			case 2:
				s.c.SetDeadline(at)
				due[i] = at
			}
			if at.After(last) {
				last = at
			}
		}
		close(ready)
	})
	receive(t, ready, "set-up")
	receive(t, done, "the last timer")
	s := r.TotalStats()
	r.Post(0, func(time.Time) {
		for i := 1; i < len(fired); i++ {
			if fired[i].due.Before(fired[i-1].due) {
				t.Errorf("timer due at %v fired after one due at %v", fired[i].due, fired[i-1].due)
			}
		}
		for _, f := range fired {
			if f.at.Before(f.due) {
				t.Errorf("timer due at %v fired at %v", f.due, f.at)
			}
		}
	})
	if s.TimersFired != n-n/3 || s.Lateness.Count() != s.TimersFired {
		t.Errorf("%d fired, %d latenesses; expected %d of both", s.TimersFired, s.Lateness.Count(), n-n/3)
	}
	t.Logf("lateness: median %v, p99 %v, max %v", s.Lateness.Quantile(0.5), s.Lateness.Quantile(0.99), s.Lateness.Max)
}

// A Handler that arms its timer in the past, again and again, doesn't keep the
// loop from the others.
func TestTimerInThePastDoesNotStarve(t *testing.T) {
	_, ln := serve(t, Config{NewHandler: scripted(func(s *script, now time.Time) {
		if s.c.RemoteAddr().Port()%2 == 0 {
			s.c.SetDeadline(now)
		}
		s.timer = func(now time.Time) { s.c.SetDeadline(now.Add(-time.Second)) }
		s.data = func(_ time.Time, p []byte) int { s.c.Write(p); return len(p) }
	})})
	for range 10 {
		nc := dial(t, ln)
		write(t, nc, "x")
		expect(t, nc, "x")
	}
}

// The clock is the one of Config.Now.
func TestClock(t *testing.T) {
	far := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	began := time.Now()
	at := make(chan time.Time, 2)
	_, ln := serve(t, Config{
		Now: func() time.Time { return far.Add(time.Since(began)) },
		NewHandler: scripted(func(s *script, now time.Time) {
			s.c.SetDeadline(now.Add(5 * time.Millisecond))
			at <- now
			s.timer = func(now time.Time) { at <- now }
		}),
	})
	dial(t, ln)
	accepted := receive(t, at, "the connection")
	fired := receive(t, at, "the timer")
	if accepted.Before(far) || fired.Sub(accepted) < 5*time.Millisecond {
		t.Errorf("accepted at %v, fired at %v", accepted, fired)
	}
}
