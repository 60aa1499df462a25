package measure

import (
	"maps"
	"slices"
	"time"
)

// Depth is what the queue held over time.
type Depth struct {
	Peak int     `json:"peak"`
	At   float64 `json:"peak_at_s"` // since the storm began
	// Area is the area under the curve from the first submission on, in message seconds: what all messages together were delayed.
	Area    float64 `json:"area_message_s"`
	Rate    float64 `json:"samples_per_s"`
	Samples int     `json:"samples"`
}

// depth sums the samples up; the depth holds from one sample to the next.
func depth(r *Run) *Depth {
	if len(r.Samples) == 0 {
		return nil
	}
	d := &Depth{Samples: len(r.Samples)}
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Depth > d.Peak {
			d.Peak, d.At = s.Depth, s.At.Sub(r.Storm).Seconds()
		}
		if i+1 < len(r.Samples) && !s.At.Before(r.Begin) {
			d.Area += float64(s.Depth) * r.Samples[i+1].At.Sub(s.At).Seconds()
		}
	}
	if span := r.Samples[len(r.Samples)-1].At.Sub(r.Samples[0].At).Seconds(); span > 0 {
		d.Rate = float64(len(r.Samples)-1) / span
	}
	return d
}

// Attempts are how often messages were tried.
type Attempts struct {
	Messages    int            `json:"messages"`    // attempts at message level: an envelope of the message was seen
	Connections int            `json:"connections"` // that the sink took
	Barren      int            `json:"barren"`      // of Connections: without any attempt, such as those that were turned away at once
	PerMessage  []AttemptCount `json:"per_message"`
}

// AttemptCount is how many units took so many attempts.
type AttemptCount struct {
	Attempts int `json:"attempts"`
	Units    int `json:"units"`
}

func attempts(r *Run) Attempts {
	a := Attempts{Connections: len(r.Connections)}
	for i := range r.Connections {
		if r.Connections[i].Attempts == 0 {
			a.Barren++
		}
	}
	by := map[int]int{}
	for i := range r.Units {
		n := len(r.Units[i].Attempts)
		a.Messages += n
		by[n]++
	}
	for _, n := range slices.Sorted(maps.Keys(by)) {
		a.PerMessage = append(a.PerMessage, AttemptCount{n, by[n]})
	}
	return a
}

// Gap is the K-th pause between two attempts of a message, from 1 on: from the end of one to the begin of the next.
type Gap struct {
	K      int     `json:"k"`
	Units  int     `json:"units"`
	P5     float64 `json:"p5_s"`
	Median float64 `json:"median_s"`
	P95    float64 `json:"p95_s"`
	// Ratio is the median of this pause by the one before of the same message; nil for the first.
	Ratio *float64 `json:"ratio,omitempty"`
	// Policy is the median of what the policy asks for; nil where it isn't known.
	Policy *float64 `json:"policy_s,omitempty"`
}

// maxGaps is how many pauses of a message are told apart.
const maxGaps = 40

// Adherence is how well pauses keep to the policy, by the sender's own rule.
type Adherence struct {
	Gaps  int `json:"gaps"`
	Early int `json:"early"` // sooner than the rule lets it
	Late  int `json:"late"`  // later than the rule has it
	// Worst are the longest times beyond the rule.
	WorstEarly float64 `json:"worst_early_s"`
	WorstLate  float64 `json:"worst_late_s"`
}

// Share is the share of pauses within the rule.
func (a *Adherence) Share() float64 { return 1 - float64(a.Early+a.Late)/float64(a.Gaps) }

