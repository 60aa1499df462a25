package queue

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func policy() Policy {
	return Policy{First: time.Second, Factor: 2, Max: 8 * time.Second, Lifetime: time.Minute, Concurrency: 2}
}

func newQueue(t interface {
	Helper()
	Fatal(...any)
}, p Policy) *Queue {
	t.Helper()
	q, err := New(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// schedule returns the seconds at which an entry that is always deferred at once is tried, until it expires.
func schedule(t *testing.T, p Policy) (tries []float64) {
	t.Helper()
	q := newQueue(t, p)
	q.Add(1, "d", start, start)
	for range 1000 {
		due, ok := q.Next()
		if !ok {
			return tries
		}
		e, ok := q.Take(due)
		if !ok {
			t.Fatalf("nothing to take at %v, when the next is due", due)
		}
		tries = append(tries, due.Sub(start).Seconds())
		if _, expired := q.Defer(e.ID, due); expired && q.Len() != 0 {
			t.Fatal("expired, and still in the queue")
		}
	}
	t.Fatal("it never expires")
	return nil
}

func TestSchedule(t *testing.T) {
	exact := policy()
	minimal := policy()
	minimal.Minimal = 3 * time.Second
	short := policy()
	short.Lifetime = 7 * time.Second
	constant := policy()
	constant.Factor, constant.Lifetime = 1, 3*time.Second
	for name, test := range map[string]struct {
		policy Policy
		want   []float64
	}{
		"doubled up to the maximum, for a minute":                {exact, []float64{0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63}},
		"never sooner than the minimal backoff":                  {minimal, []float64{0, 3, 6, 10, 18, 26, 34, 42, 50, 58, 66}},
		"expired by the first deferral at the end of a lifetime": {short, []float64{0, 1, 3, 7}},
		"at a constant pace":                                     {constant, []float64{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := schedule(t, test.policy); !reflect.DeepEqual(got, test.want) {
				t.Errorf("tried at %v, want %v", got, test.want)
			}
		})
	}
}

func TestConcurrencyOfADestination(t *testing.T) {
	q := newQueue(t, policy())
	for id := range uint64(3) {
		q.Add(id, "slow", start, start)
	}
	q.Add(3, "free", at(1), at(1))
	for _, want := range []uint64{0, 1, 3} { // the third of "slow" has to wait, and blocks nobody
		if e, ok := q.Take(at(1)); !ok || e.ID != want {
			t.Fatalf("took %d (%v), want %d", e.ID, ok, want)
		}
	}
	if due, ok := q.Next(); ok {
		t.Errorf("the next is due at %v, although its destination has no room", due)
	}
	q.Done(1)
	if e, ok := q.Take(at(1)); !ok || e.ID != 2 {
		t.Errorf("took %d (%v), want 2: there is room again", e.ID, ok)
	}
}

func TestFlush(t *testing.T) {
	q := newQueue(t, policy())
	q.Add(1, "d", start, at(6))
	q.Add(2, "d", start, at(3))
	q.Add(3, "d", start, at(1))
	if _, ok := q.Take(start); ok {
		t.Error("taken before it is due")
	}
	if !q.Flush(1) {
		t.Error("what waits can't be flushed")
	}
	if e, ok := q.Take(at(2)); !ok || e.ID != 1 {
		t.Errorf("took %d (%v), want the flushed one, although another has been due for a second", e.ID, ok)
	}
	if q.Flush(1) || q.Flush(7) {
		t.Error("flushed what is active or unknown")
	}
}

func TestWhatIsNotActive(t *testing.T) {
	q := newQueue(t, policy())
	q.Add(1, "d", start, start)
	if q.Add(1, "d", start, start) {
		t.Error("the same id twice")
	}
	if q.Done(1) || q.Done(2) {
		t.Error("done without having been taken")
	}
	if _, expired := q.Defer(2, start); !expired {
		t.Error("deferred what is not there")
	}
	if got := q.Entries(); len(got) != 1 || got[0].State != Incoming || got[0].State.String() != "incoming" {
		t.Errorf("the queue holds %+v, want the one entry as it came", got)
	}
}

func TestPoliciesThatAreWrong(t *testing.T) {
	p := policy()
	if p.Validate() != nil {
		t.Error(p.Validate())
	}
	for field, spoil := range map[string]func(*Policy){
		"First": func(p *Policy) { p.First = 0 }, "Factor": func(p *Policy) { p.Factor = 0.5 }, "Max": func(p *Policy) { p.Max = time.Millisecond },
		"Jitter": func(p *Policy) { p.Jitter = 1.1 }, "Minimal": func(p *Policy) { p.Minimal = time.Hour }, "Lifetime": func(p *Policy) { p.Lifetime = 0 },
		"Concurrency": func(p *Policy) { p.Concurrency = 0 },
	} {
		p := policy()
		spoil(&p)
		if _, err := New(p, 1); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func drawPolicy(t *rapid.T) Policy {
	first := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first"))
	p := Policy{
		First: first, Factor: rapid.Float64Range(1, 10).Draw(t, "factor"), Max: first * time.Duration(rapid.IntRange(1, 50).Draw(t, "max")),
		Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"), Lifetime: first * time.Duration(rapid.IntRange(1, 100).Draw(t, "lifetime")),
		Concurrency: rapid.IntRange(1, 4).Draw(t, "concurrency"),
	}
	p.Minimal = time.Duration(rapid.Int64Range(0, int64(p.Max)).Draw(t, "minimal"))
	return p
}

// TestDelays: whatever the policy, a delay lies within it, is the same for the same seed, and follows the jitter.
func TestDelays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		seed, id, n := rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "id"), rapid.IntRange(1, 200).Draw(t, "n")
		d := p.Delay(seed, id, n)
		if d < p.Minimal || d > p.Max {
			t.Fatalf("%v is not from %v to %v", d, p.Minimal, p.Max)
		}
		if again := p.Delay(seed, id, n); again != d {
			t.Fatalf("%v, then %v", d, again)
		}
		plain := p
		plain.Jitter = 0
		base := float64(plain.Delay(seed, id, n))
		if low, high := base*(1-p.Jitter)-1, base*(1+p.Jitter)+1; p.Minimal == 0 && (float64(d) < low || float64(d) > high) {
			t.Fatalf("%v is not within %v of %v", d, p.Jitter, time.Duration(base))
		}
	})
}

