package fault

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// Bounds of storms.
const (
	MaxPhaseDuration = 30 * 24 * time.Hour
	MaxRepeat        = 10_000
	maxSpans         = 20_000 // phases of a storm, counting repetitions
	// rampSteps is the number of steps in which a ramp's share moves: views are made once, and not at each look at the clock.
	rampSteps = 1000
)

// StartKind says what starts a storm's clock.
type StartKind uint8

// The kinds.
const (
	StartFirstConnection StartKind = iota // the first connection that the server accepts
	StartClock                            // the moment the plan comes into force, or a time
)

// Start says when a plan's first phase begins.
type Start struct {
	Kind StartKind
	At   time.Time // with StartClock: the time; the zero time is when the plan comes into force
}

// ParseStart parses "first-connection", "clock", or a time as RFC 3339 writes it.
func ParseStart(text string) (Start, error) {
	switch text {
	case "first-connection":
		return Start{}, nil
	case "clock":
		return Start{Kind: StartClock}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Start{}, fmt.Errorf("invalid start %q (want first-connection, clock, or a time such as 2026-03-01T08:00:00Z)", text)
	}
	return Start{Kind: StartClock, At: at}, nil
}

// String returns the start as ParseStart reads it.
func (s Start) String() string {
	switch {
	case s.Kind == StartFirstConnection:
		return "first-connection"
	case s.At.IsZero():
		return "clock"
	}
	return s.At.Format(time.RFC3339)
}

// Ramp moves the share of occurrences that a phase's rules apply to, from its beginning to its end, in a straight line.
type Ramp struct {
	From, To float64 // 0 to 1
}

// PhaseSpec is one phase of a PlanSpec, or a group of phases that follow one another.
type PhaseSpec struct {
	Name     string        // needed, unique within the plan; of a group: none
	Duration time.Duration // above 0, at most MaxPhaseDuration; of a group: none
	Ramp     *Ramp         // nil: the rules always apply
	Repeat   int           // how often it happens; 0 means once
	Rules    []RuleSpec    // asked after the plan's own
	Limits   []LimitSpec   // asked after the plan's own; a ramp doesn't thin them out
	// Listeners are the faults of listeners in this phase; a listener without an entry has the plan's.
	Listeners []ListenerFaultSpec
	// Phases makes it a group: they happen in turn, Repeat times. Groups don't nest.
	Phases []PhaseSpec
}

// Phase is a validated phase of a plan. It is immutable and shared.
type Phase struct {
	Index    int    // position in Plan.Phases, from 0
	Name     string // unique within the plan
	Duration time.Duration
	Ramp     *Ramp // nil: the rules always apply
	Times    int   // how often it happens
	Rules    []*Rule
	Limits   []*Limit

	stages ruleIndex
	views  []View // one, or rampSteps of them
}

// Span is one occurrence of a phase in a storm.
type Span struct {
	Index      int // among all, from 0
	Phase      *Phase
	Begin, End time.Duration // from the storm's start
}

// span is what is kept of a Span.
type span struct {
	end   time.Duration
	phase *Phase
}

// Timeline is the order of a plan's phases, and how long each takes. It is immutable and shared.
type Timeline struct {
	base  *View // outside of the storm
	spans []span
}

// Duration returns how long the storm takes; 0 when there are no phases.
func (t *Timeline) Duration() time.Duration {
	if len(t.spans) == 0 {
		return 0
	}
	return t.spans[len(t.spans)-1].end
}

// Len returns how many spans there are: phases, each as often as it happens.
func (t *Timeline) Len() int { return len(t.spans) }

// Span returns one of them.
func (t *Timeline) Span(i int) Span {
	s := Span{Index: i, Phase: t.spans[i].phase, End: t.spans[i].end}
	if i > 0 {
		s.Begin = t.spans[i-1].end
	}
	return s
}

// At returns the span at an offset from the storm's start; ok is false outside the storm.
func (t *Timeline) At(offset time.Duration) (current Span, ok bool) {
	if offset < 0 || offset >= t.Duration() {
		return Span{}, false
	}
	return t.Span(sort.Search(len(t.spans), func(i int) bool { return t.spans[i].end > offset })), true
}

// View returns the plan at now; start is when its storm began (see Plan.StormStart), the zero time when it hasn't yet. It does not
// allocate, and is the same pointer for the same phase and, in a phase with a ramp, the same thousandth of the ramp.
func (t *Timeline) View(now, start time.Time) *View {
	if start.IsZero() {
		return t.base
	}
	offset := now.Sub(start)
	current, ok := t.At(offset)
	if !ok {
		return t.base
	}
	return current.Phase.View(float64(offset-current.Begin) / float64(current.End-current.Begin))
}