// backoff looks at the pauses between attempts. Those in which the sender failed unseen are left out.
func backoff(r *Run) ([]Gap, *Adherence) {
	type column struct{ gaps, ratios, wants []float64 }
	var columns []column
	adherence := &Adherence{}
	for i := range r.Units {
		u := &r.Units[i]
		for k := 1; k < len(u.Attempts) && k <= maxGaps; k++ {
			if len(columns) < k {
				columns = append(columns, column{})
			}
			if u.unseen(k - 1) {
				continue
			}
			c := &columns[k-1]
			gap := max(0, u.Attempts[k].Sub(u.end(k-1)))
			c.gaps = append(c.gaps, gap.Seconds())
			if k > 1 && !u.unseen(k-2) {
				if before := u.Attempts[k-1].Sub(u.end(k - 2)); before > 0 {
					c.ratios = append(c.ratios, gap.Seconds()/before.Seconds())
				}
			}
			if r.Policy == nil || len(r.Policy.Gaps) == 0 || r.Policy.LastAnytime && !u.Failed.IsZero() && k == len(u.Attempts)-1 || r.restarted(u.Attempts[k-1], u.Attempts[k]) {
				continue
			}
			want := r.Policy.gap(k-1, u.arrived(), u.end(k-1))
			c.wants = append(c.wants, want.Seconds())
			adherence.add(r.Policy, k, want, gap-want, r.Policy.behind(u.end(k-1)))
		}
	}
	var out []Gap
	for k := range columns {
		c := &columns[k]
		if len(c.gaps) == 0 {
			continue
		}
		sorted(c.gaps)
		out = append(out, Gap{K: k + 1, Units: len(c.gaps), P5: *quantile(c.gaps, 0.05), Median: *quantile(c.gaps, 0.5), P95: *quantile(c.gaps, 0.95),
			Ratio: quantile(sorted(c.ratios), 0.5), Policy: quantile(sorted(c.wants), 0.5)})
	}
	if adherence.Gaps == 0 {
		return out, nil
	}
	return out, adherence
}

// add judges the k-th pause, from 1 on, which is so much longer than the one that the policy wants, and may be shorter by slack beyond its rule.
func (a *Adherence) add(p *Policy, k int, want, over, slack time.Duration) {
	a.Gaps++
	late, early := p.Late, p.Early+slack
	if k > 1 {
		if late = p.Later; p.LateInterval {
			late += want
		}
	}
	switch {
	case over < -early:
		a.Early++
		a.WorstEarly = max(a.WorstEarly, (-early - over).Seconds())
	case over > late:
		a.Late++
		a.WorstLate = max(a.WorstLate, (over - late).Seconds())
	}
}

// Waste is what the storm cost in vain.
type Waste struct {
	Attempts    int    `json:"attempts"`    // that delivered nothing
	Connections int    `json:"connections"` // likewise
	Octets      uint64 `json:"octets"`      // that came in by such connections
	// The same by delivered message; nil when none was delivered.
	AttemptsPer    *float64 `json:"attempts_per_delivered,omitempty"`
	ConnectionsPer *float64 `json:"connections_per_delivered,omitempty"`
	OctetsPer      *float64 `json:"octets_per_delivered,omitempty"`
}

func waste(r *Run) (w Waste) {
	delivered := 0
	for i := range r.Units {
		u := &r.Units[i]
		if len(u.Deliveries) > 0 {
			delivered++
		}
		w.Attempts += max(0, len(u.Attempts)-len(u.Deliveries))
	}
	for i := range r.Connections {
		if c := &r.Connections[i]; c.Delivered == 0 {
			w.Connections++
			w.Octets += c.OctetsIn
		}
	}
	if delivered > 0 {
		per := func(n float64) *float64 { n /= float64(delivered); return &n }
		w.AttemptsPer, w.ConnectionsPer, w.OctetsPer = per(float64(w.Attempts)), per(float64(w.Connections)), per(float64(w.Octets))
	}
	return w
}

// Resources are what the sender used.
type Resources struct {
	CPU       float64 `json:"cpu_s"`
	Memory    int64   `json:"memory_peak_octets"`
	Processes int     `json:"processes_peak"`
	// PerDelivered is CPU by delivered message; nil when none was.
	PerDelivered *float64 `json:"cpu_s_per_delivered,omitempty"`
}

// resources takes the samples' last CPU time, summed over restarts of the sender, which begin at less.
func resources(r *Run) *Resources {
	out := &Resources{}
	var before, sum time.Duration
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.CPU < before { // it was killed and started again, or a process whose parent doesn't wait for it has gone
			sum += before
			before = 0
		}
		before = max(before, s.CPU)
		out.Memory, out.Processes = max(out.Memory, s.Memory), max(out.Processes, s.Processes)
	}
	if out.CPU = (sum + before).Seconds(); out.CPU == 0 && out.Memory == 0 {
		return nil
	}
	delivered := 0
	for i := range r.Units {
		if len(r.Units[i].Deliveries) > 0 {
			delivered++
		}
	}
	if delivered > 0 {
		per := out.CPU / float64(delivered)
		out.PerDelivered = &per
	}
	return out
}
