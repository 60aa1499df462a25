package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Shard is one loop's part of a Set. Its methods are safe for concurrent use, and cheapest when one goroutine uses it: the
// counters of two shards never share a cache line, those of one do.
type Shard struct {
	_         [64]byte
	ungreeted atomic.Uint64
	clients   clients
	lateness  Histogram
	delays    Histogram

	destinations destinations

	mu        sync.Mutex
	listeners map[string]*Listener
	rules     []*fault.Rule // of the plan in force
	phases    []*fault.Phase

	_ [64]byte
}

// group is what the counters of a shard are told apart by.
type group struct{ listener, phase string }

// Listener is what a Shard counts of replies at one listener.
type Listener struct {
	shard   *Shard
	calm    *Cells                         // outside of any phase
	current atomic.Pointer[[]currentPhase] // of the plan in force, by fault.Phase.Index; replaced, never changed

	// Under the shard's lock:
	known   map[string]*Cells // by phase, calm by ""
	leaving []*Cells          // of phases that were forgotten the last time: somebody may count in them still
}

// currentPhase is a phase of the plan in force. Its cells are there once something has happened in it.
type currentPhase struct {
	phase *fault.Phase
	cells atomic.Pointer[Cells]
}

// MaxListeners is how many listeners a shard tells apart. Plans that are swapped may each have others; what comes to further ones is counted
// under count.Other.
const MaxListeners = 1024

// Listener returns the counters of a listener. It allocates only when a listener is met for the first time.
func (s *Shard) Listener(name string) *Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listeners[name]
	if l == nil && len(s.listeners) >= MaxListeners {
		name = count.Other
		l = s.listeners[name]
	}
	if l == nil {
		l = &Listener{shard: s, calm: newCells(s.rules)}
		l.known = map[string]*Cells{"": l.calm}
		l.announce(s.phases)
		s.listeners[name] = l
	}
	return l
}

// Phase returns the counters of a storm's phase, or outside of any where p is nil. It allocates only when a phase is met for the first
// time.
func (l *Listener) Phase(p *fault.Phase) *Cells {
	if p == nil {
		return l.calm
	}
	var known *currentPhase
	if current := *l.current.Load(); p.Index >= 0 && p.Index < len(current) && current[p.Index].phase == p {
		known = &current[p.Index]
		if cells := known.cells.Load(); cells != nil {
			return cells
		}
	}
	l.shard.mu.Lock()
	defer l.shard.mu.Unlock()
	cells := l.find(p.Name)
	if known != nil {
		known.cells.Store(cells)
	}
	return cells
}

// find returns the counters of a phase of any plan. The shard's lock is held.
func (l *Listener) find(phase string) *Cells {
	known := l.known[phase]
	if known == nil {
		known = newCells(l.shard.rules)
		l.known[phase] = known
	}
	return known
}

func (l *Listener) announce(phases []*fault.Phase) {
	current := make([]currentPhase, len(phases))
	for i, p := range phases {
		current[i].phase = p
	}
	l.current.Store(&current)
}

// announce makes room for the rules and phases of a plan, and counts by count.Other what is forgotten of earlier ones.
func (s *Shard) announce(rules []*fault.Rule, forgetRules []fault.RuleID, phases []*fault.Phase, forgetPhases []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.phases = rules, phases
	for _, l := range s.listeners {
		gone := l.leaving
		l.leaving = nil
		for _, name := range forgetPhases {
			if known := l.known[name]; known != nil {
				delete(l.known, name)
				l.leaving = append(l.leaving, known)
			}
		}
		for _, c := range append(gone, l.leaving...) {
			c.moveTo(l.find(count.Other))
		}
		for _, c := range l.known {
			c.announce(rules)
			c.fold(forgetRules)
		}
		l.announce(phases)
	}
}

// each calls f for every cell of the shard.
func (s *Shard) each(f func(group, *Cell)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for listener, l := range s.listeners {
		for phase, cells := range l.known {
			cells.each(func(c *Cell) { f(group{listener, phase}, c) })
		}
		for _, cells := range l.leaving {
			cells.each(func(c *Cell) { f(group{listener, count.Other}, c) })
		}
	}
}

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

// Delayed counts a reply that is delayed as planned.
func (s *Shard) Delayed(d time.Duration) { s.delays.Record(d) }

// Late counts how long after its due time a delayed reply was handed to the kernel.
func (s *Shard) Late(d time.Duration) { s.lateness.Record(d) }
