package sink

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// epoch is the time since a reset.
type epoch struct {
	number uint64 // from 1, which is that of the start
	before *Stats // what was counted before; nil: nothing
}

// Reset says what begins anew.
type Reset struct {
	Counts  bool // Snapshot.Epoch counts from now on
	State   bool // attempts, token buckets, greylists and standings are forgotten; open connections still count
	Next    bool // outcomes that were asked for are taken back
	Capture bool // captured messages are forgotten
}

// Reset begins an epoch, and returns its number: the n-th of this run, the first of which began with the start. The ledger has a row of
// it. What Stats returns goes on: monitoring sees no counter go back.
func (s *Server) Reset(what Reset) uint64 {
	before := s.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch.number++
	if what.Counts {
		s.epoch.before = before
	}
	if what.State {
		s.store.Clear()
		s.standings.Clear()
	}
	if what.Next {
		s.next.Clear()
	}
	if what.Capture && s.captured != nil {
		s.captured.Clear()
	}
	if s.driver != nil && !s.closed {
		s.record(&event.Row{Kind: event.KindReset, Reset: event.Reset{Time: s.now(), Epoch: s.epoch.number, State: what.State}})
	}
	return s.epoch.number
}

// Snapshot is what was counted at a time.
type Snapshot struct {
	Time       time.Time
	Run        string // identifies the run among all
	Generation uint64 // of the plan in force
	Epoch      uint64 // see Server.Reset
	Total      *Stats // since the start
	Since      *Stats // since the last reset of the counts
}

// Snapshot returns the counts, and of when they are.
func (s *Server) Snapshot() Snapshot {
	total := s.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Snapshot{Time: s.now(), Run: s.run, Generation: s.active.Load().number, Epoch: s.epoch.number, Total: total, Since: total}
	if s.epoch.before != nil {
		out.Since = total.Minus(s.epoch.before)
	}
	return out
}
