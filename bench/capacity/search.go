package capacity

import (
	"errors"
	"fmt"
	"math"
)

// MaxRate bounds the search, in messages per second.
const MaxRate = 100_000

// Options of a search.
type Options struct {
	From, To  int     // the rate to begin with and the highest to try, in messages per second; 1 to MaxRate
	Precision float64 // how far apart the highest rate that holds and the lowest that doesn't may be at the end, relative to the former
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	switch {
	case o.From < 1 || o.From > MaxRate:
		return fmt.Errorf("--from %d: want 1 to %d messages per second", o.From, MaxRate)
	case o.To < o.From || o.To > MaxRate:
		return fmt.Errorf("--to %d: want %d (--from) to %d messages per second", o.To, o.From, MaxRate)
	case !(o.Precision >= 0.01 && o.Precision <= 1):
		return fmt.Errorf("--precision %v: want 1 to 100 percent", 100*o.Precision)
	}
	return nil
}

// Trial is a rate that was tried.
type Trial struct {
	Rate int `json:"rate_per_s"`
	// Confirms is the percentage of the rate that the search had come to; 0: the trial is part of the search.
	Confirms int `json:"confirms_percent,omitempty"`
	Quality
}

// Result is what a search came to. It is useful at any time: an interrupted one has the bounds that it knew.
type Result struct {
	// Capacity is the highest rate at which the quality holds, in messages per second; 0: it holds at none, or none was tried.
	Capacity int `json:"capacity_per_s"`
	// Beyond is the lowest rate at which it doesn't; 0: none was seen.
	Beyond int `json:"fails_per_s,omitempty"`
	// Confirmed: it held again at 80 and 100%, and did not at 120%.
	Confirmed bool `json:"confirmed"`
	// AtLeast: the highest rate that was asked for holds, and so the capacity may be larger.
	AtLeast bool `json:"at_least,omitempty"`
	// Generator: the generator could not offer more, and so the capacity may be larger.
	Generator   bool    `json:"generator_limited,omitempty"`
	Interrupted bool    `json:"interrupted,omitempty"`
	Trials      []Trial `json:"trials"`
}

// ErrStopped is what a Try returns when it was asked to stop: the trial doesn't count.
var ErrStopped = errors.New("stopped")

// Try tries a rate; confirm is as in Trial. A trial that confirms may be a longer one.
type Try func(rate, confirm int) (Quality, error)

// rounds is how often a capacity that was not confirmed is looked for anew.
const rounds = 4

// Search looks for the capacity: it doubles the rate until the quality holds no more (or halves it until it does), bisects what is left until that is
// within the precision, and confirms at 80, 100 and 120%. Where a confirmation says otherwise, it counts, and the search goes on from
// there, four times at most. An error of try other than ErrStopped ends the search; the result has what was known then.
func Search(o Options, try Try) (Result, error) {
	s := &search{o: o, try: try}
	err := s.run()
	r := &s.result
	r.Capacity, r.Beyond = s.holds, s.fails
	r.AtLeast = s.holds == o.To
	r.Generator = s.fails > 0 && s.known()[s.fails] == Unclear
	if errors.Is(err, ErrStopped) {
		r.Interrupted, err = true, nil
	}
	return s.result, err
}

type search struct {
	o      Options
	try    Try
	holds  int // the highest rate that is known to hold; 0: none
	fails  int // the lowest that is known not to, or could not be offered; 0: none
	result Result
}

func (s *search) run() error {
	for range rounds {
		if err := s.find(); err != nil {
			return err
		}
		if s.holds == 0 {
			return nil
		}
		ok, err := s.confirm()
		if err != nil {
			return err
		}
		if s.result.Confirmed = ok; ok {
			return nil
		}
	}
	return nil
}

// look tries a rate and moves the bounds. What comes last counts: a rate that no longer holds takes those above it along.
func (s *search) look(rate, confirm int) (Verdict, error) {
	q, err := s.try(rate, confirm)
	if err != nil {
		return "", err
	}
	s.result.Trials = append(s.result.Trials, Trial{rate, confirm, q})
	if q.Verdict == Holds {
		s.holds = max(s.holds, rate)
		if s.fails <= rate {
			s.fails = s.lowestFailing(rate)
		}
		return q.Verdict, nil
	}
	if s.fails == 0 || rate < s.fails {
		s.fails = rate
	}
	if s.holds >= rate {
		s.holds = s.highestHolding(rate)
	}
	return q.Verdict, nil
}

// lowestFailing and highestHolding look among the trials so far, of which the last one at a rate counts.
func (s *search) lowestFailing(above int) int {
	lowest := 0
	for rate, v := range s.known() {
		if v != Holds && rate > above && (lowest == 0 || rate < lowest) {
			lowest = rate
		}
	}
	return lowest
}

func (s *search) highestHolding(below int) int {
	highest := 0
	for rate, v := range s.known() {
		if v == Holds && rate < below {
			highest = max(highest, rate)
		}
	}
	return highest
}

func (s *search) known() map[int]Verdict {
	out := map[int]Verdict{}
	for _, t := range s.result.Trials {
		out[t.Rate] = t.Verdict
	}
	return out
}

// find narrows the bounds down to the precision.
func (s *search) find() error {
	for {
		rate := s.next()
		if rate == 0 {
			return nil
		}
		if _, err := s.look(rate, 0); err != nil {
			return err
		}
	}
}

// next is the rate to try; 0: the bounds are close enough.
func (s *search) next() int {
	switch lo, hi := s.holds, s.fails; {
	case lo == 0 && hi == 0:
		return s.o.From
	case hi == 0 && lo >= s.o.To, lo == 0 && hi == 1:
		return 0
	case hi == 0:
		return min(2*lo, s.o.To)
	case lo == 0:
		return hi / 2
	case hi-lo <= 1 || float64(hi-lo) <= s.o.Precision*float64(lo):
		return 0
	default:
		middle := int(math.Round(math.Sqrt(float64(lo) * float64(hi))))
		return min(max(middle, lo+1), hi-1)
	}
}

// The percentages of the capacity at which it is confirmed.
var confirmations = [...]int{80, 100, 120}

// confirm tries 80, 100 and 120%; beyond the highest rate that the user allows nothing is tried. Two of them may be one rate, where rates are small.
func (s *search) confirm() (bool, error) {
	capacity, tried := s.holds, 0
	for _, percent := range confirmations {
		rate := int(math.Round(float64(capacity) * float64(percent) / 100))
		if percent > 100 {
			rate = max(rate, capacity+1)
		}
		if rate < 1 || rate == tried || rate > s.o.To {
			continue
		}
		tried = rate
		v, err := s.look(rate, percent)
		if err != nil {
			return false, err
		}
		if (v == Holds) != (percent <= 100) {
			return false, nil
		}
	}
	return true, nil
}
