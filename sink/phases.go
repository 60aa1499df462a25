package sink

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// phaseNotes is how far the ledger knows of the storm's phases.
type phaseNotes struct {
	of   *activePlan // the plan whose phases they are; nil: nothing was looked at yet
	at   time.Time   // until then
	name string      // the phase that was in force then
}

// notePhases writes a row for each phase that has begun since the last look, with the time of its plan: who looks late, on a busy machine,
// misses none. s.mu is held.
func (s *Server) notePhases(f *activePlan, now time.Time) {
	if s.ledger == nil && s.cfg.Observer == nil || s.driver == nil {
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
		s.notePhase(name, at)
	}
	for f.storms {
		next := f.timeline.NextChange(at, f.stormStart())
		if next.IsZero() || next.After(now) {
			break
		}
		at = next
		notes.name = f.view(at).PhaseName()
		s.notePhase(notes.name, at)
	}
	notes.of, notes.at = f, now
}

func (s *Server) notePhase(name string, at time.Time) {
	s.record(&event.Row{Kind: event.KindPhase, Phase: event.Phase{Time: at, Phase: name}})
}
