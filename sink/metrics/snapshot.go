package metrics

import (
	"reflect"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// AddTo adds what all shards have counted to out, which says nothing of it yet. It stops nobody.
func (m *Set) AddTo(out *count.Counts) {
	cells := m.merge()
	m.mu.Lock()
	rules := slices.Clone(m.rules)
	out.Phases = slices.Clone(m.phases)
	m.mu.Unlock()
	t := tally{rows: map[count.Kind]*count.Reply{}, spoke: map[spoken]uint64{}, drawn: map[drawn]counts{}}
	for key, n := range cells {
		if n == (counts{}) {
			continue
		}
		t.add(key, n)
		if key.by == count.Other && key.rule == (fault.RuleID{}) {
			out.Folded.Replies += n.decided
		}
	}
	t.plan(cells, rules)
	for _, r := range t.rows {
		out.Replies = append(out.Replies, *r)
	}
	slices.SortFunc(out.Replies, func(a, b count.Reply) int { return a.Kind.Compare(b.Kind) })
	out.Accepted = count.AcceptedOf(out.Replies)
	injected := map[ruleOutcome]counts{}
	for k, n := range t.drawn {
		injected[k.ruleOutcome] = injected[k.ruleOutcome].plus(n)
	}
	for _, k := range rules {
		r := countRule(k, injected)
		m.distinct.addTo(k.rule, &r)
		out.Rules = append(out.Rules, r)
	}
	out.Destinations, out.Folded.Attempts = m.destinations()
	for i := range out.Destinations {
		out.Attempts.Add(out.Destinations[i].Attempts)
	}
	for _, s := range m.shards {
		out.Ungreeted += s.ungreeted.Load()
	}
	if c := m.clients(); !reflect.ValueOf(c).IsZero() {
		out.Clients = &c
	}
	out.Lateness = m.merged(func(s *Shard) *Histogram { return &s.lateness })
	out.Delays = m.merged(func(s *Shard) *Histogram { return &s.delays })
}

// keyed is a cell of the group of cells that it is in.
type keyed struct {
	group
	cellKey
}

type ruleOutcome struct {
	rule    fault.RuleID
	outcome int
}

// drawn is an outcome of a rule in a group, and spoken a rule in it.
type (
	drawn struct {
		group
		ruleOutcome
	}
	spoken struct {
		group
		rule fault.RuleID
	}
)

// tally makes replies of cells.
type tally struct {
	rows  map[count.Kind]*count.Reply
	spoke map[spoken]uint64
	drawn map[drawn]counts
}

func (t *tally) row(k count.Kind) *count.Reply {
	r := t.rows[k]
	if r == nil {
		r = &count.Reply{Kind: k}
		t.rows[k] = r
	}
	return r
}

func (t *tally) add(key keyed, n counts) {
	r := t.row(key.kind(key.group))
	r.Decided += n.decided
	r.Sent += n.replied
	r.Unread += n.unread
	if key.rule != (fault.RuleID{}) {
		t.spoke[spoken{key.group, key.rule}] += n.decided
		o := drawn{key.group, ruleOutcome{key.rule, key.outcome}}
		t.drawn[o] = t.drawn[o].plus(n)
	}
}

// plan says how many replies were planned: the weight of an outcome x how often its rule spoke. Where the session has made other replies of
// some (of a client that has said HELO, say), they get their share; where nothing was drawn of an outcome, it is its usual reply.
func (t *tally) plan(cells map[keyed]counts, rules []knownRule) {
	known := make(map[fault.RuleID]*fault.Rule, len(rules))
	for _, k := range rules {
		known[k.id] = k.rule
	}
	for key, n := range cells {
		rule := known[key.rule]
		if rule == nil || n == (counts{}) {
			continue
		}
		row, o := t.row(key.kind(key.group)), &rule.Outcomes[key.outcome]
		row.Struck += struck(o, n)
		if n.decided > 0 {
			share := float64(n.decided) / float64(t.drawn[drawn{key.group, ruleOutcome{key.rule, key.outcome}}].decided)
			row.Planned += share * o.Probability * float64(t.spoke[spoken{key.group, key.rule}])
		}
	}
	for s, n := range t.spoke {
		rule := known[s.rule]
		if rule == nil || n == 0 {
			continue
		}
		usual := newRuleCells(rule)
		for i := range rule.Outcomes {
			if o := &rule.Outcomes[i]; t.drawn[drawn{s.group, ruleOutcome{s.rule, i}}].decided == 0 && o.Probability > 0 {
				t.row(usual.cells[i].key.kind(s.group)).Planned += o.Probability * float64(n)
			}
		}
	}
}

// struck returns how often an outcome's fault has happened.
func struck(o *fault.Outcome, n counts) uint64 {
	switch {
	case o.Body != fault.BodyFault{}, o.TLS != fault.TLSNone:
		return n.struck
	case o.Faulty:
		return n.decided
	}
	return 0
}

func countRule(k knownRule, injected map[ruleOutcome]counts) count.Rule {
	rule := k.rule
	r := count.Rule{Name: rule.Name, Stage: rule.Stage, Phase: rule.Phase}
	fresh := newRuleCells(rule)
	for i := range rule.Outcomes {
		o := &rule.Outcomes[i]
		n := injected[ruleOutcome{k.id, i}]
		r.Occurrences += n.decided
		c := count.Outcome{Code: fresh.cells[i].key.code, Enhanced: fresh.cells[i].key.enhanced, Fault: o.Fault, Probability: o.Probability, Injected: n.decided, Struck: struck(o, n)}
		if o.Unsent() {
			c.Code, c.Enhanced = 0, smtp.Enhanced{}
		}
		r.Outcomes = append(r.Outcomes, c)
	}
	return r
}

func (m *Set) merge() map[keyed]counts {
	merged := map[keyed]counts{}
	for _, s := range m.shards {
		s.each(func(g group, c *Cell) {
			key := keyed{g, c.key}
			n := merged[key]
			n.add(c)
			merged[key] = n
		})
	}
	return merged
}

func attemptCounts(n *[numEnds]uint64) count.Attempts {
	return count.Attempts{Delivered: n[Delivered], Deferred: n[Deferred], Bounced: n[Bounced], Unanswered: n[Unanswered], Discarded: n[Discarded]}
}

// merged returns a histogram of all shards; nil when nothing was recorded.
func (m *Set) merged(of func(*Shard) *Histogram) *count.Distribution {
	var all []*Histogram
	for _, s := range m.shards {
		all = append(all, of(s))
	}
	if d := Merge(all...); d.Count > 0 {
		return d
	}
	return nil
}
