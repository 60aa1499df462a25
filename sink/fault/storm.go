package fault

import (
	"fmt"
	"math"
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

// span is one occurrence of a phase in a storm.
type span struct {
	end   time.Duration // from the storm's start
	phase *Phase
}

// storm is the order of a plan's phases.
type storm struct {
	phases []*Phase
	spans  []span
}

// duration returns how long the storm takes.
func (s *storm) duration() time.Duration {
	if len(s.spans) == 0 {
		return 0
	}
	return s.spans[len(s.spans)-1].end
}

// at returns the span at an offset from the start, and its beginning; ok is false outside the storm.
func (s *storm) at(offset time.Duration) (begin time.Duration, current span, ok bool) {
	if offset < 0 || offset >= s.duration() {
		return 0, span{}, false
	}
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].end > offset })
	if i > 0 {
		begin = s.spans[i-1].end
	}
	return begin, s.spans[i], true
}

// append adds one occurrence of a phase at the end.
func (s *storm) append(p *Phase) error {
	if len(s.spans) >= maxSpans {
		return fmt.Errorf("more than %d phases, counting repetitions", maxSpans)
	}
	end := s.duration() + p.Duration
	if end < 0 || end > math.MaxInt64/2 {
		return fmt.Errorf("the storm takes too long")
	}
	p.Times++
	s.spans = append(s.spans, span{end: end, phase: p})
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
