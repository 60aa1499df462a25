package sink

import (
	"errors"
	"fmt"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// Errors of Replace and MoveStorm.
var (
	ErrPlanChanged = errors.New("another plan has come into force meanwhile")
	ErrListeners   = errors.New("the plan needs other listeners")
)

// PlanState is the plan in force.
type PlanState struct {
	Generation uint64 // 1 is the plan of the start; each that replaces one has the next
	Name       string // empty when it has none, and without a plan
	Seed       uint64
	Hash       string
	Text       []byte // as it was given with the plan; it must not be changed
	Planned    bool   // there is a plan; without one every reply is the plain one
}

// PlanInForce returns the plan in force.
func (s *Server) PlanInForce() PlanState {
	f := s.active.Load()
	p := PlanState{Generation: f.number, Hash: f.hash, Text: f.text, Planned: f.plan != nil}
	if f.plan != nil {
		p.Name, p.Seed = f.plan.Name(), f.plan.Seed()
	}
	return p
}

// PlanChange is a plan that shall replace the one in force.
type PlanChange struct {
	Plan *fault.Plan // nil: none
	Hash string      // identifies its text in the ledger
	Text []byte      // the server's from now on; nil: nobody asks for it

	Generation    uint64 // of the plan that it shall replace; when that is another, the error is ErrPlanChanged. 0: whichever
	KeepListeners bool   // a plan that would open or close a listener is refused with ErrListeners
	DryRun        bool   // tell what would happen, and change nothing
}

// Replaced says what a PlanChange has led to, or would lead to.
type Replaced struct {
	Generation     uint64     // of the new plan
	Opened, Closed []Listener // empty while the server doesn't run
	LimitsKept     []string   // limits that go on with what they have counted
	StandingsKept  []string   // reactions whose standings go on: their text is the same
	StandingsOver  []string   // reactions whose standings are over, of those that have any in force: their text is another, or they are gone
	StormRestarts  bool       // the clock of the storm starts again
}

// Swap puts another plan into force, as Replace does.
func (s *Server) Swap(plan *fault.Plan, hash string) error {
	_, err := s.Replace(PlanChange{Plan: plan, Hash: hash})
	return err
}

// Replace puts another plan into force. Transactions that are under way keep the plan that they began with. Attempt counters and
// greylists go on, and so do the counts of limits and the standings of reactions that both plans have, and the clock of a storm unless the new plan restarts it. When
// the new plan's listeners can't be opened, the old plan stays in force.
func (s *Server) Replace(c PlanChange) (Replaced, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done, err := s.replace(&c)
	if err != nil {
		return Replaced{}, fmt.Errorf("sink: %w", err)
	}
	return done, nil
}

// replace does what Replace says. s.mu is held.
func (s *Server) replace(c *PlanChange) (done Replaced, err error) {
	old, now := s.active.Load(), s.now()
	if c.Generation != 0 && c.Generation != old.number {
		return done, ErrPlanChanged
	}
	f := old.after(c.Plan, c.Hash, c.Text, now)
	done = Replaced{Generation: f.number, LimitsKept: limitsKept(old.plan, f.plan), StandingsKept: s.standings.Kept(f.plan), StormRestarts: f.storms && f.first != old.first}
	done.StandingsOver = s.standingsOver(old.plan, done.StandingsKept)
	var dropped []*boundListener
	if s.driver != nil && !s.closed {
		wanted, err := s.wantedBy(f.plan)
		if err != nil {
			return done, err
		}
		done.Opened, done.Closed = s.changes(wanted)
		if c.KeepListeners && len(done.Opened)+len(done.Closed) > 0 {
			return done, fmt.Errorf("%w: %s", ErrListeners, namesOf(slices.Concat(done.Opened, done.Closed)))
		}
		if c.DryRun {
			return done, tryPorts(done.Opened)
		}
		if dropped, err = s.arrange(wanted, f.plan); err != nil {
			return done, err
		}
	}
	if c.DryRun {
		return done, nil
	}
	s.notePhases(old, now)
	s.activate(f)
	for _, l := range s.listeners {
		l.session.Store(s.sessionConfig(&l.Listener, f.plan))
		if n := receiveBuffer(f.plan); n > 0 && l.socket != nil {
			l.socket.SetReceiveBuffer(n)
		}
	}
	for _, l := range dropped {
		if l.socket != nil {
			l.socket.Close()
		}
	}
	if s.driver != nil {
		s.late.swapped(old.plan, f.plan, now)
	}
	row := event.Swap{Time: now, PlanHash: f.hash, Restart: done.StormRestarts, Reactions: state.ReactionIDs(f.plan)}
	if f.plan != nil {
		row.Plan, row.Seed = f.plan.Name(), f.plan.Seed()
	}
	if s.driver != nil && !s.closed {
		s.record(&event.Row{Kind: event.KindSwap, Swap: row})
	}
	s.rearrange()
	return done, nil
}

// standingsOver returns the reactions of the plan in force that have standings and are not kept.
func (s *Server) standingsOver(plan *fault.Plan, kept []string) (over []string) {
	for _, r := range plan.Reactions() {
		if slices.Contains(kept, r.Name) {
			continue
		}
		if found, _, err := s.standings.List(s.now(), state.StandingQuery{Reaction: r.Name, Limit: 1}); err == nil && len(found) > 0 {
			over = append(over, r.Name)
		}
	}
	return over
}

// changes returns which listeners have to be opened and closed for these to be there. s.mu is held.
func (s *Server) changes(wanted []Listener) (opened, closed []Listener) {
	var have []Listener
	for _, l := range s.listeners {
		have = append(have, l.Listener)
	}
	without := func(all, others []Listener) []Listener {
		return slices.DeleteFunc(slices.Clone(all), func(l Listener) bool { return slices.ContainsFunc(others, l.same) })
	}
	return without(wanted, have), without(have, wanted)
}

func namesOf(listeners []Listener) (names []string) {
	for i := range listeners {
		names = append(names, listeners[i].name())
	}
	return names
}

// allLimits returns the limits of a plan, and those of its reactions' treatments.
func allLimits(p *fault.Plan) []*fault.Limit {
	all := p.AllLimits()
	for _, r := range p.Reactions() {
		all = slices.Concat(all, r.Limits)
	}
	return all
}

// limitsKept returns the names of the limits of plan that go on with what they have counted under the plan before.
func limitsKept(before, plan *fault.Plan) (names []string) {
	if before == nil || plan == nil {
		return nil
	}
	for _, l := range allLimits(plan) {
		if slices.ContainsFunc(allLimits(before), func(old *fault.Limit) bool { return state.Continues(l, old) }) {
			names = append(names, l.Name)
		}
	}
	return names
}
