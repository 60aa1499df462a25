package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Other names what was counted together because there was no room to count it apart: see MaxTriggerKinds, MaxKinds, MaxRetiredRules and
// OtherDomains.
const Other = "(other)"

// The bounds of what is told apart.
const (
	// MaxTriggerKinds is how many kinds of reply a shard tells apart that clients asked for by addresses and headers. The codes of
	// further ones are counted without their enhanced status code, by "trigger:(other)".
	MaxTriggerKinds = 512
	// MaxKinds is how many kinds of reply a shard tells apart that limits and protocol errors gave, and rules whose reply became another.
	// Those of further ones lose their enhanced status code and the name of the limit or rule.
	MaxKinds = 1 << 14
	// MaxRetiredRules is how many rules of plans that are no longer in force keep counts of their own, unless the plan in force has more
	// rules: then as many. The replies of older ones are counted by "rule:(other)".
	MaxRetiredRules = 4096
	// MaxRetiredPhases is the same for phases; what happened in older ones is in the counts of all phases only.
	MaxRetiredPhases = 256
)

// cells holds a counter for each kind of reply. What speaks most is found without a lock: plain replies, and those of the rules of the
// plan in force.
type cells struct {
	plain   [smtp.NumStages]Cell
	current atomic.Pointer[[]currentRule] // by fault.Rule.Index; replaced, never changed

	mu       sync.Mutex
	rules    map[fault.RuleID]*ruleCells
	other    map[cellKey]*Cell // limits, triggers, protocol errors, and replies that are not the usual one of their stage or outcome
	triggers int               // of other: those that clients asked for
	leaving  []*ruleCells      // folded the last time: somebody may count in them still
}

// currentRule is a rule of the plan in force.
type currentRule struct {
	rule  *fault.Rule
	cells *ruleCells
}

type ruleCells struct{ cells []Cell } // by outcome

func (s *cells) init() {
	for i := range s.plain {
		stage := smtp.Stage(i)
		s.plain[i].key = cellKey{stage: stage, cause: fault.CausePlain}
		if r := fault.Plain(stage); r != nil {
			s.plain[i].key.code, s.plain[i].key.enhanced = r.Code, r.Enhanced
		}
	}
	s.current.Store(&[]currentRule{})
	s.rules, s.other = map[fault.RuleID]*ruleCells{}, map[cellKey]*Cell{}
}

// Cell returns the counters of the decision's reply at a stage, in constant time. It allocates only when a kind of reply is met for the
// first time.
func (s *cells) Cell(stage smtp.Stage, d *fault.Decision) *Cell {
	if d.Rule == nil && d.Limit == nil && d.Cause == fault.CausePlain && d.Reply == fault.Plain(stage) {
		return &s.plain[stage] // nearly always
	}
	if d.Rule != nil {
		return s.ruleCell(stage, d)
	}
	key := cellKey{stage: stage, cause: d.Cause}
	if d.Limit != nil {
		key.by = d.Limit.Name
	}
	if d.Reply != nil {
		key.code, key.enhanced = d.Reply.Code, d.Reply.Enhanced
	} else if plain := fault.Plain(stage); plain != nil {
		key.code, key.enhanced = plain.Code, plain.Enhanced
	}
	if plain := &s.plain[stage]; plain.key == key {
		return plain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.otherCell(key)
}

func (s *cells) ruleCell(stage smtp.Stage, d *fault.Decision) *Cell {
	current := *s.current.Load()
	if i := d.Rule.Index; i >= 0 && i < len(current) && current[i].rule == d.Rule {
		if cell := &current[i].cells.cells[d.Outcome]; d.Reply == nil || d.Reply.Code == cell.key.code {
			return cell
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cell := &s.cellsOf(d.Rule).cells[d.Outcome]; d.Reply == nil || d.Reply.Code == cell.key.code {
		return cell
	}
	return s.otherCell(cellKey{
		stage: stage, cause: d.Cause, code: d.Reply.Code, enhanced: d.Reply.Enhanced, rule: d.Rule.ID(), outcome: d.Outcome, by: d.Rule.Name,
	})
}

// cellsOf returns the counters of a rule of any plan. s.mu is held.
func (s *cells) cellsOf(rule *fault.Rule) *ruleCells {
	id := rule.ID()
	known := s.rules[id]
	if known == nil {
		known = newRuleCells(rule)
		s.rules[id] = known
	}
	return known
}

// otherCell returns the cell of a kind of reply, or of the kind that stands for it when there are too many. s.mu is held.
func (s *cells) otherCell(key cellKey) *Cell {
	if cell, ok := s.other[key]; ok {
		return cell
	}
	if key.cause == fault.CauseTrigger {
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
func (s *cells) foldedCell(key cellKey) *Cell {
	key.enhanced, key.rule, key.outcome, key.by = smtp.Enhanced{}, fault.RuleID{}, 0, Other
	if cell, ok := s.other[key]; ok {
		return cell
	}
	return s.addCell(key)
}

func (s *cells) addCell(key cellKey) *Cell {
	cell := &Cell{key: key}
	s.other[key] = cell
	return cell
}

// announce makes room for the rules of a plan, which are found by their index from then on.
func (s *cells) announce(rules []*fault.Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := make([]currentRule, 0, len(rules))
	for _, rule := range rules {
		current = append(current, currentRule{rule, s.cellsOf(rule)})
	}
	s.current.Store(&current)
}

// fold counts what rules of earlier plans did by Other. Their cells are emptied once more the next time, since whoever holds one
// may have counted in it meanwhile.
func (s *cells) fold(rules []fault.RuleID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.leaving
	s.leaving = nil
	for _, id := range rules {
		if known := s.rules[id]; known != nil {
			delete(s.rules, id)
			s.leaving = append(s.leaving, known)
		}
	}
	for _, r := range append(gone, s.leaving...) {
		for i := range r.cells {
			if c := &r.cells[i]; c.decided.Load() > 0 || c.replied.Load() > 0 || c.unread.Load() > 0 || c.struck.Load() > 0 {
				c.move(s.foldedCell(c.key))
			}
		}
	}
}

// addTo adds what was counted to merged.
func (s *cells) addTo(merged map[cellKey]counts) {
	add := func(c *Cell) {
		n := merged[c.key]
		n.add(c)
		merged[c.key] = n
	}
	for i := range s.plain {
		add(&s.plain[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cell := range s.other {
		add(cell)
	}
	for _, rule := range s.rules {
		for i := range rule.cells {
			add(&rule.cells[i])
		}
	}
	for _, rule := range s.leaving {
		for i := range rule.cells {
			add(&rule.cells[i])
		}
	}
}

func newRuleCells(rule *fault.Rule) *ruleCells {
	c := &ruleCells{cells: make([]Cell, len(rule.Outcomes))}
	id := rule.ID()
	for i := range rule.Outcomes {
		reply := rule.UsualReply(i)
		key := cellKey{stage: rule.Stage, cause: fault.CauseRule, rule: id, outcome: i, by: rule.Name}
		if reply != nil {
			key.code, key.enhanced = reply.Code, reply.Enhanced
		}
		c.cells[i].key = key
	}
	return c
}
