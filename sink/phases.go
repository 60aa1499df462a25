package sink

import "time"

// phaseNotes is how far the ledger knows of the storm's phases.
type phaseNotes struct {
	of   *activePlan // the plan whose phases they are; nil: nothing was looked at yet
	at   time.Time   // until then
	name string      // the phase that was in force then
}

// notePhases writes a row for each phase that has begun since the last look, with the time of its plan: who looks late, on a busy machine,
// misses none. s.mu is held.
func (s *Server) notePhases(f *activePlan, now time.Time) {
	if s.ledger == nil {
		return
	}
	notes := &s.phases
	at := notes.at
	switch notes.of {
	case f:
	case nil:
		at = s.start
	default: // what the new plan would have been in before is nobody's business
		at = now
	}
	if name := f.view(at).PhaseName(); name != notes.name {
		notes.name = name
		s.ledger.phase(name, at)
	}
	for f.storms {
		next := f.plan.NextChange(at, f.stormStart())
		if next.IsZero() || next.After(now) {
			break
		}
		at = next
		notes.name = f.view(at).PhaseName()
		s.ledger.phase(notes.name, at)
	}
	notes.of, notes.at = f, now
}
