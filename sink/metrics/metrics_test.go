package metrics

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
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
func decide(s *Cells, stage smtp.Stage, d fault.Decision, replied bool) *Cell {
	c := s.Cell(stage, &d, onTheWire(stage, &d))
	c.Decided()
	if replied {
		c.Replied()
	}
	return c
}

// onTheWire returns the enhanced status code that a client which has said EHLO gets.
func onTheWire(stage smtp.Stage, d *fault.Decision) smtp.Enhanced {
	switch {
	case d.Reply != nil:
		return d.Reply.Enhanced
	case d.Rule != nil:
		return d.Rule.UsualReply(int(d.Outcome)).Enhanced
	}
	return fault.Plain(stage).Enhanced
}

// A client that has said HELO gets no enhanced status codes: its replies are counted as they stand on the wire, what was planned of them is
// shared out, and none of it costs more.
func TestRepliesAreCountedAsOnTheWire(t *testing.T) {
	m := NewSet(1, 0)
	rule := twoOutcomes(t, 0, "bounces")
	m.use([]*fault.Rule{rule}, nil)
	s := m.Shard(0).Listener("").Phase(nil)
	count1 := func(stage smtp.Stage, d fault.Decision, e smtp.Enhanced) {
		c := s.Cell(stage, &d, e)
		c.Decided()
		c.Replied()
	}
	plain := fault.Decision{Reply: fault.Plain(smtp.StageMail)}
	bounced := fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: rule.Outcomes[1].Reply}
	passed := fault.Decision{Cause: fault.CauseRule, Rule: rule}
	count1(smtp.StageMail, plain, plain.Reply.Enhanced)
	count1(smtp.StageMail, plain, smtp.Enhanced{})
	for range 3 {
		count1(smtp.StageRcpt, bounced, smtp.Enhanced{})
	}
	count1(smtp.StageRcpt, bounced, bounced.Reply.Enhanced)
	for range 4 {
		count1(smtp.StageRcpt, passed, smtp.Enhanced{})
	}
	limited := fault.Decision{Cause: fault.CauseLimit, Limit: &fault.Limit{Name: "l"}, Reply: bounced.Reply}
	count1(smtp.StageRcpt, limited, smtp.Enhanced{})
	want := []string{
		"mail 250  plain 1 of 0", "mail 250 2.1.0 plain 1 of 0", "rcpt 250  rule:bounces 4 of 6", "rcpt 550  limit:l 1 of 0", "rcpt 550  rule:bounces 3 of 1.5",
		"rcpt 550 5.1.1 rule:bounces 1 of 0.5",
	}
	var got []string
	c := snapshot(m)
	for _, r := range c.Replies {
		got = append(got, fmt.Sprintf("%v %v %v %s %d of %v", r.Stage, r.Code, r.Enhanced, r.Cause, r.Decided, r.Planned))
	}
	if !slices.Equal(got, want) {
		t.Errorf("replies %q, want %q", got, want)
	}
	if r := c.Rules[0]; r.Occurrences != 8 || r.Outcomes[1].Injected != 4 {
		t.Errorf("rule %+v, want 8 occurrences, 4 of the second outcome", r)
	}
	if n := testing.AllocsPerRun(1000, func() {
		s.Cell(smtp.StageMail, &plain, smtp.Enhanced{}).Decided()
		s.Cell(smtp.StageRcpt, &bounced, smtp.Enhanced{}).Decided()
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestSnapshotMergesShards(t *testing.T) {
	m := NewSet(2, 0)
	rule := twoOutcomes(t, 0, "bounces")
	silent := twoOutcomes(t, 1, "never spoke")
	m.use([]*fault.Rule{rule, silent}, nil)

	syntax := &smtp.Reply{Code: 501, Enhanced: enhanced(t, "5.5.4")}
	busy, throttle := &smtp.Reply{Code: 451, Enhanced: enhanced(t, "4.7.1")}, &fault.Limit{Name: "throttle"}
	for i := range 2 {
		shard := m.Shard(i)
		s := shard.Listener("one").Phase(nil)
		decide(s, smtp.StageConnect, fault.Decision{}, true)
		decide(s, smtp.StageMail, fault.Decision{}, true)
		decide(s, smtp.StageMail, fault.Decision{Cause: fault.CauseProtocol, Reply: syntax}, true)
		decide(s, smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 0}, true)
		decide(s, smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: rule.Outcomes[1].Reply}, i == 0)
		decide(s, smtp.StageMessage, fault.Decision{}, true).Unread(1)
		decide(s, smtp.StageMessage, fault.Decision{Cause: fault.CauseLimit, Limit: throttle, Reply: busy}, true)
		decide(s, smtp.StageMessage, fault.Decision{Cause: fault.CauseTrigger, Reply: busy}, true)
		shard.Attempt("one", []byte("example.org"), Delivered)
		shard.Attempt("one", []byte("example.org"), Bounced)
	}

	got := snapshot(m)
	plainMail, plainRcpt, plainMessage := fault.Plain(smtp.StageMail), fault.Plain(smtp.StageRcpt), fault.Plain(smtp.StageMessage)
	kind := func(stage smtp.Stage, code smtp.Code, enhanced smtp.Enhanced, cause string) count.Kind {
		return count.Kind{Listener: "one", Stage: stage, Code: code, Enhanced: enhanced, Cause: cause}
	}
	want := &count.Counts{
		Replies: []count.Reply{
			{Kind: kind(smtp.StageConnect, 220, smtp.Enhanced{}, "plain"), Decided: 2, Sent: 2},
			{Kind: kind(smtp.StageMail, 250, plainMail.Enhanced, "plain"), Decided: 2, Sent: 2},
			{Kind: kind(smtp.StageMail, 501, syntax.Enhanced, "protocol"), Decided: 2, Sent: 2},
			{Kind: kind(smtp.StageRcpt, 250, plainRcpt.Enhanced, "rule:bounces"), Planned: 3, Decided: 2, Sent: 2},
			{Kind: kind(smtp.StageRcpt, 550, enhanced(t, "5.1.1"), "rule:bounces"), Planned: 1, Decided: 2, Sent: 1},
			{Kind: kind(smtp.StageMessage, 250, plainMessage.Enhanced, "plain"), Decided: 2, Sent: 2, Unread: 2},
			{Kind: kind(smtp.StageMessage, 451, busy.Enhanced, "limit:throttle"), Decided: 2, Sent: 2},
			{Kind: kind(smtp.StageMessage, 451, busy.Enhanced, "trigger"), Decided: 2, Sent: 2},
		},
		Rules: []count.Rule{
			{Name: "bounces", Stage: smtp.StageRcpt, Occurrences: 4, Outcomes: []count.Outcome{
				{Code: 250, Enhanced: plainRcpt.Enhanced, Probability: 0.75, Injected: 2},
				{Code: 550, Enhanced: enhanced(t, "5.1.1"), Probability: 0.25, Injected: 2},
			}},
			{Name: "never spoke", Stage: smtp.StageRcpt, Outcomes: []count.Outcome{
				{Code: 250, Enhanced: plainRcpt.Enhanced, Probability: 0.75},
				{Code: 550, Enhanced: enhanced(t, "5.1.1"), Probability: 0.25},
			}},
		},
		Accepted:     count.Accepted{Transactions: 2, Recipients: 2, Messages: 2},
		Attempts:     count.Attempts{Delivered: 2, Bounced: 2},
		Destinations: []count.Destination{{Listener: "one", Domain: "example.org", Attempts: count.Attempts{Delivered: 2, Bounced: 2}}},
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("AddTo makes\n%s\nwant\n%s", a, b)
	}
}

