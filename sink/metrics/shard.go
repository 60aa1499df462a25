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
	_        [64]byte
	plain    [smtp.NumStages]Cell
	table    atomic.Pointer[table]
	attempts [numEnds]atomic.Uint64
	lateness Histogram
	mu       sync.Mutex // held to replace the table
	_        [64]byte
}

// table finds cells without a lock: it is replaced, never changed.
type table struct {
	byIndex []*ruleCells // of the plan that was announced last, by fault.Rule.Index
	byRule  map[*fault.Rule]*ruleCells
	other   map[cellKey]*Cell // limits, triggers, protocol errors, and plain replies that are not the stage's usual one
}

type ruleCells struct {
	rule  *fault.Rule
	cells []Cell // by outcome
}

func newShard() *Shard {
	s := &Shard{}
	for i := range s.plain {
		stage := smtp.Stage(i)
		s.plain[i].key = cellKey{stage: stage, cause: fault.CausePlain}
		if r := fault.Plain(stage); r != nil {
			s.plain[i].key.code, s.plain[i].key.enhanced = r.Code, r.Enhanced
		}
	}
	s.table.Store(&table{})
	return s
}

// Cell returns the counters of the decision's reply at a stage. It allocates only when a kind of reply is met for the first time.
func (s *Shard) Cell(stage smtp.Stage, d *fault.Decision) *Cell {
	t := s.table.Load()
	if d.Rule != nil {
		if i := d.Rule.Index; i >= 0 && i < len(t.byIndex) && t.byIndex[i].rule == d.Rule {
			return &t.byIndex[i].cells[d.Outcome]
		}
		if cells, ok := t.byRule[d.Rule]; ok {
			return &cells.cells[d.Outcome]
		}
		s.use([]*fault.Rule{d.Rule}, false)
		return s.Cell(stage, d)
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
	if cell, ok := t.other[key]; ok {
		return cell
	}
	return s.addCell(key)
}

func (s *Shard) addCell(key cellKey) *Cell {
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
func (s *Shard) use(rules []*fault.Rule, plan bool) {
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

// Attempt counts an attempt's final result.
func (s *Shard) Attempt(end End) { s.attempts[end].Add(1) }

// Late counts how long after its due time a delayed reply was handed to the kernel.
func (s *Shard) Late(d time.Duration) { s.lateness.Record(d) }
