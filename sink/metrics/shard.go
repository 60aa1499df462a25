package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Shard is one loop's part of a Set. Its methods are safe for concurrent use, and cheapest when one goroutine uses it: the
// counters of two shards never share a cache line, those of one do.
type Shard struct {
	_         [64]byte
	cells     // whatever the phase
	phases    phases
	ungreeted atomic.Uint64
	clients   clients
	lateness  Histogram

	destinations destinations

	_ [64]byte
}

func newShard() *Shard {
	s := &Shard{}
	s.cells.init()
	s.phases.init()
	return s
}

// phases holds the counters of each phase of the storms so far, by name.
type phases struct {
	current atomic.Pointer[[]currentPhase] // of the plan in force, by fault.Phase.Index; replaced, never changed
	mu      sync.Mutex
	known   map[string]*Phase
}

type currentPhase struct {
	phase *fault.Phase
	cells *Phase
}

func (s *phases) init() {
	s.known = map[string]*Phase{}
	s.current.Store(&[]currentPhase{})
}

// Phase returns the counters of a storm's phase. What it counts is counted without its phase, too. It allocates only when a phase is
// met for the first time.
func (s *Shard) Phase(p *fault.Phase) *Phase {
	if current := *s.phases.current.Load(); p.Index >= 0 && p.Index < len(current) && current[p.Index].phase == p {
		return current[p.Index].cells
	}
	s.phases.mu.Lock()
	defer s.phases.mu.Unlock()
	return s.phases.find(p)
}

// find returns the counters of a phase of any plan. s.mu is held.
func (s *phases) find(p *fault.Phase) *Phase {
	known := s.known[p.Name]
	if known == nil {
		known = new(Phase)
		(*cells)(known).init()
		s.known[p.Name] = known
	}
	return known
}

// announce makes room for the phases of a plan, and forgets those of earlier plans that are named.
func (s *phases) announce(all []*fault.Phase, forget []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range forget {
		delete(s.known, name)
	}
	current := make([]currentPhase, 0, len(all))
	for _, p := range all {
		current = append(current, currentPhase{p, s.find(p)})
	}
	s.current.Store(&current)
}

// Phase is one phase's part of a Shard.
type Phase cells

// Decided counts a reply that an occurrence of its stage got in this phase.
func (p *Phase) Decided(stage smtp.Stage, d *fault.Decision) { (*cells)(p).Cell(stage, d).Decided() }

// End is the class of an attempt's final result.
type End uint8

// The ends of an attempt: one RCPT command ends in exactly one of them.
const (
	Delivered  End = iota // the message counts as accepted: after a positive final reply, unless a fault has it otherwise
	Deferred              // 4xx, at whatever stage
	Bounced               // 5xx, at whatever stage
	Unanswered            // the connection ended before the final reply
	Discarded             // a positive final reply was handed over, and a fault threw the message away
	numEnds
)

// Attempt counts the final result of an attempt at a listener for a recipient of that domain; case does not matter. It allocates only
// when a destination is met for the first time.
func (s *Shard) Attempt(listener string, domain []byte, end End) {
	s.destinations.count(listener, domain, end)
}

// Ungreeted counts a connection that was accepted and never greeted.
func (s *Shard) Ungreeted() { s.ungreeted.Add(1) }

// Late counts how long after its due time a delayed reply was handed to the kernel.
func (s *Shard) Late(d time.Duration) { s.lateness.Record(d) }
