package metrics

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func enhanced(t *testing.T, s string) smtp.Enhanced {
	t.Helper()
	e, err := smtp.ParseEnhanced(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// twoOutcomes is a rule that answers RCPT with 250 (plain) or 550 5.1.1.
func twoOutcomes(t *testing.T, index int, name string) *fault.Rule {
	t.Helper()
	return &fault.Rule{Index: index, Name: name, Stage: smtp.StageRcpt, Outcomes: []fault.Outcome{
		{Probability: 0.75},
		{Probability: 0.25, Reply: &smtp.Reply{Code: 550, Enhanced: enhanced(t, "5.1.1")}},
	}}
}

// decide counts a reply that was decided and, unless it stays in flight, handed over.
func decide(s *Shard, stage smtp.Stage, d fault.Decision, replied bool) *Cell {
	c := s.Cell(stage, &d)
	c.Decided()
	if replied {
		c.Replied()
	}
	return c
}

func TestSnapshotMergesShards(t *testing.T) {
	m := NewSet(2)
	rule := twoOutcomes(t, 0, "bounces")
	silent := twoOutcomes(t, 1, "never spoke")
	m.useRules([]*fault.Rule{rule, silent})

	syntax := &smtp.Reply{Code: 501, Enhanced: enhanced(t, "5.5.4")}
	busy, throttle := &smtp.Reply{Code: 451, Enhanced: enhanced(t, "4.7.1")}, &fault.Limit{Name: "throttle"}
	for i := range 2 {
		s := m.Shard(i)
		decide(s, smtp.StageConnect, fault.Decision{}, true)
		decide(s, smtp.StageMail, fault.Decision{}, true)
		decide(s, smtp.StageMail, fault.Decision{Cause: fault.CauseProtocol, Reply: syntax}, true)
		decide(s, smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 0}, true)
		decide(s, smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: rule.Outcomes[1].Reply}, i == 0)
		decide(s, smtp.StageMessage, fault.Decision{}, true).Unread(1)
		decide(s, smtp.StageMessage, fault.Decision{Cause: fault.CauseLimit, Limit: throttle, Reply: busy}, true)
		decide(s, smtp.StageMessage, fault.Decision{Cause: fault.CauseTrigger, Reply: busy}, true)
		s.Attempt("one", []byte("example.org"), Delivered)
		s.Attempt("one", []byte("example.org"), Bounced)
	}

	got := m.Snapshot()
	plainMail, plainRcpt, plainMessage := fault.Plain(smtp.StageMail), fault.Plain(smtp.StageRcpt), fault.Plain(smtp.StageMessage)
	want := &Snapshot{
		Replies: []ReplyCount{
			{Stage: smtp.StageConnect, Code: 220, Cause: "plain", Count: 2},
			{Stage: smtp.StageMail, Code: 250, Enhanced: plainMail.Enhanced, Cause: "plain", Count: 2},
			{Stage: smtp.StageMail, Code: 501, Enhanced: syntax.Enhanced, Cause: "protocol", Count: 2},
			{Stage: smtp.StageRcpt, Code: 250, Enhanced: plainRcpt.Enhanced, Cause: "rule:bounces", Count: 2},
			{Stage: smtp.StageRcpt, Code: 550, Enhanced: enhanced(t, "5.1.1"), Cause: "rule:bounces", Count: 2},
			{Stage: smtp.StageMessage, Code: 250, Enhanced: plainMessage.Enhanced, Cause: "plain", Count: 2},
			{Stage: smtp.StageMessage, Code: 451, Enhanced: busy.Enhanced, Cause: "limit:throttle", Count: 2},
			{Stage: smtp.StageMessage, Code: 451, Enhanced: busy.Enhanced, Cause: "trigger", Count: 2},
		},
		Rules: []RuleCount{
			{Name: "bounces", Stage: smtp.StageRcpt, Occurrences: 4, Outcomes: []OutcomeCount{
				{Code: 250, Enhanced: plainRcpt.Enhanced, Probability: 0.75, Injected: 2},
				{Code: 550, Enhanced: enhanced(t, "5.1.1"), Probability: 0.25, Injected: 2},
			}},
			{Name: "never spoke", Stage: smtp.StageRcpt, Outcomes: []OutcomeCount{
				{Code: 250, Enhanced: plainRcpt.Enhanced, Probability: 0.75},
				{Code: 550, Enhanced: enhanced(t, "5.1.1"), Probability: 0.25},
			}},
		},
		InFlight: []InFlightCount{
			{Stage: smtp.StageRcpt, Code: 550, Enhanced: enhanced(t, "5.1.1"), Unwritten: 1},
			{Stage: smtp.StageMessage, Code: 250, Enhanced: plainMessage.Enhanced, Unread: 2},
		},
		Transactions: 2, Recipients: 2, Messages: 2,
		Attempts:     AttemptCounts{Delivered: 2, Bounced: 2},
		Destinations: []DestinationCount{{"one", "example.org", AttemptCounts{Delivered: 2, Bounced: 2}}},
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("Snapshot() is\n%s\nwant\n%s", a, b)
	}
}

