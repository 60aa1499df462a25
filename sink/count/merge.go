package count

import (
	"cmp"
	"slices"
)

// Counts are added with the factor once, and taken off with negated: arithmetic of unsigned integers wraps around.
const (
	once    uint64 = 1
	negated        = ^uint64(0)
)

// Merge adds what another sink has counted, or the same one after a restart. What can't be added (plan, driver, the phase now) stays c's; of
// times and maxima the wider one is kept, and the self-check is dropped: see Check. Quantiles of lags are the higher ones. o is not changed.
func (c *Counts) Merge(o *Counts) {
	c.combine(o, once)
	c.Open += o.Open
	c.Net.Pending += o.Net.Pending
	if c.Started.IsZero() || !o.Started.IsZero() && o.Started.Before(c.Started) {
		c.Started = o.Started
	}
	c.Seconds = max(c.Seconds, o.Seconds)
	c.Plan, c.Driver = cmp.Or(c.Plan, o.Plan), cmp.Or(c.Driver, o.Driver)
	c.Windows = combineWindows(c.Windows, o.Windows)
}

// Minus returns what c has counted beyond before, an earlier state of the same sink; what is true of a moment (open connections, room,
// maxima) is c's. Neither is changed.
func (c *Counts) Minus(before *Counts) *Counts {
	out := *c
	out.Started, out.Seconds = before.Started, c.Seconds-before.Seconds
	out.combine(before, negated)
	out.Windows = slices.DeleteFunc(slices.Clone(c.Windows), func(w Window) bool {
		n := len(before.Windows)
		return n > 0 && w.Start.Before(before.Windows[n-1].Start)
	})
	return &out
}

// combine adds k times what o counts. Slices and parts behind pointers are replaced, never changed.
func (c *Counts) combine(o *Counts, k uint64) {
	c.SelfCheck = nil
	c.Connections += k * o.Connections
	c.BytesIn += k * o.BytesIn
	c.BytesOut += k * o.BytesOut
	c.Accepted.combine(&o.Accepted, k)
	c.Ungreeted += k * o.Ungreeted
	c.ReopenFailures += k * o.ReopenFailures
	c.Folded.Replies += k * o.Folded.Replies
	c.Folded.Attempts += k * o.Folded.Attempts
	c.Attempts.combine(o.Attempts, k)
	c.Net.combine(&o.Net, k)
	c.Ordinals.Evictions += k * o.Ordinals.Evictions
	c.Limits.Evictions += k * o.Limits.Evictions
	c.Reactions = joined(c.Reactions, o.Reactions, k, func(r *Reaction) [2]string { return [2]string{r.Name, r.Key} }, (*Reaction).combine)
	if k == once {
		c.ListenOverflows = max(c.ListenOverflows, o.ListenOverflows) // of the whole system
	} else {
		c.ListenOverflows -= min(c.ListenOverflows, o.ListenOverflows)
	}
	c.Lateness = c.Lateness.combine(o.Lateness, k)
	c.Delays = c.Delays.combine(o.Delays, k)
	c.Clients = combined(c.Clients, o.Clients, k, (*Clients).combine)
	c.Ledger = combined(c.Ledger, o.Ledger, k, (*Ledger).combine)
	c.DSN = combined(c.DSN, o.DSN, k, (*Notifications).combine)
	c.Captures = combined(c.Captures, o.Captures, k, (*Captures).combine)
	c.Replies = joined(c.Replies, o.Replies, k, func(r *Reply) Kind { return r.Kind }, (*Reply).combine)
	slices.SortStableFunc(c.Replies, func(a, b Reply) int { return a.Kind.Compare(b.Kind) })
	c.Rules = joined(c.Rules, o.Rules, k, (*Rule).identity, (*Rule).combine)
	c.Destinations = joined(c.Destinations, o.Destinations, k, func(d *Destination) Destination { return Destination{Listener: d.Listener, Domain: d.Domain} },
		func(d, o *Destination, k uint64) { d.Attempts.combine(o.Attempts, k) })
	slices.SortStableFunc(c.Destinations, func(a, b Destination) int {
		return cmp.Or(cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.Domain, b.Domain))
	})
	for _, phase := range o.Phases {
		if !slices.Contains(c.Phases, phase) {
			c.Phases = append(slices.Clone(c.Phases), phase)
		}
	}
}

