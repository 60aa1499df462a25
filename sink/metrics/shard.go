package metrics

import (
	"maps"
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
	cells                                             // whatever the phase
	phases    atomic.Pointer[map[*fault.Phase]*cells] // replaced, never changed
	ungreeted atomic.Uint64
	lateness  Histogram

	destinations destinations

	_ [64]byte
}

// cells holds a counter for each kind of reply.
type cells struct {
	plain [smtp.NumStages]Cell
	table atomic.Pointer[table]
	mu    sync.Mutex // held to replace what is replaced
}

// table finds cells without a lock: it is replaced, never changed.
type table struct {
	byIndex []*ruleCells // of the plan that was announced last, by fault.Rule.Index
	byRule  map[*fault.Rule]*ruleCells
	other   map[cellKey]*Cell // limits, triggers, protocol errors, and replies that are not the usual one of their stage or outcome
}

type ruleCells struct {
	rule  *fault.Rule
	cells []Cell // by outcome
}

func newShard() *Shard {
	s := &Shard{}
	s.cells.init()
	s.phases.Store(&map[*fault.Phase]*cells{})
	return s
}

func (s *cells) init() {
	for i := range s.plain {
		stage := smtp.Stage(i)
		s.plain[i].key = cellKey{stage: stage, cause: fault.CausePlain}
		if r := fault.Plain(stage); r != nil {
			s.plain[i].key.code, s.plain[i].key.enhanced = r.Code, r.Enhanced
		}
	}
	s.table.Store(&table{})
}

// Phase returns the counters of a storm's phase. What it counts is counted without its phase, too. It allocates only when a phase is
// met for the first time.
func (s *Shard) Phase(p *fault.Phase) *Phase {
	if c, ok := (*s.phases.Load())[p]; ok {
		return (*Phase)(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.phases.Load()
	if c, ok := known[p]; ok {
		return (*Phase)(c)
	}
	phases := make(map[*fault.Phase]*cells, len(known)+1)
	maps.Copy(phases, known)
	c := &cells{}
	c.init()
	phases[p] = c
	s.phases.Store(&phases)
	return (*Phase)(c)
}

// Phase is one phase's part of a Shard.
type Phase cells

// Decided counts a reply that an occurrence of its stage got in this phase.
func (p *Phase) Decided(stage smtp.Stage, d *fault.Decision) { (*cells)(p).Cell(stage, d).Decided() }

// Cell returns the counters of the decision's reply at a stage. It allocates only when a kind of reply is met for the first time.
func (s *cells) Cell(stage smtp.Stage, d *fault.Decision) *Cell {
	if d.Rule == nil && d.Limit == nil && d.Cause == fault.CausePlain && d.Reply == fault.Plain(stage) {
		return &s.plain[stage] // nearly always
	}
	t := s.table.Load()
	if d.Rule != nil {
		var cell *Cell
		if i := d.Rule.Index; i >= 0 && i < len(t.byIndex) && t.byIndex[i].rule == d.Rule {
			cell = &t.byIndex[i].cells[d.Outcome]
		} else if cells, ok := t.byRule[d.Rule]; ok {
			cell = &cells.cells[d.Outcome]
		} else {
			s.use([]*fault.Rule{d.Rule}, false)
			return s.Cell(stage, d)
		}
		if d.Reply == nil || d.Reply.Code == cell.key.code {
			return cell
		}
		return s.otherCell(t, cellKey{
			stage: stage, cause: d.Cause, code: d.Reply.Code, enhanced: d.Reply.Enhanced, rule: d.Rule, outcome: d.Outcome,
		})
	}
	key := cellKey{stage: stage, cause: d.Cause, limit: d.Limit}
	if d.Reply != nil {
		key.code, key.enhanced = d.Reply.Code, d.Reply.Enhanced
	} else if plain := fault.Plain(stage); plain != nil {
		key.code, key.enhanced = plain.Code, plain.Enhanced
	}
	if plain := &s.plain[stage]; plain.key == key {
		return plain
	}
	return s.otherCell(t, key)
}

func (s *cells) otherCell(t *table, key cellKey) *Cell {
	if cell, ok := t.other[key]; ok {
		return cell
	}
	return s.addCell(key)
}

func (s *cells) addCell(key cellKey) *Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := *s.table.Load()
	if cell, ok := t.other[key]; ok {
		return cell
	}
	other := make(map[cellKey]*Cell, len(t.other)+1)
	maps.Copy(other, t.other)
	cell := &Cell{key: key}
	other[key] = cell
	t.other = other
	s.table.Store(&t)
	return cell
}

// use makes room for rules. When they are a plan's, they are found by their index from then on.
func (s *cells) use(rules []*fault.Rule, plan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := *s.table.Load()
	byRule := make(map[*fault.Rule]*ruleCells, len(t.byRule)+len(rules))
	maps.Copy(byRule, t.byRule)
	byIndex := make([]*ruleCells, 0, len(rules))
	for _, rule := range rules {
		cells := byRule[rule]
		if cells == nil {
			cells = newRuleCells(rule)
			byRule[rule] = cells
		}
		byIndex = append(byIndex, cells)
	}
	t.byRule = byRule
	if plan {
		t.byIndex = byIndex
	}
	s.table.Store(&t)
}

func newRuleCells(rule *fault.Rule) *ruleCells {
	c := &ruleCells{rule: rule, cells: make([]Cell, len(rule.Outcomes))}
	for i := range rule.Outcomes {
		reply := rule.Outcomes[i].Reply
		if reply == nil {
			reply = fault.Plain(rule.Stage)
		}
		key := cellKey{stage: rule.Stage, cause: fault.CauseRule, rule: rule, outcome: i}
		if reply != nil {
			key.code, key.enhanced = reply.Code, reply.Enhanced
		}
		c.cells[i].key = key
	}
	return c
}

// End is the class of an attempt's final result.
type End uint8

// The ends of an attempt: one RCPT command ends in exactly one of them.
const (
	Delivered  End = iota // a positive final reply was handed over for writing
	Deferred              // 4xx, at whatever stage
	Bounced               // 5xx, at whatever stage
	Unanswered            // the connection ended before the final reply
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