// snapshot returns what a set has counted.
func snapshot(m *Set) *count.Counts {
	c := &count.Counts{}
	m.AddTo(c)
	return c
}

// decided leaves out what was planned only.
func decided(replies []count.Reply) []count.Reply {
	return slices.DeleteFunc(slices.Clone(replies), func(r count.Reply) bool { return r.Decided == 0 })
}

func TestSnapshotKeepsRulesOfOlderPlans(t *testing.T) {
	m := NewSet(1, 0)
	before, after := twoOutcomes(t, 0, "before"), twoOutcomes(t, 0, "after")
	m.use([]*fault.Rule{before}, nil)
	m.use([]*fault.Rule{after}, nil)
	m.use([]*fault.Rule{before}, nil)
	if n := len(snapshot(m).Rules); n != 2 {
		t.Errorf("%d rules after a plan came back, want 2", n)
	}
	late := twoOutcomes(t, 7, "never announced")
	for _, rule := range []*fault.Rule{before, after, late} {
		decide(m.Shard(0).Listener("").Phase(nil), smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 0}, true)
	}
	var causes []string
	for _, r := range decided(snapshot(m).Replies) {
		causes = append(causes, fmt.Sprint(r.Cause, " ", r.Decided))
	}
	want := []string{"rule:after 1", "rule:before 1", "rule:never announced 1"}
	if !reflect.DeepEqual(causes, want) {
		t.Errorf("replies counted by cause: %q, want %q", causes, want)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := NewSet(1, 0)
	rule := twoOutcomes(t, 0, "bounces")
	m.use([]*fault.Rule{rule}, nil)
	shard := m.Shard(0)
	s := shard.Listener("one")
	syntax := &smtp.Reply{Code: 501}
	decisions := []fault.Decision{
		{}, {Cause: fault.CauseProtocol, Reply: syntax},
		{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: rule.Outcomes[1].Reply},
	}
	if n := testing.AllocsPerRun(1000, func() {
		for i := range decisions {
			c := s.Phase(nil).Cell(smtp.StageRcpt, &decisions[i], onTheWire(smtp.StageRcpt, &decisions[i]))
			c.Decided()
			c.Replied()
		}
		shard.Attempt("one", []byte("example.org"), Delivered)
		shard.Late(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations per transaction, want 0", n)
	}
}

func TestCountingWhileReading(t *testing.T) {
	const workers, each = 4, 5_000
	m := NewSet(2, 0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				reply := &smtp.Reply{Code: smtp.Code(500 + i%50)}
				decide(m.Shard(w).Listener("").Phase(nil), smtp.StageUnknown, fault.Decision{Cause: fault.CauseProtocol, Reply: reply}, true)
				m.Shard(w).Late(time.Duration(i) * time.Microsecond)
			}
		})
	}
	for range 50 {
		for _, f := range snapshot(m).InFlight() {
			if f.Unsent() > workers {
				t.Errorf("%d replies in flight, with %d workers", f.Unsent(), workers)
			}
		}
	}
	wg.Wait()
	got := snapshot(m)
	var sum uint64
	for _, r := range got.Replies {
		sum += r.Decided
	}
	if sum != workers*each || len(got.Replies) != 50 || got.Lateness.Count != workers*each {
		t.Errorf("%d replies of %d kinds, %d latenesses; want %d, 50, %d", sum, len(got.Replies), got.Lateness.Count, workers*each, workers*each)
	}
}

