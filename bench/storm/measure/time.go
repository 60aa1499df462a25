package measure

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// Second is what happened in the second that begins At seconds after the storm did.
type Second struct {
	At          int `json:"at_s"`
	Submitted   int `json:"submitted,omitempty"` // as intended
	Attempts    int `json:"attempts,omitempty"`
	Connections int `json:"connections,omitempty"`
	Delivered   int `json:"delivered,omitempty"` // first deliveries
	Open        int `json:"open,omitempty"`      // connections, at the begin of the second
}

// maxSeconds bounds the series: a day.
const maxSeconds = 86_400

// rates counts by seconds, without gaps, from the first event to the last.
func rates(r *Run) []Second {
	by := map[int]*Second{}
	at := func(t time.Time) *Second {
		k := int(math.Floor(t.Sub(r.Storm).Seconds()))
		s := by[k]
		if s == nil {
			s = &Second{At: k}
			by[k] = s
		}
		return s
	}
	for i := range r.Units {
		u := &r.Units[i]
		at(u.Intended).Submitted++
		for _, t := range u.Attempts {
			at(t).Attempts++
		}
		if t, ok := u.first(); ok {
			at(t).Delivered++
		}
	}
	for i := range r.Connections {
		at(r.Connections[i].At).Connections++
	}
	if len(by) == 0 {
		return nil
	}
	seconds := slices.Sorted(maps.Keys(by))
	from, to := seconds[0], seconds[len(seconds)-1]
	if to-from >= maxSeconds {
		return nil
	}
	open := liveAt(r.Connections, r.Storm, from, to)
	out := make([]Second, 0, to-from+1)
	for k := from; k <= to; k++ {
		s := Second{At: k}
		if have := by[k]; have != nil {
			s = *have
		}
		s.Open = open[k-from]
		out = append(out, s)
	}
	return out
}

// liveAt returns how many connections were open at the begin of each second.
func liveAt(connections []Connection, zero time.Time, from, to int) []int {
	steps := make([]int, to-from+2)
	step := func(t time.Time, by int) {
		k := int(math.Ceil(t.Sub(zero).Seconds())) - from
		steps[min(max(k, 0), len(steps)-1)] += by
	}
	for i := range connections {
		c := &connections[i]
		step(c.At, 1)
		if !c.End.IsZero() {
			step(c.End, -1)
		}
	}
	live := 0
	for i := range steps {
		live += steps[i]
		steps[i] = live
	}
	return steps
}

// Herd is how unevenly events come: by the bins of a second from the storm's begin to the last delivery.
type Herd struct {
	Seconds int     `json:"seconds"`
	Mean    float64 `json:"mean_per_s"`
	Peak    int     `json:"peak_per_s"`
	// PeakToMean and CV (standard deviation by mean) are nil without events.
	PeakToMean *float64 `json:"peak_to_mean,omitempty"`
	CV         *float64 `json:"cv,omitempty"`
}

func herds(r *Run, seconds []Second) map[string]Herd {
	last := int(math.Floor(r.End.Sub(r.Storm).Seconds()))
	for i := range seconds {
		if seconds[i].Delivered > 0 {
			last = max(last, seconds[i].At)
		}
	}
	var tries, connects []int
	for i := range seconds {
		if s := &seconds[i]; s.At >= 0 && s.At <= last {
			tries, connects = append(tries, s.Attempts), append(connects, s.Connections)
		}
	}
	if len(tries) == 0 {
		return nil
	}
	return map[string]Herd{"attempts": herd(tries), "connections": herd(connects)}
}

func herd(bins []int) Herd {
	h := Herd{Seconds: len(bins)}
	sum := 0.0
	for _, n := range bins {
		sum += float64(n)
		h.Peak = max(h.Peak, n)
	}
	if h.Mean = sum / float64(len(bins)); h.Mean == 0 {
		return h
	}
	squares := 0.0
	for _, n := range bins {
		squares += (float64(n) - h.Mean) * (float64(n) - h.Mean)
	}
	ratio, cv := float64(h.Peak)/h.Mean, math.Sqrt(squares/float64(len(bins)))/h.Mean
	h.PeakToMean, h.CV = &ratio, &cv
	return h
}

// Recovery is what came after the storm. What did not happen until the cutoff is nil.
type Recovery struct {
	Backlog int      `json:"backlog"`                  // units that were submitted before the storm's end, and open at it
	First   *float64 `json:"first_s,omitempty"`        // until the first delivery of any message
	Lag     *float64 `json:"lag_s,omitempty"`          // until the first delivery of the backlog
	To1     *float64 `json:"to_1_percent_s,omitempty"` // until at most 1% of the backlog was left
	To0     *float64 `json:"to_0_s,omitempty"`         // until nothing of it was
	Rate    *float64 `json:"drain_per_s,omitempty"`    // of the backlog, from the first delivery to To1
}