// NextChange returns the next time after now at which a phase begins or ends, or the zero time when none does.
func (t *Timeline) NextChange(now, start time.Time) time.Time {
	if start.IsZero() || len(t.spans) == 0 {
		return time.Time{}
	}
	offset := now.Sub(start)
	if offset < 0 {
		return start
	}
	current, ok := t.At(offset)
	if !ok {
		return time.Time{}
	}
	return start.Add(current.End)
}

// Extended returns the timeline in which a span takes longer, and those after it begin later.
func (t *Timeline) Extended(index int, by time.Duration) (*Timeline, error) {
	if by <= 0 || by > MaxPhaseDuration {
		return nil, fmt.Errorf("%v is out of range (want above 0s, at most %v)", by, MaxPhaseDuration)
	}
	if t.Duration()+by > maxStorm {
		return nil, errLongStorm
	}
	longer := &Timeline{base: t.base, spans: slices.Clone(t.spans)}
	for i := index; i < len(longer.spans); i++ {
		longer.spans[i].end += by
	}
	return longer, nil
}

// Planned returns the offset at which the plan's own timeline is where this one, which may be extended, is at an offset.
func (t *Timeline) Planned(offset time.Duration) time.Duration {
	plan := &t.base.plan.timeline
	current, ok := t.At(offset)
	if !ok {
		return offset - max(0, min(offset, t.Duration()-plan.Duration()))
	}
	planned := plan.Span(current.Index)
	passed := float64(offset-current.Begin) / float64(current.End-current.Begin)
	return planned.Begin + time.Duration(passed*float64(planned.End-planned.Begin))
}

const maxStorm = math.MaxInt64 / 2

var errLongStorm = errors.New("the storm takes too long")

// append adds one occurrence of a phase at the end. Only a plan that is being made may call it.
func (t *Timeline) append(p *Phase) error {
	if len(t.spans) >= maxSpans {
		return fmt.Errorf("more than %d phases, counting repetitions", maxSpans)
	}
	end := t.Duration() + p.Duration
	if end < 0 || end > maxStorm {
		return errLongStorm
	}
	p.Times++
	t.spans = append(t.spans, span{end: end, phase: p})
	return nil
}

func (s *PhaseSpec) validate(group bool) (field string, err error) {
	switch {
	case s.Repeat < 0 || s.Repeat > MaxRepeat:
		return "repeat", fmt.Errorf("%d is out of range (want 1 to %d)", s.Repeat, MaxRepeat)
	case s.Phases != nil && group:
		return "phases", fmt.Errorf("a group within a group")
	case s.Phases != nil:
		return s.validateGroup()
	case s.Name == "":
		return "name", fmt.Errorf("missing (want a name, which replies are counted under)")
	case s.Duration <= 0 || s.Duration > MaxPhaseDuration:
		return "duration", fmt.Errorf("%v is out of range (want above 0s, at most %v)", s.Duration, MaxPhaseDuration)
	case s.Ramp != nil && !(validShare(s.Ramp.From) && validShare(s.Ramp.To)):
		return "ramp", fmt.Errorf("from %s to %s is out of range (want shares from 0 to 1)", formatFloat(s.Ramp.From), formatFloat(s.Ramp.To))
	case s.Ramp != nil && len(s.Rules) == 0:
		return "ramp", fmt.Errorf("there are no rules that it could apply to")
	}
	return "", nil
}

func (s *PhaseSpec) validateGroup() (field string, err error) {
	switch {
	case len(s.Phases) == 0:
		return "phases", fmt.Errorf("empty group (want at least one phase)")
	case s.Name != "":
		return "name", fmt.Errorf("a group has no name: its phases have")
	case s.Duration != 0:
		return "duration", fmt.Errorf("a group has no duration: its phases have")
	case s.Ramp != nil:
		return "ramp", fmt.Errorf("a group has no ramp: its phases have")
	case len(s.Rules) > 0 || len(s.Limits) > 0 || len(s.Listeners) > 0:
		return "", fmt.Errorf("a group has no rules, limits and listener faults: its phases have")
	}
	return "", nil
}

func validShare(v float64) bool { return v >= 0 && v <= 1 }

// threshold returns what a draw must stay below in a share of the cases; always says that it is all of them.
func threshold(share float64) (draw uint64, always bool) {
	if share >= 1 {
		return 0, true
	}
	return uint64(math.Ldexp(share, 64)), false
}
