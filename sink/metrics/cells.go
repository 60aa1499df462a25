package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The bounds of what is told apart. What is beyond is counted together, by count.Other.
const (
	// MaxTriggerKinds is how many kinds of reply a shard tells apart, in a phase at a listener, that testers asked for by addresses and headers, or for the next occurrences. The codes of
	// further ones are counted without their enhanced status code, by "trigger:(other)" or "next:(other)".
	MaxTriggerKinds = 512
	// MaxKinds is how many kinds of reply a shard tells apart, in a phase at a listener, that limits and protocol errors gave, and rules whose reply became another.
	// Those of further ones lose their enhanced status code and the name of the limit or rule.
	MaxKinds = 1 << 14
	// MaxRetiredRules is how many rules of plans that are no longer in force keep counts of their own, unless the plan in force has more
	// rules: then as many. The replies of older ones are counted by "rule:(other)".
	MaxRetiredRules = 4096
	// MaxRetiredPhases is the same for phases; what happened in older ones is counted in phase count.Other.
	MaxRetiredPhases = 256
)

// Cells holds a counter for each kind of reply, of one phase at one listener. What speaks most is found without a lock: plain replies, and those of the rules of the
// plan in force.
type Cells struct {
	plain   [smtp.NumStages]Cell
	bare    [smtp.NumStages]Cell          // the same without their enhanced status codes: to clients that have said HELO
	current atomic.Pointer[[]currentRule] // by fault.Rule.Index; replaced, never changed

	mu       sync.Mutex
	rules    map[fault.RuleID]*ruleCells
	other    map[cellKey]*Cell // limits, triggers, protocol errors, and replies that are not the usual one of their stage or outcome
	triggers int               // of other: those that testers asked for
	leaving  []*Cell           // folded the last time: somebody may count in them still
}

// currentRule is a rule of the plan in force. Its cells are there once it has spoken.
type currentRule struct {
	rule  *fault.Rule
	cells atomic.Pointer[ruleCells]
}

// ruleCells counts a rule's outcomes: those of usual replies by their index, then the same without their enhanced status codes.
type ruleCells struct{ cells []Cell }

func newCells(rules []*fault.Rule) *Cells {
	s := &Cells{rules: map[fault.RuleID]*ruleCells{}, other: map[cellKey]*Cell{}}
	for i := range s.plain {
		stage := smtp.Stage(i)
		s.plain[i].key = cellKey{stage: stage, cause: fault.CausePlain}
		if r := fault.Plain(stage); r != nil {
			s.plain[i].key.code, s.plain[i].key.enhanced = r.Code, r.Enhanced
		}
		s.bare[i].key = s.plain[i].key
		s.bare[i].key.enhanced = smtp.Enhanced{}
	}
	s.announce(rules)
	return s
}

