package reactor

import "github.com/smtpstorm/xk6-smtp/sink/durations"

// Stats counts what one loop did, or, merged, what several did. All counts
// run from the start of the reactor; Open, Pending and Timers are gauges.
type Stats struct {
	Accepted uint64 // connections accepted
	Open     int64  // connections open now
	Closed   uint64 // connections ended, in any way but Detached
	Failed   uint64 // of Closed: ended by an error
	Detached uint64 // connections handed over by Conn.Detach

	AcceptPauses uint64 // times accepting stopped for want of descriptors or memory
	AcceptsHeld  uint64 // times accepting stopped since Config.Rooms had no room
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

	TimersFired uint64              // calls of Handler.Timer
	Lateness    durations.Histogram // how long after its deadline a timer fired
	Lag         durations.Histogram // time between a wake of the loop and its next wait
}

// Merge adds the counts of o to s.
func (s *Stats) Merge(o *Stats) {
	s.Accepted += o.Accepted
	s.Open += o.Open
	s.Closed += o.Closed
	s.Failed += o.Failed
	s.Detached += o.Detached
	s.AcceptPauses += o.AcceptPauses
	s.AcceptsHeld += o.AcceptsHeld
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
