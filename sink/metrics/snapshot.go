package metrics

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

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
	Name        string     `json:"name"`
	Stage       smtp.Stage `json:"stage"`
	Phase       string     `json:"phase,omitempty"` // whose rule it is; empty for the plan's own
	Occurrences uint64     `json:"occurrences"`     // times the rule spoke: the sum of Injected
	// DistinctKeys is by how many different keys the rule drew, where it may draw by one more than once; 0 elsewhere. It may be
	// behind by those that are under way.
	DistinctKeys uint64         `json:"distinct_keys,omitempty"`
	Outcomes     []OutcomeCount `json:"outcomes"`
}

// OutcomeCount is one outcome of a rule.
type OutcomeCount struct {
	Code        smtp.Code     `json:"code"` // 0 when the reply is never sent
	Enhanced    smtp.Enhanced `json:"enhanced,omitzero"`
	Fault       string        `json:"fault,omitempty"` // what is done besides the reply and its delay
	Probability float64       `json:"probability"`
	Injected    uint64        `json:"injected"`           // decided, whatever became of it
	Struck      uint64        `json:"struck,omitempty"`   // times its fault happened: one in a body or a handshake may not, and at bdat it may without a reply
	Distinct    uint64        `json:"distinct,omitempty"` // of RuleCount.DistinctKeys
}

// PhaseCount is what was decided in one phase of a storm, whatever became of it.
type PhaseCount struct {
	Name         string       `json:"name"`
	Transactions uint64       `json:"transactions"` // positive replies to MAIL
	Recipients   uint64       `json:"recipients"`   // positive replies to RCPT
	Messages     uint64       `json:"messages"`     // positive replies after the final dot, or BDAT LAST
	Replies      []ReplyCount `json:"replies"`      // ordered by stage, code, enhanced code, cause
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
	Discarded  uint64 `json:"discarded,omitempty"` // told 2xx, and thrown away as planned
}

// Snapshot is the merged value of all shards.
type Snapshot struct {
	Replies      []ReplyCount    `json:"replies"`             // ordered by stage, code, enhanced code, cause
	Rules        []RuleCount     `json:"rules,omitempty"`     // in the order of the plans and of their files
	Phases       []PhaseCount    `json:"phases,omitempty"`    // of storms, in the order of the plans and of their files; the rest happened outside of any
	InFlight     []InFlightCount `json:"in_flight,omitempty"` // ordered like the replies
	Transactions uint64          `json:"transactions"`        // positive replies to MAIL
	Recipients   uint64          `json:"recipients"`          // positive replies to RCPT
	Messages     uint64          `json:"messages"`            // positive replies after the final dot, or BDAT LAST; in LMTP one per recipient
	Attempts     AttemptCounts   `json:"attempts"`
	// Destinations has the same attempts by listener and recipient domain, ordered by both.
	Destinations []DestinationCount `json:"destinations,omitempty"`
	Ungreeted    uint64             `json:"ungreeted,omitempty"` // connections that a listener's fault no-banner kept from their greeting
	Lateness     *Distribution      `json:"lateness,omitempty"`  // of delayed replies: handed to the kernel minus due; nil without one
	Folded       FoldedCount        `json:"folded,omitzero"`
	Clients      *ClientCounts      `json:"clients,omitempty"` // nil when there is nothing to tell
}

// FoldedCount says how much was counted by Other alone, since clients or plans have made up more than is told apart. It is among the
// other counts.
type FoldedCount struct {
	Replies  uint64 `json:"replies,omitempty"`  // see MaxTriggerKinds, MaxKinds and MaxRetiredRules
	Attempts uint64 `json:"attempts,omitempty"` // at domains past MaxDomains
}

// Snapshot merges all shards. It stops nobody.
func (m *Set) Snapshot() *Snapshot {
	cells := m.merge()
	out := &Snapshot{Replies: countReplies(cells)}
	inFlight := map[InFlightCount]counts{}
	for key, n := range cells {
		if n.decided == 0 && n.replied == 0 {
			continue
		}
		k := InFlightCount{Stage: key.stage, Code: key.code, Enhanced: key.enhanced}
		f := inFlight[k]
		inFlight[k] = counts{decided: f.decided + n.decided, replied: f.replied + n.replied, unread: f.unread + n.unread}
		if key.by == Other && key.rule == (fault.RuleID{}) {
			out.Folded.Replies += n.decided
		}
		key.countPositive(n.replied, &out.Transactions, &out.Recipients, &out.Messages)
	}
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
	rules, phases := slices.Clone(m.rules), slices.Clone(m.phases)
	m.mu.Unlock()
	drawn := map[ruleOutcome]counts{}
	for key, n := range cells {
		if key.rule != (fault.RuleID{}) {
			o := ruleOutcome{key.rule, key.outcome}
			drawn[o] = counts{decided: drawn[o].decided + n.decided, struck: drawn[o].struck + n.struck}
		}
	}
	for _, k := range rules {
		r := countRule(k, drawn)
		m.distinct.addTo(k.rule, &r)
		out.Rules = append(out.Rules, r)
	}
	for _, phase := range phases {
		out.Phases = append(out.Phases, m.countPhase(phase))
	}
	out.Destinations, out.Folded.Attempts = m.destinations()
	for i := range out.Destinations {
		out.Attempts.add(out.Destinations[i].Attempts)
	}
	for _, s := range m.shards {
		out.Ungreeted += s.ungreeted.Load()
	}
	if c := m.clients(); !reflect.ValueOf(c).IsZero() {
		out.Clients = &c
	}
	out.Lateness = m.lateness()
	return out
}