func TestSnapshotKeepsRulesOfOlderPlans(t *testing.T) {
	m := NewSet(1)
	before, after := twoOutcomes(t, 0, "before"), twoOutcomes(t, 0, "after")
	m.useRules([]*fault.Rule{before})
	m.useRules([]*fault.Rule{after})
	m.useRules([]*fault.Rule{before})
	if n := len(m.Snapshot().Rules); n != 2 {
		t.Errorf("%d rules after a plan came back, want 2", n)
	}
	late := twoOutcomes(t, 7, "never announced")
	for _, rule := range []*fault.Rule{before, after, late} {
		decide(m.Shard(0), smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 0}, true)
	}
	var causes []string
	for _, r := range m.Snapshot().Replies {
		causes = append(causes, fmt.Sprint(r.Cause, " ", r.Count))
	}
	want := []string{"rule:after 1", "rule:before 1", "rule:never announced 1"}
	if !reflect.DeepEqual(causes, want) {
		t.Errorf("replies counted by cause: %q, want %q", causes, want)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := NewSet(1)
	rule := twoOutcomes(t, 0, "bounces")
	m.useRules([]*fault.Rule{rule})
	s := m.Shard(0)
	syntax := &smtp.Reply{Code: 501}
	decisions := []fault.Decision{
		{}, {Cause: fault.CauseProtocol, Reply: syntax},
		{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: rule.Outcomes[1].Reply},
	}
	if n := testing.AllocsPerRun(1000, func() {
		for i := range decisions {
			c := s.Cell(smtp.StageRcpt, &decisions[i])
			c.Decided()
			c.Replied()
		}
		s.Attempt("one", []byte("example.org"), Delivered)
		s.Late(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations per transaction, want 0", n)
	}
}

func TestCountingWhileReading(t *testing.T) {
	const workers, each = 4, 5_000
	m := NewSet(2)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				reply := &smtp.Reply{Code: smtp.Code(500 + i%50)}
				decide(m.Shard(w), smtp.StageUnknown, fault.Decision{Cause: fault.CauseProtocol, Reply: reply}, true)
				m.Shard(w).Late(time.Duration(i) * time.Microsecond)
			}
		})
	}
	for range 50 {
		for _, f := range m.Snapshot().InFlight {
			if f.Unwritten > workers {
				t.Errorf("%d replies in flight, with %d workers", f.Unwritten, workers)
			}
		}
	}
	wg.Wait()
	got := m.Snapshot()
	var sum uint64
	for _, r := range got.Replies {
		sum += r.Count
	}
	if sum != workers*each || len(got.Replies) != 50 || got.Lateness.Count != workers*each {
		t.Errorf("%d replies of %d kinds, %d latenesses; want %d, 50, %d", sum, len(got.Replies), got.Lateness.Count, workers*each, workers*each)
	}
}

func BenchmarkCell(b *testing.B) {
	s := NewSet(1).Shard(0)
	d := fault.Decision{}
	b.ReportAllocs()
	for range b.N {
		c := s.Cell(smtp.StageRcpt, &d)
		c.Decided()
		c.Replied()
	}
}

// Each phase has its own counts, beside those of all.
func TestPhasesCountApart(t *testing.T) {
	plan, err := fault.NewPlan(fault.PlanSpec{Phases: []fault.PhaseSpec{
		{Name: "outage", Duration: time.Minute, Rules: []fault.RuleSpec{{Name: "down", Stage: smtp.StageRcpt, Outcomes: []fault.OutcomeSpec{{Weight: 1, Code: 450}}}}},
		{Name: "recovery", Duration: time.Minute},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := NewSet(2)
	m.Use(plan)
	m.Use(plan) // it may come back
	down := plan.Phases()[0].Rules[0]
	for i := range 2 {
		s := m.Shard(i)
		refusal := fault.Decision{Cause: fault.CauseRule, Rule: down, Reply: down.Outcomes[0].Reply}
		decide(s, smtp.StageRcpt, refusal, true)
		s.Phase(plan.Phases()[0]).Decided(smtp.StageRcpt, &refusal)
		for range 2 {
			decide(s, smtp.StageRcpt, fault.Decision{}, true)
			s.Phase(plan.Phases()[1]).Decided(smtp.StageRcpt, &fault.Decision{})
		}
		decide(s, smtp.StageRcpt, fault.Decision{}, true) // outside
	}
	got := m.Snapshot()
	want := []PhaseCount{
		{Name: "outage", Replies: []ReplyCount{{Stage: smtp.StageRcpt, Code: 450, Enhanced: enhanced(t, "4.2.0"), Cause: "rule:down", Count: 2}}},
		{Name: "recovery", Recipients: 4, Replies: []ReplyCount{{Stage: smtp.StageRcpt, Code: 250, Enhanced: enhanced(t, "2.1.5"), Cause: "plain", Count: 4}}},
	}
	if !reflect.DeepEqual(got.Phases, want) {
		t.Errorf("phases %+v, want %+v", got.Phases, want)
	}
	if got.Recipients != 6 || len(got.Rules) != 1 || got.Rules[0].Occurrences != 2 || got.Rules[0].Phase != "outage" {
		t.Errorf("in all: %d recipients, rules %+v; want 6, and rule down of phase outage twice", got.Recipients, got.Rules)
	}
}

// A rule's reply that became another one on its way is counted as what it was, and for the rule.
func TestReplyThatIsNotTheOutcomesOwn(t *testing.T) {
	m := NewSet(1)
	rule := twoOutcomes(t, 0, "bounces")
	m.useRules([]*fault.Rule{rule})
	wrong := &smtp.Reply{Code: 354}
	decide(m.Shard(0), smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: wrong}, true)
	got := m.Snapshot()
	if len(got.Replies) != 1 || got.Replies[0].Code != 354 || got.Replies[0].Cause != "rule:bounces" || got.Rules[0].Outcomes[1].Injected != 1 {
		t.Errorf("replies %+v, rules %+v; want one 354 of rule:bounces", got.Replies, got.Rules)
	}
}
