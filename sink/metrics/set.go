package metrics

import (
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Set is all shards of a sink.
type Set struct {
	shards   []*Shard
	distinct distincts
	mu       sync.Mutex
	rules    []knownRule // of all plans that were announced, in that order
	phases   []string    // likewise
}

// knownRule is a rule, as the last plan that has it has it.
type knownRule struct {
	id   fault.RuleID
	rule *fault.Rule
}

// NewSet returns a set of n shards, n at least 1, each of which tells so many recipient domains apart; 0 means DefaultDomains.
func NewSet(n, domains int) *Set {
	if domains <= 0 {
		domains = DefaultDomains
	}
	m := &Set{}
	m.distinct.init()
	for range max(n, 1) {
		m.shards = append(m.shards, &Shard{listeners: map[string]*Listener{}, destinations: destinations{most: domains}})
	}
	return m
}

// Shard returns shard i modulo their number.
func (m *Set) Shard(i int) *Shard { return m.shards[i%len(m.shards)] }

// Use announces a plan before sessions see it: its rules then appear in snapshots even when they never speak, and are counted at
// the least cost. A rule is known by its name and content, and a phase by its name: those that an earlier plan had go on with their
// counts.
func (m *Set) Use(p *fault.Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.use(p.Rules(), p.Phases())
}

func (m *Set) use(rules []*fault.Rule, phases []*fault.Phase) {
	forgetRules, forgetPhases := m.useRules(rules), m.usePhases(phases)
	m.distinct.announce(rules, forgetRules)
	for _, s := range m.shards {
		s.announce(rules, forgetRules, phases, forgetPhases)
	}
}

// useRules notes the rules of a plan, and returns those of earlier ones for which there is no more room.
func (m *Set) useRules(rules []*fault.Rule) (forget []fault.RuleID) {
	current := make(map[fault.RuleID]*fault.Rule, len(rules))
	for _, rule := range rules {
		current[rule.ID()] = rule
	}
	known := make(map[fault.RuleID]bool, len(m.rules))
	retired := 0
	for i := range m.rules {
		k := &m.rules[i]
		known[k.id] = true
		if rule := current[k.id]; rule != nil {
			k.rule = rule
		} else {
			retired++
		}
	}
	kept := m.rules[:0]
	for _, k := range m.rules { // the oldest first
		if current[k.id] == nil && retired > max(MaxRetiredRules, len(rules)) {
			retired--
			forget = append(forget, k.id)
			continue
		}
		kept = append(kept, k)
	}
	clear(m.rules[len(kept):])
	m.rules = kept
	for _, rule := range rules {
		if id := rule.ID(); !known[id] {
			known[id] = true
			m.rules = append(m.rules, knownRule{id, rule})
		}
	}
	return forget
}

// usePhases does the same for phases.
func (m *Set) usePhases(phases []*fault.Phase) (forget []string) {
	current := make(map[string]bool, len(phases))
	for _, p := range phases {
		current[p.Name] = true
	}
	known := make(map[string]bool, len(m.phases))
	retired := 0
	for _, name := range m.phases {
		known[name] = true
		if !current[name] {
			retired++
		}
	}
	kept := m.phases[:0]
	for _, name := range m.phases { // the oldest first
		if !current[name] && retired > max(MaxRetiredPhases, len(phases)) {
			retired--
			forget = append(forget, name)
			continue
		}
		kept = append(kept, name)
	}
	clear(m.phases[len(kept):])
	m.phases = kept
	for _, p := range phases {
		if !known[p.Name] {
			m.phases = append(m.phases, p.Name)
		}
	}
	return forget
}