func BenchmarkCell(b *testing.B) {
	s := NewSet(1, 0).Shard(0).Listener("").Phase(nil)
	d := fault.Decision{}
	e := onTheWire(smtp.StageRcpt, &d)
	b.ReportAllocs()
	for range b.N {
		c := s.Cell(smtp.StageRcpt, &d, e)
		c.Decided()
		c.Replied()
	}
}

// Replies are told apart by the phase that they were decided in.
func TestPhasesCountApart(t *testing.T) {
	plan, err := fault.NewPlan(fault.PlanSpec{Phases: []fault.PhaseSpec{
		{Name: "outage", Duration: time.Minute, Rules: []fault.RuleSpec{{Name: "down", Stage: smtp.StageRcpt, Outcomes: []fault.OutcomeSpec{{Weight: 1, Code: 450}}}}},
		{Name: "recovery", Duration: time.Minute},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := NewSet(2, 0)
	m.Use(plan)
	m.Use(plan) // it may come back
	down := plan.Phases()[0].Rules[0]
	for i := range 2 {
		s := m.Shard(i).Listener("")
		refusal := fault.Decision{Cause: fault.CauseRule, Rule: down, Reply: down.Outcomes[0].Reply}
		decide(s.Phase(plan.Phases()[0]), smtp.StageRcpt, refusal, true)
		for range 2 {
			decide(s.Phase(plan.Phases()[1]), smtp.StageRcpt, fault.Decision{}, true)
		}
		decide(s.Phase(nil), smtp.StageRcpt, fault.Decision{}, true) // outside
	}
	got := snapshot(m)
	want := []count.Reply{
		{Kind: count.Kind{Stage: smtp.StageRcpt, Code: 250, Enhanced: enhanced(t, "2.1.5"), Cause: "plain"}, Decided: 2, Sent: 2},
		{Kind: count.Kind{Phase: "outage", Stage: smtp.StageRcpt, Code: 450, Enhanced: enhanced(t, "4.2.0"), Cause: "rule:down"}, Planned: 2, Decided: 2, Sent: 2},
		{Kind: count.Kind{Phase: "recovery", Stage: smtp.StageRcpt, Code: 250, Enhanced: enhanced(t, "2.1.5"), Cause: "plain"}, Decided: 4, Sent: 4},
	}
	if !reflect.DeepEqual(got.Replies, want) || !reflect.DeepEqual(got.Phases, []string{"outage", "recovery"}) {
		t.Errorf("phases %q, replies %+v, want %+v", got.Phases, got.Replies, want)
	}
	if got.Recipients != 6 || len(got.Rules) != 1 || got.Rules[0].Occurrences != 2 || got.Rules[0].Phase != "outage" {
		t.Errorf("in all: %d recipients, rules %+v; want 6, and rule down of phase outage twice", got.Recipients, got.Rules)
	}
}

// A rule's reply that became another one on its way is counted as what it was, and for the rule.
func TestReplyThatIsNotTheOutcomesOwn(t *testing.T) {
	m := NewSet(1, 0)
	rule := twoOutcomes(t, 0, "bounces")
	m.use([]*fault.Rule{rule}, nil)
	wrong := &smtp.Reply{Code: 354}
	decide(m.Shard(0).Listener("").Phase(nil), smtp.StageRcpt, fault.Decision{Cause: fault.CauseRule, Rule: rule, Outcome: 1, Reply: wrong}, true)
	got := snapshot(m)
	if r := decided(got.Replies); len(r) != 1 || r[0].Code != 354 || r[0].Cause != "rule:bounces" || got.Rules[0].Outcomes[1].Injected != 1 {
		t.Errorf("replies %+v, rules %+v; want one 354 of rule:bounces", got.Replies, got.Rules)
	}
}
