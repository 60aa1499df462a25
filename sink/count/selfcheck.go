package count

import (
	"fmt"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
)

// Bounds of a sink that is not saturated.
const (
	MaxLag      = 10 * time.Millisecond // p99 of how long a loop was busy between two waits
	MaxLateness = 10 * time.Millisecond // p99 of how late delayed replies were
)

// SelfCheck is what a sink says of itself, so that no client or MTA is held responsible for it.
type SelfCheck struct {
	OK bool `json:"ok"` // no rule was rejected and nothing was saturated
	// Fits compares what each rule has drawn with its weights, over distinct keys; rules that never spoke are left out.
	Fits []fit.Result `json:"fits,omitempty"`
	// Saturation says, a line each, why figures may be the sink's fault.
	Saturation []string `json:"saturation,omitempty"`
}

// Check returns what the counts say of the sink itself.
func (c *Counts) Check() *SelfCheck {
	check := &SelfCheck{Saturation: c.saturation()}
	check.OK = len(check.Saturation) == 0
	spoke := Counts{}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Occurrences > 0 && len(r.Outcomes) > 1 {
			spoke.Rules = append(spoke.Rules, *r)
		}
	}
	check.Fits = spoke.Fits()
	for i := range check.Fits {
		check.OK = check.OK && !check.Fits[i].Rejected
	}
	return check
}

// micros converts a figure of a histogram of microseconds.
func micros(n uint64) time.Duration { return time.Duration(min(n, 1<<32)) * time.Microsecond } // #nosec G115 -- at most 71 minutes

func (c *Counts) saturation() (lines []string) {
	add := func(is bool, format string, args ...any) {
		if is {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	lag := micros(c.Net.LagP99Micros)
	add(lag > MaxLag, "event loops were busy for up to %v between two waits (p99; want at most %v)", lag, MaxLag)
	if c.Lateness != nil {
		late := micros(c.Lateness.P99Micros)
		add(late > MaxLateness, "delayed replies were later than planned by up to %v (p99; want at most %v)", late, MaxLateness)
	}
	add(c.ListenOverflows > 0, "%d connections met a full accept queue on this system", c.ListenOverflows)
	add(c.Net.AcceptPauses > 0, "accepting stopped %d times for want of descriptors or memory", c.Net.AcceptPauses)
	add(c.Ordinals.Evictions > 0, "%d attempt counters were forgotten, the oldest first, since there is room for %d of all kinds (--state-memory): "+
		"what was a second attempt may have counted as a first, and a replay may draw otherwise", c.Ordinals.Evictions, c.StateCapacity)
	add(c.Limits.Evictions > 0, "%d token buckets, windows of quotas or greylisted triples were forgotten, the oldest first, since there is room for %d of all kinds "+
		"(--state-memory): limits were not what they should be", c.Limits.Evictions, c.StateCapacity)
	for i := range c.Reactions {
		r := &c.Reactions[i]
		add(r.Evictions > 0, "reaction %q has forgotten %d keys, the oldest first, for want of room (--standing-memory): they were treated as if they had not come before", r.Name, r.Evictions)
	}
	add(c.ReopenFailures > 0, "a listener could not be opened again %d times after a fault", c.ReopenFailures)
	add(c.Ledger != nil && c.Ledger.Lost > 0, "rows are missing in the ledger")
	return lines
}