// recovery looks at the end of units: a delivery, or a failure.
func recovery(r *Run) Recovery {
	var out Recovery
	var ends []float64
	seconds := func(t time.Time) *float64 { v := t.Sub(r.End).Seconds(); return &v }
	for i := range r.Units {
		u := &r.Units[i]
		end, delivered := u.first()
		if delivered && !end.Before(r.End) {
			lag := seconds(end)
			out.First = least(out.First, lag)
			if u.Accepted && u.Intended.Before(r.End) {
				out.Lag = least(out.Lag, lag)
			}
		}
		if !delivered {
			end = u.Failed
		}
		if !u.Accepted || !u.Intended.Before(r.End) || !end.IsZero() && end.Before(r.End) {
			continue
		}
		out.Backlog++
		if !end.IsZero() {
			ends = append(ends, end.Sub(r.End).Seconds())
		}
	}
	sorted(ends)
	left := out.Backlog / 100
	if out.Backlog == 0 {
		return out
	}
	if n := out.Backlog - left; len(ends) >= n {
		out.To1 = &ends[n-1]
		if out.Lag != nil && *out.To1 > *out.Lag && n > 1 {
			rate := float64(n-1) / (*out.To1 - *out.Lag)
			out.Rate = &rate
		}
	}
	if len(ends) == out.Backlog {
		out.To0 = &ends[len(ends)-1]
	}
	return out
}

func least(a, b *float64) *float64 {
	if a == nil || *b < *a {
		return b
	}
	return a
}

// Concurrency is how a sender takes its connections back while a destination is dead, and comes again.
type Concurrency struct {
	Before int `json:"before"` // most that were open at once before the storm
	Storm  int `json:"storm"`  // most in the storm
	After  int `json:"after"`  // most after it
	// Halved is how long after the storm's begin the number fell to half of Before for good, within the storm; nil: it did not.
	Halved *float64 `json:"halved_s,omitempty"`
	// Probes are new connections per second in the second half of the storm.
	Probes float64 `json:"probes_per_s"`
	// Ramp is how long after the storm's end half of After was reached; nil: there was none.
	Ramp *float64 `json:"ramp_s,omitempty"`
}

func concurrency(r *Run) *Concurrency {
	if len(r.Connections) == 0 {
		return nil
	}
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	out := &Concurrency{}
	half := r.Storm.Add(r.End.Sub(r.Storm) / 2)
	probes := 0
	for i := range r.Connections {
		c := &r.Connections[i]
		changes = append(changes, change{c.At, 1})
		if !c.End.IsZero() {
			changes = append(changes, change{c.End, -1})
		}
		if !c.At.Before(half) && c.At.Before(r.End) {
			probes++
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	live := 0
	for _, c := range changes {
		live += c.by
		switch most := &out.After; {
		case c.at.Before(r.Storm):
			out.Before = max(out.Before, live)
		case c.at.Before(r.End):
			out.Storm = max(out.Storm, live)
		default:
			*most = max(*most, live)
		}
	}
	live = 0
	for _, c := range changes {
		live += c.by
		since := c.at.Sub(r.Storm).Seconds()
		if inStorm := !c.at.Before(r.Storm) && c.at.Before(r.End); inStorm && out.Before > 0 {
			if 2*live > out.Before {
				out.Halved = nil
			} else if out.Halved == nil {
				out.Halved = &since
			}
		}
		if !c.at.Before(r.End) && out.Ramp == nil && 2*live >= out.After && out.After > 0 {
			ramp := c.at.Sub(r.End).Seconds()
			out.Ramp = &ramp
		}
	}
	if span := r.End.Sub(half).Seconds(); span > 0 {
		out.Probes = float64(probes) / span
	}
	return out
}

// Fairness is in which order old and new mail is delivered after the storm.
type Fairness struct {
	Pairs int `json:"pairs"` // of a message from before the end that waited, and one from after it; both delivered after it
	// Overtaken is the share of pairs in which the newer was delivered first.
	Overtaken float64 `json:"overtaken"`
}

func fairness(r *Run) *Fairness {
	var old, young []time.Time
	for i := range r.Units {
		u := &r.Units[i]
		t, ok := u.first()
		if !ok || t.Before(r.End) {
			continue
		}
		if u.Intended.Before(r.End) {
			old = append(old, t)
		} else {
			young = append(young, t)
		}
	}
	if len(old) == 0 || len(young) == 0 {
		return nil
	}
	slices.SortFunc(old, time.Time.Compare)
	overtaken := 0
	for _, t := range young { // of old ones, those later than it
		n, _ := slices.BinarySearchFunc(old, t, func(o, t time.Time) int {
			if o.After(t) {
				return 1
			}
			return -1
		})
		overtaken += len(old) - n
	}
	f := &Fairness{Pairs: len(old) * len(young)}
	f.Overtaken = float64(overtaken) / float64(f.Pairs)
	return f
}
