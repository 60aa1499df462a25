package metrics

import (
	"maps"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// maxDistinct is how many keys are remembered per rule. Those beyond are not counted: the first that came are a sample as good as all.
const maxDistinct = 1 << 18

// distinct counts the outcomes of a rule over distinct keys, of which draws are the hashes.
type distinct struct {
	mu     sync.Mutex
	seen   map[uint64]struct{}
	counts []uint64 // by outcome
}

// Drawn counts a rule's draw towards its distinct keys. Call it for rules that may repeat a key (fault.Rule.Repeats).
func (m *Set) Drawn(d *fault.Decision) {
	s, known := (*m.distinct.Load())[d.Rule]
	if !known {
		return // the rule's plan was not announced
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, repeated := s.seen[d.Draw]; repeated || len(s.seen) == maxDistinct {
		return
	}
	s.seen[d.Draw] = struct{}{}
	s.counts[d.Outcome]++
}

// countDistinct makes room for the rules of a plan that need it. m.mu is held.
func (m *Set) countDistinct(rules []*fault.Rule) {
	all := maps.Clone(*m.distinct.Load())
	for _, r := range rules {
		if _, known := all[r]; !known && r.Repeats() {
			all[r] = &distinct{seen: map[uint64]struct{}{}, counts: make([]uint64, len(r.Outcomes))}
		}
	}
	m.distinct.Store(&all)
}

// addDistinct completes a rule's counts.
func (m *Set) addDistinct(rule *fault.Rule, r *RuleCount) {
	s, known := (*m.distinct.Load())[rule]
	if !known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.DistinctKeys = uint64(len(s.seen))
	for i, n := range s.counts {
		r.Outcomes[i].Distinct = n
	}
}
