package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// The most keys that are remembered, for one rule and for all. Those beyond are not counted: the first that came are a sample as
// good as all.
const (
	maxDistinct    = 1 << 18
	maxDistinctAll = 1 << 20
)

// distinct counts the outcomes of a rule over distinct keys, of which draws are the hashes.
type distinct struct {
	mu     sync.Mutex
	seen   map[uint64]struct{}
	counts []uint64 // by outcome
}

// distincts holds the rules that may repeat a key, of all plans so far.
type distincts struct {
	current atomic.Pointer[[]currentDistinct] // of the plan in force, by fault.Rule.Index; replaced, never changed
	keys    atomic.Int64                      // that are remembered, in all
	mu      sync.Mutex
	known   map[fault.RuleID]*distinct
}

type currentDistinct struct {
	rule *fault.Rule
	keys *distinct // nil: the rule never repeats a key
}

func (x *distincts) init() {
	x.known = map[fault.RuleID]*distinct{}
	x.current.Store(&[]currentDistinct{})
}

// Drawn counts a rule's draw towards its distinct keys. Call it for rules that may repeat a key (fault.Rule.Repeats).
func (m *Set) Drawn(d *fault.Decision) {
	x := &m.distinct
	s := x.find(d.Rule)
	if s == nil {
		return // the rule's plan was not announced, or is long gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, repeated := s.seen[d.Draw]; repeated || len(s.seen) == maxDistinct {
		return
	}
	if x.keys.Add(1) > maxDistinctAll {
		x.keys.Add(-1)
		return
	}
	s.seen[d.Draw] = struct{}{}
	s.counts[d.Outcome]++
}

func (x *distincts) find(rule *fault.Rule) *distinct {
	if current := *x.current.Load(); rule.Index >= 0 && rule.Index < len(current) && current[rule.Index].rule == rule {
		return current[rule.Index].keys
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.known[rule.ID()]
}

// announce makes room for the rules of a plan that need it, and forgets those of earlier plans that are named.
func (x *distincts) announce(rules []*fault.Rule, forget []fault.RuleID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range forget {
		if s := x.known[id]; s != nil {
			s.mu.Lock()
			x.keys.Add(-int64(len(s.seen)))
			s.mu.Unlock()
			delete(x.known, id)
		}
	}
	current := make([]currentDistinct, 0, len(rules))
	for _, r := range rules {
		c := currentDistinct{rule: r}
		if r.Repeats() {
			id := r.ID()
			if c.keys = x.known[id]; c.keys == nil {
				c.keys = &distinct{seen: map[uint64]struct{}{}, counts: make([]uint64, len(r.Outcomes))}
				x.known[id] = c.keys
			}
		}
		current = append(current, c)
	}
	x.current.Store(&current)
}

// addTo completes a rule's counts.
func (x *distincts) addTo(rule *fault.Rule, r *count.Rule) {
	s := x.find(rule)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.DistinctKeys = uint64(len(s.seen))
	for i, n := range s.counts {
		r.Outcomes[i].Distinct = n
	}
}