// Cell returns the counters of the decision's reply at a stage, in constant time; e is its enhanced status code as it stands on the wire. It
// allocates only when a kind of reply is met for the first time.
func (s *Cells) Cell(stage smtp.Stage, d *fault.Decision, e smtp.Enhanced) *Cell {
	if d.Rule != nil {
		return s.ruleCell(stage, d, e)
	}
	if d.Limit == nil && d.Cause == fault.CausePlain && d.Chosen == nil && d.Reply == fault.Plain(stage) { // nearly always
		if c := &s.plain[stage]; c.key.enhanced == e {
			return c
		}
		if e.IsZero() {
			return &s.bare[stage]
		}
	}
	key := cellKey{stage: stage, cause: d.Cause, enhanced: e}
	if d.Limit != nil {
		key.by = d.Limit.Name
	}
	if d.Reaction != nil {
		key.by = d.Reaction.Name
	}
	if d.Next != nil {
		key.by = d.Next.ID
	}
	if d.Chosen != nil {
		key.fault = d.Chosen.Fault
	}
	if d.Reply != nil {
		key.code = d.Reply.Code
	} else if plain := fault.Plain(stage); plain != nil {
		key.code = plain.Code
	}
	for _, plain := range []*Cell{&s.plain[stage], &s.bare[stage]} {
		if plain.key == key {
			return plain
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.otherCell(key)
}

func (s *Cells) ruleCell(stage smtp.Stage, d *fault.Decision, e smtp.Enhanced) *Cell {
	current := *s.current.Load()
	var known *currentRule
	if i := d.Rule.Index; i >= 0 && i < len(current) && current[i].rule == d.Rule {
		known = &current[i]
		if c := known.cells.Load(); c != nil {
			if cell := c.of(d, e); cell != nil {
				return cell
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cellsOf(d.Rule)
	if known != nil {
		known.cells.Store(c)
	}
	if cell := c.of(d, e); cell != nil {
		return cell
	}
	return s.otherCell(cellKey{
		stage: stage, cause: d.Cause, code: d.Reply.Code, enhanced: e, rule: d.Rule.ID(), outcome: int(d.Outcome), by: d.Rule.Name,
		fault: d.Rule.Outcomes[d.Outcome].Fault,
	})
}

// of returns the cell of an outcome's usual reply, with or without its enhanced status code; nil where the reply became another.
func (c *ruleCells) of(d *fault.Decision, e smtp.Enhanced) *Cell {
	for i := int(d.Outcome); i < len(c.cells); i += len(c.cells) / 2 {
		if cell := &c.cells[i]; e == cell.key.enhanced && (d.Reply == nil || d.Reply.Code == cell.key.code) {
			return cell
		}
	}
	return nil
}

// cellsOf returns the counters of a rule of any plan. s.mu is held.
func (s *Cells) cellsOf(rule *fault.Rule) *ruleCells {
	id := rule.ID()
	known := s.rules[id]
	if known == nil {
		known = newRuleCells(rule)
		s.rules[id] = known
	}
	return known
}

// otherCell returns the cell of a kind of reply, or of the kind that stands for it when there are too many. s.mu is held.
func (s *Cells) otherCell(key cellKey) *Cell {
	if cell, ok := s.other[key]; ok {
		return cell
	}
	if key.cause >= fault.CauseTrigger {
		if s.triggers >= MaxTriggerKinds {
			return s.foldedCell(key)
		}
		s.triggers++
	} else if len(s.other)-s.triggers >= MaxKinds {
		return s.foldedCell(key)
	}
	return s.addCell(key)
}

// foldedCell returns the cell that stands for a kind of reply: there are as many as there are codes and stages. s.mu is held.
func (s *Cells) foldedCell(key cellKey) *Cell {
	key.enhanced, key.rule, key.outcome, key.by, key.fault = smtp.Enhanced{}, fault.RuleID{}, 0, count.Other, ""
	if cell, ok := s.other[key]; ok {
		return cell
	}
	return s.addCell(key)
}

func (s *Cells) addCell(key cellKey) *Cell {
	cell := &Cell{key: key}
	s.other[key] = cell
	return cell
}

// announce makes room for the rules of a plan, which are found by their index from then on.
func (s *Cells) announce(rules []*fault.Rule) {
	current := make([]currentRule, len(rules))
	for i, rule := range rules {
		current[i].rule = rule
	}
	s.current.Store(&current)
}

// fold counts what rules of earlier plans did by count.Other. Their cells are emptied once more the next time, since whoever holds one
// may have counted in it meanwhile.
func (s *Cells) fold(rules []fault.RuleID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.leaving
	s.leaving = nil
	forgotten := make(map[fault.RuleID]bool, len(rules))
	for _, id := range rules {
		forgotten[id] = true
		if known := s.rules[id]; known != nil {
			delete(s.rules, id)
			for i := range known.cells {
				s.leaving = append(s.leaving, &known.cells[i])
			}
		}
	}
	if len(rules) > 0 {
		for key, cell := range s.other { // their other replies, and those of phases that are forgotten
			if forgotten[key.rule] {
				delete(s.other, key)
				s.leaving = append(s.leaving, cell)
			}
		}
	}
	for _, c := range append(gone, s.leaving...) {
		if !c.idle() {
			c.move(s.foldedCell(c.key))
		}
	}
}

// each calls f for every cell.
func (s *Cells) each(f func(*Cell)) {
	for i := range s.plain {
		f(&s.plain[i])
		f(&s.bare[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cell := range s.other {
		f(cell)
	}
	for _, cell := range s.leaving {
		f(cell)
	}
	for _, rule := range s.rules {
		for i := range rule.cells {
			f(&rule.cells[i])
		}
	}
}

// moveTo counts by count.Other, in another group of cells, what was counted here.
func (s *Cells) moveTo(to *Cells) {
	s.each(func(c *Cell) {
		if !c.idle() {
			to.mu.Lock()
			defer to.mu.Unlock()
			c.move(to.otherCell(c.key))
		}
	})
}

func newRuleCells(rule *fault.Rule) *ruleCells {
	c := &ruleCells{cells: make([]Cell, 2*len(rule.Outcomes))}
	id := rule.ID()
	for i := range rule.Outcomes {
		reply := rule.UsualReply(i)
		key := cellKey{stage: rule.Stage, cause: fault.CauseRule, rule: id, outcome: i, by: rule.Name, fault: rule.Outcomes[i].Fault}
		if reply != nil {
			key.code, key.enhanced = reply.Code, reply.Enhanced
		}
		c.cells[i].key = key
		key.enhanced = smtp.Enhanced{}
		c.cells[len(rule.Outcomes)+i].key = key
	}
	return c
}
