package sink

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// StormStatus says how far a storm is.
type StormStatus string

// The values of StormStatus.
const (
	StormNone    StormStatus = "none"    // the plan has no phases
	StormWaiting StormStatus = "waiting" // the first phase is still to come
	StormRunning StormStatus = "running"
	StormOver    StormStatus = "over"
)

// StormState is where a storm is. What is about a phase is zero unless it is running.
type StormState struct {
	Generation uint64 // of the plan, see PlanState
	Status     StormStatus
	Phase      string        // in force
	Index      int           // of its occurrence among all of the storm, from 0
	Count      int           // how many these are
	Round      int           // this is the phase's n-th occurrence, from 1
	Elapsed    time.Duration // since it began
	Remaining  time.Duration // until it ends; while waiting, until the first one begins if that is known

	Timeline *fault.Timeline // all occurrences, extensions included; nil without phases
}

// Storm returns where the storm is.
func (s *Server) Storm() StormState { return s.active.Load().storm(s.now()) }

// storm returns where the storm is at now.
func (f *activePlan) storm(now time.Time) StormState {
	state := StormState{Generation: f.number, Status: StormNone}
	if !f.storms {
		return state
	}
	state.Count, state.Timeline = f.timeline.Len(), f.timeline
	start := f.stormStart()
	offset := now.Sub(start)
	switch current, ok := f.timeline.At(offset); {
	case start.IsZero():
		state.Status = StormWaiting
	case offset < 0:
		state.Status, state.Remaining = StormWaiting, -offset
	case !ok:
		state.Status = StormOver
	default:
		state.Status, state.Phase, state.Index = StormRunning, current.Phase.Name, current.Index
		state.Elapsed, state.Remaining = offset-current.Begin, current.End-offset
		for i := range current.Index + 1 {
			if f.timeline.Span(i).Phase == current.Phase {
				state.Round++
			}
		}
	}
	return state
}

// StormAction is what somebody does to the clock of a storm.
type StormAction string

// The values of StormAction.
const (
	StormStart  StormAction = "start"  // the first phase begins now; only of a storm that is not running
	StormStop   StormAction = "stop"   // the storm is over; only of one that is waiting or running
	StormJump   StormAction = "jump"   // a phase begins now, and those after it follow
	StormExtend StormAction = "extend" // the phase in force takes longer, and those after it begin later
)

// StormMove moves the clock of a storm.
type StormMove struct {
	Action     StormAction
	Phase      string        // of a jump: to its next occurrence, or to its first when none follows; empty: to that of Index
	Index      int           // of a jump: the occurrence among all of the storm, from 0
	By         time.Duration // of an extension, above 0
	Generation uint64        // of the plan that is meant; when that is another, the error is ErrPlanChanged. 0: whichever
}

// ErrStormState says that a storm is not in a state in which the move can be done.
var ErrStormState = errors.New("not in this state of the storm")

// MoveStorm moves the clock of the storm, and returns where it is then. Transactions that are under way keep their phase. The ledger
// has a row of the move before that of the phase which begins by it. The error wraps ErrPlanChanged or ErrStormState, or names what is
// wrong with the move.
func (s *Server) MoveStorm(m StormMove) (StormState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, now := s.active.Load(), s.now()
	if m.Generation != 0 && m.Generation != f.number {
		return f.storm(now), fmt.Errorf("sink: %w", ErrPlanChanged)
	}
	moved, err := f.moved(&m, now)
	if err != nil {
		return f.storm(now), fmt.Errorf("sink: storm %s: %w", m.Action, err)
	}
	s.notePhases(f, now)
	s.active.Store(moved)
	state := moved.storm(now)
	if s.driver != nil && !s.closed {
		s.record(&event.Row{Kind: event.KindStorm, Storm: event.Storm{
			Time: now, Action: string(m.Action), Phase: state.Phase, Index: uint64(state.Index), By: m.By, // #nosec G115 -- from 0
		}})
		s.apply(now)
		s.rearrange()
	}
	return state, nil
}

// moved returns the plan with its clock moved.
func (f *activePlan) moved(m *StormMove, now time.Time) (*activePlan, error) {
	if m.By != 0 && m.Action != StormExtend {
		return nil, errors.New("a duration goes with extend only")
	}
	before := f.storm(now)
	wrong := func(want string) error {
		return fmt.Errorf("%w: it is %s (want %s)", ErrStormState, before.Status, want)
	}
	if before.Status == StormNone {
		return nil, fmt.Errorf("%w: the plan has no phases", ErrStormState)
	}
	next := *f
	switch m.Action {
	case StormStart:
		if before.Status == StormRunning {
			return nil, wrong("waiting or over; jump goes to a phase")
		}
		next.begun, next.timeline = now, f.plan.Timeline()
	case StormStop:
		if before.Status == StormOver {
			return nil, wrong("waiting or running")
		}
		next.begun = now.Add(-f.timeline.Duration())
	case StormJump:
		index, err := f.find(m, before)
		if err != nil {
			return nil, err
		}
		next.begun = now.Add(-f.timeline.Span(index).Begin)
	case StormExtend:
		if before.Status != StormRunning {
			return nil, wrong("running")
		}
		longer, err := f.timeline.Extended(before.Index, m.By)
		if err != nil {
			return nil, err
		}
		next.begun, next.timeline = f.stormStart(), longer
	default:
		return nil, fmt.Errorf("unknown action %q (valid: %s %s %s %s)", m.Action, StormStart, StormStop, StormJump, StormExtend)
	}
	return &next, nil
}

// find returns the occurrence that a jump goes to.
func (f *activePlan) find(m *StormMove, before StormState) (index int, err error) {
	n := f.timeline.Len()
	if m.Phase == "" {
		if m.Index < 0 || m.Index >= n {
			return 0, fmt.Errorf("there is no occurrence %d (valid: 0 to %d)", m.Index, n-1)
		}
		return m.Index, nil
	}
	from := 0
	if before.Status == StormRunning {
		from = before.Index + 1
	}
	for i := range n {
		if at := (from + i) % n; f.timeline.Span(at).Phase.Name == m.Phase {
			return at, nil
		}
	}
	var names []string
	for _, p := range f.plan.Phases() {
		names = append(names, p.Name)
	}
	return 0, fmt.Errorf("there is no phase %q (valid: %s)", m.Phase, strings.Join(names, ", "))
}
