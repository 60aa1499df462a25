package measure

import (
	"cmp"
	"slices"
	"time"
)

// Run is what was seen of one storm.
type Run struct {
	// Begin is the first intended submission, Storm and End are the window of the storm, Cutoff is when watching ended.
	Begin, Storm, End, Cutoff time.Time

	Units       []Unit
	Connections []Connection
	Samples     []Sample // in the order of time; none: the queue was not seen
	Policy      *Policy  // nil: nobody knows how the sender retries
	// Restarts are when the sender was killed or started: a pause over one is none of its policy's.
	Restarts []time.Time
	// Affected are the recipient domains that the storm is for; nil: all.
	Affected []string
}

// Unit is a message to one recipient.
type Unit struct {
	Recipient string
	Domain    string
	Intended  time.Time // when it should have been submitted: the open loop's instant, whatever held the submission up
	Accepted  bool      // the source was told 2xx for it
	// Arrived is when the sender took it, by its own clock, from which it reckons the message's age; zero: not known, as if it had come when it
	// was meant to.
	Arrived time.Time
	// Attempts are when each began, in the order of time, and Ends when it was over for the sender, from which pauses are reckoned. Without an
	// end an attempt took no time.
	Attempts, Ends []time.Time
	// Unseen are when the sender failed without that the sink saw an envelope, by the sender's own log, whose times may be taken down to whole
	// seconds: the sender reckons its next pause from there, and what is between two attempts is then no pause of its policy.
	Unseen []time.Time
	// Deliveries are when the sink's positive final replies were handed over.
	Deliveries []time.Time
	// Failed is when its sender was told that it failed for good, or the sink refused it for good; zero: neither.
	Failed time.Time
}

// Connection is one of the sink's.
type Connection struct {
	At, End   time.Time // accepted, and closed; a zero End: open at the end
	Attempts  uint64    // RCPT commands, or MAIL commands if there were more: 0 without an envelope
	Delivered uint64
	OctetsIn  uint64
}

// Sample is what was seen of the sender at a time.
type Sample struct {
	At        time.Time     `json:"t"`
	Depth     int           `json:"depth"`            // messages in its queue
	CPU       time.Duration `json:"cpu,omitempty"`    // since its start; 0: not seen
	Memory    int64         `json:"memory,omitempty"` // octets
	Processes int           `json:"processes,omitempty"`
}

// Policy is how a sender says that it retries; see mta.Schedule.
type Policy struct {
	Gaps               []time.Duration
	ByAge              bool // a pause is as long as the message is old, within the first and the last of Gaps
	WholeSeconds       bool // times are taken down to whole seconds before they are reckoned with
	Early, Late, Later time.Duration
	LateInterval       bool // a pause but the first may be late by one more of itself
	LastAnytime        bool // the last attempt of what failed may come at any time
}

// gap returns the pause after the k-th attempt, counted from 0, at a time, of a message that arrived at another.
func (p *Policy) gap(k int, arrived, at time.Time) time.Duration {
	if p.WholeSeconds {
		down := at.Truncate(time.Second)
		return p.pause(k, down.Sub(arrived.Truncate(time.Second))) - at.Sub(down)
	}
	return p.pause(k, at.Sub(arrived))
}

// clockTick is by how much time(2) may be behind the clock of the sink: it moves with the kernel's ticks, of 1 to 10 ms.
const clockTick = 10 * time.Millisecond

// behind is by how much a sender that reckons in whole seconds may be early because it took a time for that of the second before.
func (p *Policy) behind(at time.Time) time.Duration {
	if p.WholeSeconds && at.Sub(at.Truncate(time.Second)) < clockTick {
		return time.Second
	}
	return 0
}

func (p *Policy) pause(k int, age time.Duration) time.Duration {
	last := p.Gaps[len(p.Gaps)-1]
	if p.ByAge {
		return min(max(age, p.Gaps[0]), last)
	}
	if k < len(p.Gaps) {
		return p.Gaps[k]
	}
	return last
}

// Figures are what a run comes to. Durations are in seconds.
type Figures struct {
	Submitted int `json:"submitted"` // messages that should have been
	Accepted  int `json:"accepted"`

	Depth       *Depth          `json:"depth,omitempty"`
	Attempts    Attempts        `json:"attempts"`
	Backoff     []Gap           `json:"backoff,omitempty"`
	Adherence   *Adherence      `json:"adherence,omitempty"` // nil: the policy isn't known, or nothing was tried again
	Waste       Waste           `json:"waste"`
	Herd        map[string]Herd `json:"herd,omitempty"` // "attempts" and "connections", in the storm and until the last delivery
	Recovery    Recovery        `json:"recovery"`
	Delay       []Delay         `json:"delay"`             // by injection: before, during, after, and all
	Domains     []DomainDelay   `json:"domains,omitempty"` // ordered by name
	Incidence   Incidence       `json:"incidence"`         // of all units
	Concurrency *Concurrency    `json:"concurrency,omitempty"`
	Fairness    *Fairness       `json:"fairness,omitempty"`
	Resources   *Resources      `json:"resources,omitempty"`
	Rates       []Second        `json:"rates,omitempty"` // what happened in each second
}

// Of computes the figures.
func Of(r *Run) *Figures {
	f := &Figures{Submitted: len(r.Units)}
	for i := range r.Units {
		if r.Units[i].Accepted {
			f.Accepted++
		}
	}
	f.Depth = depth(r)
	f.Attempts = attempts(r)
	f.Backoff, f.Adherence = backoff(r)
	f.Waste = waste(r)
	f.Rates = rates(r)
	f.Herd = herds(r, f.Rates)
	f.Recovery = recovery(r)
	f.Delay = delays(r)
	f.Domains = domains(r)
	f.Incidence = incidence(r, r.Units)
	f.Concurrency = concurrency(r)
	f.Fairness = fairness(r)
	f.Resources = resources(r)
	return f
}

// restarted reports whether the sender was restarted between two times.
func (r *Run) restarted(from, to time.Time) bool {
	return slices.ContainsFunc(r.Restarts, func(at time.Time) bool { return at.After(from) && at.Before(to) })
}

// end returns when the k-th attempt was over for the sender, from 0 on.
func (u *Unit) end(k int) time.Time {
	if k < len(u.Ends) && u.Ends[k].After(u.Attempts[k]) {
		return u.Ends[k]
	}
	return u.Attempts[k]
}

// unseen reports whether the sender failed unseen between the k-th attempt, from 0 on, and the next.
func (u *Unit) unseen(k int) bool {
	from := u.end(k).Truncate(time.Second)
	return slices.ContainsFunc(u.Unseen, func(at time.Time) bool { return !at.Before(from) && at.Before(u.Attempts[k+1]) })
}

// arrived returns since when the sender reckons the unit's age.
func (u *Unit) arrived() time.Time {
	if u.Arrived.IsZero() {
		return u.Intended
	}
	return u.Arrived
}

// first returns when a unit was delivered first.
func (u *Unit) first() (time.Time, bool) {
	if len(u.Deliveries) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(u.Deliveries, time.Time.Compare), true
}

// quantile returns the q-quantile of values in ascending order, by the nearest rank; nil when there are none.
func quantile(sorted []float64, q float64) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	i := min(max(int(q*float64(len(sorted))+0.9999999)-1, 0), len(sorted)-1)
	v := sorted[i]
	return &v
}

func sorted[T cmp.Ordered](values []T) []T {
	slices.Sort(values)
	return values
}