// combined returns a copy of have, which may be nil, to which more was added; have itself when there is no more.
func combined[T any](have, more *T, k uint64, combine func(to, o *T, k uint64)) *T {
	if more == nil {
		return have
	}
	var out T
	if have != nil {
		out = *have
	}
	combine(&out, more, k)
	return &out
}

// joined returns have with what more counts of the same things added, and with what is new in it. Of a difference nothing is new: what
// has no counts any more is left out.
func joined[T any, K comparable](have, more []T, k uint64, key func(*T) K, combine func(to, o *T, k uint64)) []T {
	out := slices.Clone(have)
	at := make(map[K]int, len(out))
	for i := range out {
		at[key(&out[i])] = i
	}
	for i := range more {
		j, known := at[key(&more[i])]
		switch {
		case known:
			combine(&out[j], &more[i], k)
		case k == once:
			at[key(&more[i])] = len(out)
			out = append(out, more[i])
		}
	}
	return out
}

func (a *Attempts) combine(o Attempts, k uint64) {
	a.Delivered += k * o.Delivered
	a.Deferred += k * o.Deferred
	a.Bounced += k * o.Bounced
	a.Unanswered += k * o.Unanswered
	a.Discarded += k * o.Discarded
}

// Add adds other attempts.
func (a *Attempts) Add(o Attempts) { a.combine(o, once) }

func (n *Net) combine(o *Net, k uint64) {
	n.Closed += k * o.Closed
	n.Failed += k * o.Failed
	n.Reads += k * o.Reads
	n.Writes += k * o.Writes
	n.Waits += k * o.Waits
	n.AcceptPauses += k * o.AcceptPauses
	n.AcceptsHeld += k * o.AcceptsHeld
	n.AcceptErrors += k * o.AcceptErrors
	n.HighWater += k * o.HighWater
	n.LagP99Micros, n.LagMaxMicros = max(n.LagP99Micros, o.LagP99Micros), max(n.LagMaxMicros, o.LagMaxMicros)
}

func (c *Clients) combine(o *Clients, k uint64) {
	c.NotSMTP += k * o.NotSMTP
	c.Injections += k * o.Injections
	c.Pregreets += k * o.Pregreets
	c.Authenticated += k * o.Authenticated
	c.BadSwitches += k * o.BadSwitches
	c.LongHeaders += k * o.LongHeaders
	examples := slices.Concat(c.BadSwitchExamples, o.BadSwitchExamples)
	slices.Sort(examples)
	examples = slices.Compact(examples)
	c.BadSwitchExamples = examples[:min(len(examples), MaxExamples)]
}

func (n *Notifications) combine(o *Notifications, k uint64) {
	n.Notifications += k * o.Notifications
	n.Recipients += k * o.Recipients
	n.Malformed += k * o.Malformed
	n.Cut += k * o.Cut
	n.Failed += k * o.Failed
	n.Error = cmp.Or(n.Error, o.Error)
}

func (c *Captures) combine(o *Captures, k uint64) {
	c.Messages += k * o.Messages
	c.Cut += k * o.Cut
	c.Dropped += k * o.Dropped
	c.Failed += k * o.Failed
	c.Error = cmp.Or(c.Error, o.Error)
	if k == once { // of a difference, what is now stays
		c.Kept += o.Kept
		c.Octets += o.Octets
	}
}

func (l *Ledger) combine(o *Ledger, k uint64) {
	l.Rows += k * o.Rows
	l.Octets += k * o.Octets
	l.Lost += k * o.Lost
	l.Writes += k * o.Writes
	l.Syncs += k * o.Syncs
	l.WriteErrors += k * o.WriteErrors
	l.SyncErrors += k * o.SyncErrors
	l.Broken, l.Error = l.Broken || o.Broken, cmp.Or(l.Error, o.Error)
}
