package sink

import (
	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Stats is what a server did since its start.
type Stats = count.Counts

// Stats returns the figures. It stops nobody for longer than it takes to copy a loop's counters.
func (s *Server) Stats() *Stats { return s.stats(true) }

// Totals returns the figures without their time series, which takes less.
func (s *Server) Totals() *Stats { return s.stats(false) }

func (s *Server) stats(windows bool) *Stats {
	s.mu.Lock()
	d, series, start, end, ledger, notes, overflowed := s.driver, s.series, s.start, s.end, s.ledger, s.dsn, s.overflowed
	captured := s.captured
	s.mu.Unlock()
	out := count.New()
	out.Driver, out.Loops, out.Started, out.Phase = s.kind.String(), s.cfg.Loops, start, s.Phase()
	out.Ordinals, out.Limits, out.StateCapacity, out.ReopenFailures = s.attempts.Stats(), s.limits.Stats(), s.store.Capacity(), s.reopenFailures.Load()
	out.Reactions, out.StandingKeys = s.standings.Stats(), s.standings.Keys()
	if f := s.active.Load(); f.plan != nil {
		out.Plan, out.Hash, out.Seed = f.plan.Name(), f.hash, f.plan.Seed()
	}
	if ledger != nil {
		kept := ledger.writer.Stats()
		out.Ledger = &kept
	}
	if notes != nil {
		kept := notes.dir.Stats()
		out.DSN = &kept
	}
	if captured != nil {
		kept := captured.Stats()
		out.Captures = &kept
	}
	if now, ok := listenOverflows(); ok && d != nil && !s.overfilled.Load() {
		out.ListenOverflows = now - min(overflowed, now)
	}
	if d != nil {
		if end.IsZero() {
			end = s.now()
		}
		out.Seconds = end.Sub(start).Seconds()
		out.Traffic, out.Net = d.Counters()
	}
	if d != nil && windows {
		out.Windows = series.Windows(end, s.totals(out.Traffic))
	}
	s.metrics.AddTo(out)
	return out
}