func countReplies(cells map[cellKey]counts) (replies []ReplyCount) {
	merged := map[ReplyCount]uint64{} // keyed with Count 0
	for key, n := range cells {
		if n.decided > 0 || n.replied > 0 {
			merged[ReplyCount{Stage: key.stage, Code: key.code, Enhanced: key.enhanced, Cause: key.causeName()}] += n.decided
		}
	}
	for r, n := range merged {
		r.Count = n
		replies = append(replies, r)
	}
	slices.SortFunc(replies, func(a, b ReplyCount) int {
		return cmp.Or(compareKind(a.Stage, b.Stage, a.Code, b.Code, a.Enhanced, b.Enhanced), cmp.Compare(a.Cause, b.Cause))
	})
	return replies
}

// countPositive adds n replies of this kind where they belong.
func (k cellKey) countPositive(n uint64, transactions, recipients, messages *uint64) {
	if k.code.Class() != 2 {
		return
	}
	switch k.stage {
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
		*transactions += n
	case smtp.StageRcpt:
		*recipients += n
	case smtp.StageMessage:
		*messages += n
	}
}

func (m *Set) countPhase(name string) PhaseCount {
	merged := map[cellKey]counts{}
	for _, s := range m.shards {
		s.phases.mu.Lock()
		phase := s.phases.known[name]
		s.phases.mu.Unlock()
		if phase != nil {
			(*cells)(phase).addTo(merged)
		}
	}
	out := PhaseCount{Name: name, Replies: countReplies(merged)}
	for key, n := range merged {
		key.countPositive(n.decided, &out.Transactions, &out.Recipients, &out.Messages)
	}
	return out
}

type ruleOutcome struct {
	rule    fault.RuleID
	outcome int
}

func countRule(k knownRule, drawn map[ruleOutcome]counts) RuleCount {
	rule := k.rule
	r := RuleCount{Name: rule.Name, Stage: rule.Stage, Phase: rule.Phase}
	fresh := newRuleCells(rule)
	for i := range rule.Outcomes {
		o := &rule.Outcomes[i]
		n := drawn[ruleOutcome{k.id, i}]
		r.Occurrences += n.decided
		c := OutcomeCount{Code: fresh.cells[i].key.code, Enhanced: fresh.cells[i].key.enhanced, Fault: o.Fault, Probability: o.Probability, Injected: n.decided}
		switch {
		case o.Body != fault.BodyFault{}, o.TLS != fault.TLSNone:
			c.Struck = n.struck
		case o.Faulty:
			c.Struck = n.decided
		}
		if o.Unsent() {
			c.Code, c.Enhanced = 0, smtp.Enhanced{}
		}
		r.Outcomes = append(r.Outcomes, c)
	}
	return r
}

func compareKind(stageA, stageB smtp.Stage, codeA, codeB smtp.Code, a, b smtp.Enhanced) int {
	return cmp.Or(cmp.Compare(stageA, stageB), cmp.Compare(codeA, codeB),
		cmp.Compare(a.Class, b.Class), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Detail, b.Detail))
}

func (k cellKey) causeName() string {
	if k.by == "" {
		return k.cause.String()
	}
	return k.cause.String() + ":" + k.by
}

func (m *Set) merge() map[cellKey]counts {
	merged := map[cellKey]counts{}
	for _, s := range m.shards {
		s.addTo(merged)
	}
	return merged
}

func attemptCounts(n *[numEnds]uint64) AttemptCounts {
	return AttemptCounts{Delivered: n[Delivered], Deferred: n[Deferred], Bounced: n[Bounced], Unanswered: n[Unanswered], Discarded: n[Discarded]}
}

func (a *AttemptCounts) add(b AttemptCounts) {
	a.Delivered += b.Delivered
	a.Deferred += b.Deferred
	a.Bounced += b.Bounced
	a.Unanswered += b.Unanswered
	a.Discarded += b.Discarded
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
