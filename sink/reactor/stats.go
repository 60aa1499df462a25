package reactor

import (
	"math/bits"
	"time"
)

// Stats counts what one loop did, or, merged, what several did. All counts
// run from the start of the reactor; Open, Pending and Timers are gauges.
type Stats struct {
	Accepted uint64 // connections accepted
	Open     int64  // connections open now
	Closed   uint64 // connections ended, in any way but Detached
	Failed   uint64 // of Closed: ended by an error
	Detached uint64 // connections handed over by Conn.Detach

	AcceptPauses uint64 // times accepting stopped for want of descriptors or memory
	AcceptErrors uint64 // other failures of accept, such as a peer that went away first

	BytesIn, BytesOut uint64 // octets read and written, discarded input included
	Reads, Writes     uint64 // system calls that read and wrote
	Waits             uint64 // system calls that waited for events
	Controls          uint64 // system calls that changed the set of awaited events
	Events            uint64 // events dealt with
	Stale             uint64 // events of connections that were closed already
	HighWater         uint64 // times a connection's pending output passed Config.HighWater

	Pending int64 // octets of output that wait for peers now
	Timers  int64 // slots of the timer heap in use now

	TimersFired uint64    // calls of Handler.Timer
	Lateness    Histogram // how long after its deadline a timer fired
	Lag         Histogram // time between a wake of the loop and its next wait
}

// Merge adds the counts of o to s.
func (s *Stats) Merge(o *Stats) {
	s.Accepted += o.Accepted
	s.Open += o.Open
	s.Closed += o.Closed
	s.Failed += o.Failed
	s.Detached += o.Detached
	s.AcceptPauses += o.AcceptPauses
	s.AcceptErrors += o.AcceptErrors
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.Reads += o.Reads
	s.Writes += o.Writes
	s.Waits += o.Waits
	s.Controls += o.Controls
	s.Events += o.Events
	s.Stale += o.Stale
	s.HighWater += o.HighWater
	s.Pending += o.Pending
	s.Timers += o.Timers
	s.TimersFired += o.TimersFired
	s.Lateness.Merge(&o.Lateness)
	s.Lag.Merge(&o.Lag)
}

// Histogram counts durations in buckets of powers of two: Buckets[0] those
// under 1 us, Buckets[i] those from 2^(i-1) us to under 2^i us, and the last
// one all that are longer.
type Histogram struct {
	Buckets [32]uint64
	Max     time.Duration
}

// Record counts d. A negative duration counts as zero.
func (h *Histogram) Record(d time.Duration) {
	if d < 0 {
		d = 0
	}
	if d > h.Max {
		h.Max = d
	}
	i := bits.Len64(uint64(d / time.Microsecond))
	h.Buckets[min(i, len(h.Buckets)-1)]++
}

// Merge adds the counts of o to h.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Max = max(h.Max, o.Max)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() (n uint64) {
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Quantile returns an upper bound of the q-quantile (0 to 1): the end of the
// bucket that holds it, or Max where that is lower. It is 0 without records.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := max(uint64(q*float64(n)), 1)
	var seen uint64
	for i, b := range h.Buckets {
		seen += b
		if seen >= rank && i < len(h.Buckets)-1 {
			return min(time.Microsecond<<i, h.Max)
		}
	}
	return h.Max
}
