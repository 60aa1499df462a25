package metrics

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func planOf(t *testing.T, weight float64) *fault.Plan {
	t.Helper()
	p, err := fault.NewPlan(fault.PlanSpec{
		Rules: []fault.RuleSpec{
			{Name: "own", Stage: smtp.StageRcpt, Key: fault.KeyRecipient, Outcomes: []fault.OutcomeSpec{{Weight: 1}, {Weight: weight, Code: 550}}},
		},
		Phases: []fault.PhaseSpec{{Name: "outage", Duration: 1e9, Rules: []fault.RuleSpec{
			{Name: "down", Stage: smtp.StageMail, Outcomes: []fault.OutcomeSpec{{Weight: 1, Code: 451}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kept returns how many rules, phases and cells a set holds in all its shards.
func (m *Set) kept() (rules, phases, cells int) {
	for _, s := range m.shards {
		s.each(func(g group, c *Cell) {
			if c.key.cause != fault.CausePlain {
				cells++
			}
		})
	}
	return len(m.rules), len(m.phases), cells
}

// A plan that is loaded again, as SIGHUP does it, goes on with its counts: there are no more rules, phases and cells than before, and
// goodness of fit sees all draws together.
func TestReloadsOfOnePlanCostNothing(t *testing.T) {
	m := NewSet(2, 0)
	const reloads = 400
	var rules, phases, cells int
	for i := range reloads {
		p := planOf(t, 1)
		m.Use(p)
		own, down := p.Rules()[0], p.Rules()[1]
		for j := range 2 {
			s := m.Shard(j).Listener("one")
			d := fault.Decision{Cause: fault.CauseRule, Rule: own, Outcome: 1, Reply: own.Outcomes[1].Reply, Draw: uint64(i)}
			decide(s.Phase(p.Phases()[0]), smtp.StageRcpt, d, true)
			m.Drawn(&d)
			decide(s.Phase(nil), smtp.StageMail, fault.Decision{Cause: fault.CauseRule, Rule: down, Reply: down.Outcomes[0].Reply}, true)
		}
		r, ph, c := m.kept()
		if i == 0 {
			rules, phases, cells = r, ph, c
		}
		if r != rules || ph != phases || c != cells {
			t.Fatalf("reload %d: %d rules, %d phases, %d cells; want %d, %d, %d as after the first", i, r, ph, c, rules, phases, cells)
		}
	}
	got := snapshot(m)
	if len(got.Rules) != 2 || got.Rules[0].Occurrences != 2*reloads || got.Rules[0].DistinctKeys != reloads || got.Rules[0].Outcomes[1].Injected != 2*reloads {
		t.Errorf("rules %+v; want 2, the first %d times by %d keys", got.Rules, 2*reloads, reloads)
	}
	if in := got.InPhase("outage"); len(got.Phases) != 1 || len(in) != 2 || in[1].Decided != 2*reloads {
		t.Errorf("phases %q, %+v; want one, with %d replies", got.Phases, in, 2*reloads)
	}
}

// A plan that is another one at each reload leaves no more behind than MaxRetiredRules, and no reply is lost.
func TestChangingPlansAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	s := m.Shard(0).Listener("").Phase(nil)
	const each = 256
	const reloads = MaxRetiredRules/each + 4
	const folded = (reloads-1)*each - MaxRetiredRules
	var held *Cell
	for i := range reloads {
		var rules []*fault.Rule
		for j := range each {
			rules = append(rules, twoOutcomes(t, j, fmt.Sprint("rule ", i, ".", j)))
		}
		m.use(rules, nil)
		for _, r := range rules {
			c := decide(s, smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: r, Outcome: 1, Reply: r.Outcomes[1].Reply}, true)
			if held == nil {
				held = c
			}
		}
		if i == MaxRetiredRules/each+1 { // whoever holds a cell that was just folded may count in it
			held.Unread(1)
		}
	}
	if rules, _, cells := m.kept(); rules != MaxRetiredRules+each || cells > 4*(rules+each)+1 {
		t.Errorf("%d rules and %d cells are kept, want %d and about four times as many", rules, cells, MaxRetiredRules+each)
	}
	got := snapshot(m)
	var sum, unread uint64
	for _, r := range got.Replies {
		sum += r.Decided
	}
	for _, f := range got.InFlight() {
		unread += f.Unread
	}
	if first := got.Replies[len(got.Replies)-1]; sum != reloads*each || unread != 1 || got.Folded.Replies != folded {
		t.Errorf("%d replies, %d unread, %d folded, the last kind %+v; want %d, 1, %d", sum, unread, got.Folded.Replies, first, reloads*each, folded)
	}
	if r := decided(got.Replies)[0]; r.Cause != "rule:"+count.Other || r.Code != 550 || r.Decided != got.Folded.Replies {
		t.Errorf("the first kind of reply is %+v, want 550 by rule:%s %d times", r, count.Other, got.Folded.Replies)
	}
}

// Plans with other phases at each reload leave no more behind than MaxRetiredPhases, and no reply is lost.
func TestPhasesOfChangingPlansAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	l := m.Shard(0).Listener("one")
	const reloads = 3 * MaxRetiredPhases
	var held *Cell
	for i := range reloads {
		p, err := fault.NewPlan(fault.PlanSpec{Phases: []fault.PhaseSpec{{Name: fmt.Sprint("phase ", i), Duration: 1e9}}})
		if err != nil {
			t.Fatal(err)
		}
		m.Use(p)
		c := decide(l.Phase(p.Phases()[0]), smtp.StageRcpt, fault.Decision{}, true)
		switch i {
		case 0:
			held = c
		case MaxRetiredPhases + 1: // whoever holds a cell of a phase that was just forgotten may count in it
			held.Unread(1)
		}
	}
	const kept = MaxRetiredPhases + 1
	if _, phases, _ := m.kept(); phases != kept || len(l.known) != kept+2 { // and those outside of any phase, and of forgotten ones
		t.Errorf("%d phases, %d in the shard; want %d and two more", phases, len(l.known), kept)
	}
	got := snapshot(m)
	other := got.InPhase(count.Other)
	if got.Recipients != reloads || len(other) != 1 || other[0].Decided != reloads-kept || other[0].Unread != 1 {
		t.Errorf("%d recipients, in forgotten phases %+v; want %d, and %d of these with one unread", got.Recipients, other, reloads, reloads-kept)
	}
}

// Codes that clients make up cost no more memory than MaxTriggerKinds of them, and no more work each than the first.
func TestTriggersAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	s := m.Shard(0).Listener("").Phase(nil)
	const asked = 100_000
	reply := smtp.Reply{Code: 550}
	d := fault.Decision{Cause: fault.CauseTrigger, Reply: &reply}
	ask := func(i int) {
		reply.Enhanced = smtp.Enhanced{Class: 5, Subject: uint16(i / 1000), Detail: uint16(i % 1000)}
		c := s.Cell(smtp.StageRcpt, &d, d.Reply.Enhanced)
		c.Decided()
		c.Replied()
	}
	for i := range asked {
		ask(i)
	}
	got := snapshot(m)
	if len(got.Replies) != MaxTriggerKinds+1 || got.Folded.Replies != asked-MaxTriggerKinds {
		t.Errorf("%d kinds of reply, %d folded; want %d, %d", len(got.Replies), got.Folded.Replies, MaxTriggerKinds+1, asked-MaxTriggerKinds)
	}
	if r := got.Replies[0]; r.Cause != "trigger:"+count.Other || r.Code != 550 || !r.Enhanced.IsZero() || r.Decided != asked-MaxTriggerKinds {
		t.Errorf("the folded replies are %+v, want 550 by trigger:%s %d times", r, count.Other, asked-MaxTriggerKinds)
	}
	i := asked
	if n := testing.AllocsPerRun(1000, func() { i++; ask(i) }); n != 0 {
		t.Errorf("%v allocations per reply of a kind never met, want 0", n)
	}
}

// One sticky rule or many: what is remembered of their keys is bounded in all.
func TestDistinctKeysAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	var rules []*fault.Rule
	for i := range 8 {
		r := twoOutcomes(t, i, fmt.Sprint("rule ", i))
		r.Key = fault.KeyRecipient
		rules = append(rules, r)
	}
	m.use(rules, nil)
	m.distinct.keys.Store(maxDistinctAll - 3)
	for i := range 8 {
		m.Drawn(&fault.Decision{Rule: rules[i], Draw: 1})
		m.Drawn(&fault.Decision{Rule: rules[i], Draw: 1})
	}
	var keys uint64
	for _, r := range snapshot(m).Rules {
		keys += r.DistinctKeys
	}
	if keys != 3 {
		t.Errorf("%d keys are remembered, want the 3 that there was room for", keys)
	}
}

func BenchmarkTriggerCell(b *testing.B) {
	s := NewSet(1, 0).Shard(0).Listener("").Phase(nil)
	reply := smtp.Reply{Code: 550}
	d := fault.Decision{Cause: fault.CauseTrigger, Reply: &reply}
	b.ReportAllocs()
	for i := range b.N {
		reply.Enhanced = smtp.Enhanced{Class: 5, Subject: uint16(i / 1000 % 1000), Detail: uint16(i % 1000)}
		s.Cell(smtp.StageRcpt, &d, d.Reply.Enhanced).Decided()
	}
}

// Plans with another listener at each swap leave no more behind than MaxListeners, and no reply is lost.
func TestListenersOfChangingPlansAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	const more = 100
	for i := range MaxListeners + more {
		decide(m.Shard(0).Listener(fmt.Sprint("listener ", i)).Phase(nil), smtp.StageConnect, fault.Decision{Cause: fault.CausePlain, Reply: &smtp.Reply{Code: 220}}, true)
	}
	got := snapshot(m)
	if len(got.Replies) != MaxListeners+1 || got.Replies[0].Listener != count.Other || got.Replies[0].Decided != more {
		t.Errorf("%d kinds of replies, the first %+v; want %d, and %d together", len(got.Replies), got.Replies[0], MaxListeners+1, more)
	}
}
