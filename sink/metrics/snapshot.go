package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Set is all shards of a sink.
type Set struct {
	shards []*Shard
	mu     sync.Mutex
	rules  []*fault.Rule // of all plans that were announced, in that order
}

// NewSet returns a set of n shards, n at least 1.
func NewSet(n int) *Set {
	m := &Set{}
	for range max(n, 1) {
		m.shards = append(m.shards, newShard())
	}
	return m
}

// Shard returns shard i modulo their number.
func (m *Set) Shard(i int) *Shard { return m.shards[i%len(m.shards)] }

// Use announces a plan before sessions see it: its rules then appear in snapshots even when they never speak, and are counted at
// the least cost.
func (m *Set) Use(p *fault.Plan) { m.use(p.Rules()) }

func (m *Set) use(rules []*fault.Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rule := range rules {
		if !slices.Contains(m.rules, rule) { // a plan may come back
			m.rules = append(m.rules, rule)
		}
	}
	for _, s := range m.shards {
		s.use(rules, true)
	}
}

// ReplyCount is how often one reply was decided at one stage for one cause.
type ReplyCount struct {
	Stage    smtp.Stage    `json:"stage"`
	Code     smtp.Code     `json:"code"`
	Enhanced smtp.Enhanced `json:"enhanced,omitzero"` // absent when the reply carries none; clients see it only after EHLO
	Cause    string        `json:"cause"`             // plain, protocol, trigger, rule:NAME or limit:NAME
	Count    uint64        `json:"count"`             // decided, whatever became of it
}

// RuleCount is one rule's work.
type RuleCount struct {
	Name        string         `json:"name"`
	Stage       smtp.Stage     `json:"stage"`
	Occurrences uint64         `json:"occurrences"` // times the rule spoke: the sum of Injected
	Outcomes    []OutcomeCount `json:"outcomes"`
}

// OutcomeCount is one outcome of a rule.
type OutcomeCount struct {
	Code        smtp.Code     `json:"code"`
	Enhanced    smtp.Enhanced `json:"enhanced,omitzero"`
	Probability float64       `json:"probability"`
	Injected    uint64        `json:"injected"` // decided, whatever became of it
}

// InFlightCount counts the replies of one kind of which the sink can't say that the client read them. They are among the
// replies of ReplyCount.
type InFlightCount struct {
	Stage    smtp.Stage    `json:"stage"`
	Code     smtp.Code     `json:"code"`
	Enhanced smtp.Enhanced `json:"enhanced,omitzero"`
	// Unwritten replies were decided, but never handed over for writing (or not yet): no client can have read them.
	Unwritten uint64 `json:"unwritten,omitempty"`
	// Unread replies were handed over for writing, but then the connection broke, or ended where a command was due: the client
	// may or may not have read them.
	Unread uint64 `json:"unread,omitempty"`
}

// AttemptCounts counts RCPT commands by their final result.
type AttemptCounts struct {
	Delivered  uint64 `json:"delivered"`
	Deferred   uint64 `json:"deferred"`
	Bounced    uint64 `json:"bounced"`
	Unanswered uint64 `json:"unanswered"`
}

// Snapshot is the merged value of all shards.
type Snapshot struct {
	Replies      []ReplyCount    `json:"replies"`             // ordered by stage, code, enhanced code, cause
	Rules        []RuleCount     `json:"rules,omitempty"`     // in the order of the plans and of their files
	InFlight     []InFlightCount `json:"in_flight,omitempty"` // ordered like the replies
	Transactions uint64          `json:"transactions"`        // positive replies to MAIL
	Recipients   uint64          `json:"recipients"`          // positive replies to RCPT
	Messages     uint64          `json:"messages"`            // positive replies after the final dot, or BDAT LAST; in LMTP one per recipient
	Attempts     AttemptCounts   `json:"attempts"`
	Lateness     *Distribution   `json:"lateness,omitempty"` // of delayed replies: handed to the kernel minus due; nil without one
}