// TestJitterIsDrawn: over many entries the draws fill the whole range evenly.
func TestJitterIsDrawn(t *testing.T) {
	var tenths [10]int
	for id := range uint64(10_000) {
		tenths[int(10*draw(7, id, 1))]++
	}
	for i, n := range tenths {
		if n < 850 || n > 1150 { // five standard deviations
			t.Errorf("%d of 10,000 draws in tenth %d", n, i)
		}
	}
}

// TestQueueIsAQueue drives a queue by chance beside a model that is a plain list.
func TestQueueIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		q := newQueue(t, p)
		now := start
		model := map[uint64]*Entry{}
		active := func(destination string) (n int) {
			for _, e := range model {
				if e.State == Active && e.Destination == destination {
					n++
				}
			}
			return n
		}
		ready := func(e *Entry) bool { return e.State != Active && active(e.Destination) < p.Concurrency }
		drawID := rapid.Uint64Range(0, 12)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				id, to := drawID.Draw(t, "id"), fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "to"))
				due := now.Add(time.Duration(rapid.Int64Range(0, int64(p.Max)).Draw(t, "due")))
				if q.Add(id, to, now, due) != (model[id] == nil) {
					t.Fatal("taken for another, or not")
				}
				if model[id] == nil {
					model[id] = &Entry{ID: id, Destination: to, Arrived: now, Due: due}
				}
			},
			"pass": func(t *rapid.T) { now = now.Add(time.Duration(rapid.Int64Range(0, int64(p.Max)).Draw(t, "time"))) },
			"take": func(t *rapid.T) {
				e, ok := q.Take(now)
				for _, m := range model {
					if ready(m) && !m.Due.After(now) && (!ok || m.Due.Before(e.Due)) {
						t.Fatalf("took %+v (%v), and %+v was due before", e, ok, m)
					}
				}
				if ok {
					m := model[e.ID]
					if !ready(m) || m.Due.After(now) {
						t.Fatalf("took %+v at %v", m, now)
					}
					m.State = Active
				}
			},
			"done": func(t *rapid.T) {
				id := drawID.Draw(t, "id")
				m := model[id]
				if q.Done(id) != (m != nil && m.State == Active) {
					t.Fatal("done, or not")
				}
				if m != nil && m.State == Active {
					delete(model, id)
				}
			},
			"defer": func(t *rapid.T) {
				id := drawID.Draw(t, "id")
				m := model[id]
				due, expired := q.Defer(id, now)
				switch {
				case m == nil || m.State != Active:
					if !expired {
						t.Fatal("deferred what is not active")
					}
				case now.Sub(m.Arrived) >= p.Lifetime:
					if !expired {
						t.Fatal("deferred beyond its lifetime")
					}
					delete(model, id)
				default:
					if wait := due.Sub(now); expired || wait < p.Minimal || wait > p.Max {
						t.Fatalf("due after %v (%v)", wait, expired)
					}
					m.State, m.Due = Deferred, due
					m.Deferrals++
				}
			},
			"flush": func(t *rapid.T) {
				id := drawID.Draw(t, "id")
				m := model[id]
				waits := m != nil && m.State != Active
				if q.Flush(id) != waits {
					t.Fatal("flushed, or not")
				}
				if waits {
					m.Due = time.Time{}
				}
			},
			"": func(t *rapid.T) {
				if got := q.Entries(); len(got) != len(model) || q.Len() != len(model) {
					t.Fatalf("%d entries, want %d", len(got), len(model))
				} else {
					for _, e := range got {
						if e != *model[e.ID] {
							t.Fatalf("%+v, want %+v", e, *model[e.ID])
						}
					}
				}
				var first *Entry
				for _, m := range model {
					if ready(m) && (first == nil || m.Due.Before(first.Due)) {
						first = m
					}
				}
				if due, ok := q.Next(); ok != (first != nil) || ok && !due.Equal(first.Due) {
					t.Fatalf("the next is due at %v (%v), want %+v", due, ok, first)
				}
			},
		})
	})
}
