package capacity

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// system is one whose capacity is known: at up to so many messages per second the quality holds.
type system struct {
	capacity  float64
	generator int                             // more than this can't be offered; 0: any
	noise     func(rate, confirm int) float64 // by which the capacity of a trial is multiplied
	stopAfter time.Duration                   // of virtual time; 0: never
	begun     time.Time
}

// try takes as long as a real trial.
func (s *system) try(rate, confirm int) (Quality, error) {
	took := 10 * time.Second
	if confirm > 0 {
		took = 30 * time.Second
	}
	if s.stopAfter > 0 && time.Since(s.begun)+took > s.stopAfter {
		return Quality{}, ErrStopped
	}
	time.Sleep(took)
	capacity := s.capacity
	if s.noise != nil {
		capacity *= s.noise(rate, confirm)
	}
	messages := uint64(rate) * uint64(took.Seconds())
	q := Quality{Messages: messages, Accepted: messages, Seen: messages, Planned: messages, Steps: []Step{{"data", messages, messages}}}
	if s.generator > 0 && rate > s.generator {
		q.Dropped = messages / 10
	}
	if over := float64(rate) - capacity; over > 0 {
		q.Failed = min(messages, 1+messages/50+uint64(over))
	}
	q.decide()
	return q, nil
}

func rates(r Result) (out []string) {
	for _, t := range r.Trials {
		name := fmt.Sprint(t.Rate)
		if t.Confirms > 0 {
			name += fmt.Sprintf("(%d%%)", t.Confirms)
		}
		out = append(out, name+" "+string(t.Verdict))
	}
	return out
}

func TestTheCapacityIsFoundAndConfirmed(t *testing.T) {
	for _, tt := range []struct {
		system
		from, to int
		lo, hi   int // the capacity lies within
		result   Result
		atMost   time.Duration
	}{
		{system: system{capacity: 730}, from: 50, to: MaxRate, lo: 695, hi: 730, result: Result{Confirmed: true}, atMost: 4 * time.Minute},
		{system: system{capacity: 50}, from: 50, to: MaxRate, lo: 50, hi: 50, result: Result{Confirmed: true}, atMost: 4 * time.Minute},
		{system: system{capacity: 3}, from: 1000, to: MaxRate, lo: 3, hi: 3, result: Result{Confirmed: true}, atMost: 5 * time.Minute},
		{system: system{capacity: 1}, from: 50, to: 100, lo: 1, hi: 1, result: Result{Confirmed: true}, atMost: 4 * time.Minute},
		{system: system{capacity: 0}, from: 50, to: 100, result: Result{}, atMost: 2 * time.Minute},
		{system: system{capacity: 1e9}, from: 50, to: 300, lo: 300, hi: 300, result: Result{Confirmed: true, AtLeast: true}, atMost: 2 * time.Minute},
		{system: system{capacity: 1e9, generator: 400}, from: 50, to: MaxRate, lo: 380, hi: 400, result: Result{Confirmed: true, Generator: true}, atMost: 4 * time.Minute},
		{system: system{capacity: 350, generator: 400}, from: 50, to: MaxRate, lo: 333, hi: 350, result: Result{Confirmed: true}, atMost: 4 * time.Minute},
		// The longer runs that confirm fail a tenth earlier: they count.
		{system: system{capacity: 500, noise: func(_, confirm int) float64 { return map[bool]float64{true: 0.9, false: 1}[confirm > 0] }}, from: 100, to: MaxRate, lo: 420, hi: 450, result: Result{Confirmed: true}, atMost: 8 * time.Minute},
		// One trial of the search failed by accident: 120% holds, and the search goes on.
		{system: system{capacity: 500, noise: func(rate, confirm int) float64 {
			return map[bool]float64{true: 0.1, false: 1}[rate == 200 && confirm == 0]
		}}, from: 100, to: MaxRate, lo: 470, hi: 500, result: Result{Confirmed: true}, atMost: 10 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%v from %d to %d", tt.capacity, tt.from, tt.to), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				r, err := Search(Options{From: tt.from, To: tt.to, Precision: 0.05}, tt.system.try)
				if err != nil || r.Capacity < tt.lo || r.Capacity > tt.hi || r.Confirmed != tt.result.Confirmed || r.AtLeast != tt.result.AtLeast || r.Generator != tt.result.Generator || r.Interrupted {
					t.Errorf("%+v, %v; want %d to %d and %+v; tried %q", r, err, tt.lo, tt.hi, tt.result, rates(r))
				}
				if took := time.Since(begun); took > tt.atMost {
					t.Errorf("%v for %d trials, want at most %v: %q", took, len(r.Trials), tt.atMost, rates(r))
				}
			})
		})
	}
}

// TestAnUnsteadySystemEnds: the search ends whatever the trials say, and its bounds are those of trials.
func TestAnUnsteadySystemEnds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := 0
		got, err := Search(Options{From: 1 + r.IntN(100), To: 1000, Precision: 0.05}, func(rate, confirm int) (Quality, error) {
			if n++; n > 200 || rate < 1 || rate > 1000 {
				t.Fatalf("seed %d: trial %d at %d", seed, n, rate)
			}
			q := Quality{Messages: 100, Planned: 100}
			if r.IntN(2) == 0 {
				q.Failed = 50
			}
			q.decide()
			return q, nil
		})
		if err != nil || got.Beyond != 0 && got.Beyond <= got.Capacity {
			t.Errorf("seed %d: %+v, %v", seed, got, err)
		}
		last := map[int]Verdict{}
		for _, trial := range got.Trials {
			last[trial.Rate] = trial.Verdict
		}
		if got.Capacity > 0 && last[got.Capacity] != Holds || got.Beyond > 0 && last[got.Beyond] == Holds {
			t.Errorf("seed %d: %d to %d, but %q", seed, got.Capacity, got.Beyond, rates(got))
		}
	}
}

func TestAStoppedSearchKeepsItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{capacity: 730, stopAfter: 65 * time.Second, begun: time.Now()}
		r, err := Search(Options{From: 50, To: MaxRate, Precision: 0.05}, s.try)
		want := []string{"50 holds", "100 holds", "200 holds", "400 holds", "800 fails", "566 holds"}
		if err != nil || !r.Interrupted || r.Confirmed || r.Capacity != 566 || r.Beyond != 800 || !slices.Equal(rates(r), want) {
			t.Errorf("%+v, %v; tried %q, want %q", r, err, rates(r), want)
		}
	})
	broken := errors.New("k6 broke")
	r, err := Search(Options{From: 50, To: 100, Precision: 0.05}, func(rate, _ int) (Quality, error) {
		if rate == 100 {
			return Quality{}, broken
		}
		return Quality{Verdict: Holds}, nil
	})
	if !errors.Is(err, broken) || r.Capacity != 50 || len(r.Trials) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWrongOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"--from 0: want 1 to 100000 messages per second":             {0, 5, 0.05},
		"--to 4: want 5 (--from) to 100000 messages per second":      {5, 4, 0.05},
		"--to 100001: want 5 (--from) to 100000 messages per second": {5, 100_001, 0.05},
		"--precision 0: want 1 to 100 percent":                       {5, 10, 0},
	} {
		if err := o.Check(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}