// Snapshot merges all shards. It stops nobody.
func (m *Set) Snapshot() *Snapshot {
	cells := m.merge()
	out := &Snapshot{}
	replies := map[ReplyCount]uint64{} // keyed with Count 0
	inFlight := map[InFlightCount]counts{}
	for key, n := range cells {
		if n.decided == 0 && n.replied == 0 {
			continue
		}
		replies[ReplyCount{Stage: key.stage, Code: key.code, Enhanced: key.enhanced, Cause: key.causeName()}] += n.decided
		k := InFlightCount{Stage: key.stage, Code: key.code, Enhanced: key.enhanced}
		f := inFlight[k]
		inFlight[k] = counts{f.decided + n.decided, f.replied + n.replied, f.unread + n.unread}
		if key.code.Class() == 2 {
			switch key.stage {
			case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
				out.Transactions += n.replied
			case smtp.StageRcpt:
				out.Recipients += n.replied
			case smtp.StageMessage:
				out.Messages += n.replied
			}
		}
	}
	for r, n := range replies {
		r.Count = n
		out.Replies = append(out.Replies, r)
	}
	slices.SortFunc(out.Replies, func(a, b ReplyCount) int {
		return cmp.Or(compareKind(a.Stage, b.Stage, a.Code, b.Code, a.Enhanced, b.Enhanced), cmp.Compare(a.Cause, b.Cause))
	})
	for k, n := range inFlight {
		k.Unwritten, k.Unread = n.decided-min(n.decided, n.replied), n.unread
		if k.Unwritten > 0 || k.Unread > 0 {
			out.InFlight = append(out.InFlight, k)
		}
	}
	slices.SortFunc(out.InFlight, func(a, b InFlightCount) int {
		return compareKind(a.Stage, b.Stage, a.Code, b.Code, a.Enhanced, b.Enhanced)
	})
	m.mu.Lock()
	rules := slices.Clone(m.rules)
	m.mu.Unlock()
	for _, rule := range rules {
		out.Rules = append(out.Rules, countRule(rule, cells))
	}
	out.Attempts = m.attempts()
	out.Lateness = m.lateness()
	return out
}

func countRule(rule *fault.Rule, cells map[cellKey]counts) RuleCount {
	r := RuleCount{Name: rule.Name, Stage: rule.Stage}
	fresh := newRuleCells(rule)
	for i := range rule.Outcomes {
		key := fresh.cells[i].key
		n := cells[key].decided
		r.Occurrences += n
		r.Outcomes = append(r.Outcomes, OutcomeCount{
			Code: key.code, Enhanced: key.enhanced, Probability: rule.Outcomes[i].Probability, Injected: n,
		})
	}
	return r
}

func compareKind(stageA, stageB smtp.Stage, codeA, codeB smtp.Code, a, b smtp.Enhanced) int {
	return cmp.Or(cmp.Compare(stageA, stageB), cmp.Compare(codeA, codeB),
		cmp.Compare(a.Class, b.Class), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Detail, b.Detail))
}

func (k cellKey) causeName() string {
	switch {
	case k.rule != nil:
		return "rule:" + k.rule.Name
	case k.limit != nil:
		return "limit:" + k.limit.Name
	}
	return k.cause.String()
}

func (m *Set) merge() map[cellKey]counts {
	merged := map[cellKey]counts{}
	add := func(c *Cell) {
		n := merged[c.key]
		n.add(c)
		merged[c.key] = n
	}
	for _, s := range m.shards {
		for i := range s.plain {
			add(&s.plain[i])
		}
		t := s.table.Load()
		for cell := range maps.Values(t.other) {
			add(cell)
		}
		for rule := range maps.Values(t.byRule) {
			for i := range rule.cells {
				add(&rule.cells[i])
			}
		}
	}
	return merged
}

func (m *Set) attempts() AttemptCounts {
	var sum [numEnds]uint64
	for _, s := range m.shards {
		for i := range sum {
			sum[i] += s.attempts[i].Load()
		}
	}
	return AttemptCounts{Delivered: sum[Delivered], Deferred: sum[Deferred], Bounced: sum[Bounced], Unanswered: sum[Unanswered]}
}

func (m *Set) lateness() *Distribution {
	var all []*Histogram
	for _, s := range m.shards {
		all = append(all, &s.lateness)
	}
	if d := Merge(all...); d.Count > 0 {
		return d
	}
	return nil
}
