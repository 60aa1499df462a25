package sink

import (
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// activePlan is a plan in force, with the clock of its storm. It is replaced as a whole by a swap, but for the time of the first
// connection, which a swap may hand on.
type activePlan struct {
	plan   *fault.Plan // nil: none
	hash   string
	text   []byte        // that it was made of; nil: nobody has kept it
	number uint64        // its generation, from 1
	loaded time.Time     // when the storm's clock was set: this plan came into force, or one before it whose clock goes on
	first  *atomic.Int64 // when the first connection came since then, in Unix nanoseconds; 0: not yet
	storms bool          // the plan has phases

	// What somebody has made of the storm's clock.
	timeline *fault.Timeline // the plan's own, unless a phase was extended; nil without a plan
	begun    time.Time       // when the storm has begun; zero: as the plan says
}

// stormStart returns when the storm begins; the zero time when that isn't known yet.
func (f *activePlan) stormStart() time.Time {
	if !f.storms || !f.begun.IsZero() {
		return f.begun
	}
	first := time.Time{}
	if at := f.first.Load(); at != 0 {
		first = time.Unix(0, at)
	}
	return f.plan.StormStart(f.loaded, first)
}

// view returns the plan with its phase at now.
func (f *activePlan) view(now time.Time) *fault.View {
	if f.plan == nil {
		return nil
	}
	return f.timeline.View(now, f.stormStart())
}

// after returns what comes into force when plan replaces f: the clock of a storm that is under way goes on, unless the new plan wants
// its own to start anew.
func (f *activePlan) after(plan *fault.Plan, hash string, text []byte, now time.Time) *activePlan {
	next := &activePlan{plan: plan, hash: hash, text: text, number: 1, loaded: now, first: new(atomic.Int64)}
	if plan != nil {
		next.storms, next.timeline = len(plan.Phases()) > 0, plan.Timeline()
	}
	if f == nil {
		return next
	}
	if next.number = f.number + 1; f.storms && next.storms && !plan.Restart() {
		next.loaded, next.first, next.begun = f.loaded, f.first, f.begun
		if start := f.stormStart(); f.timeline != f.plan.Timeline() && !start.IsZero() { // of an extension only what has passed counts
			next.begun = now.Add(-f.timeline.Planned(now.Sub(start)))
		}
	}
	return next
}

// Current implements session.Plans. A session asks at connect first: the first of all connections starts a storm that waits for it.
func (s *Server) Current(now time.Time) *fault.View {
	f := s.active.Load()
	if f.storms && f.first.Load() == 0 && f.first.CompareAndSwap(0, now.UnixNano()) {
		s.rearrange()
	}
	return f.view(now)
}

// Phase returns the name of the storm's phase in force; empty before, after and without a storm.
func (s *Server) Phase() string { return s.active.Load().view(s.now()).PhaseName() }
