package session_test

import (
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// drawDelay draws a delay of any distribution.
func drawDelay(t *rapid.T) fault.Delay {
	a := time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond
	d := fault.Delay{Kind: fault.DelayKind(rapid.IntRange(int(fault.DelayFixed), int(fault.DelayPercentiles)).Draw(t, "delay")), A: a}
	switch d.Kind {
	case fault.DelayUniform:
		d.B = 2 * a
	case fault.DelayNormal:
		d.B = a / 3
	case fault.DelayLognormal:
		d.Sigma = 0.5
	case fault.DelayPercentiles:
		d = fault.Delay{Kind: fault.DelayPercentiles, Table: []fault.Percentile{{Percent: 0}, {Percent: 90, Value: a}, {Percent: 100, Value: 5 * a}}}
	}
	return d
}

// drawOutcome draws an outcome with any fault that the stage can have, perhaps with a reply and a delay.
func drawOutcome(t *rapid.T, stage smtp.Stage, broken bool) fault.OutcomeSpec {
	o := fault.OutcomeSpec{Weight: 1}
	kinds := []string{"plain", "silence", "dribble", "split", "bandwidth", "before", "after", "raw", "words"}
	if broken {
		kinds = append(kinds, "malformed")
	}
	switch stage {
	case smtp.StageMessage:
		kinds = append(kinds, "lost", "lost in silence", "vanish")
	case smtp.StageData, smtp.StageBdat:
		kinds = append(kinds, "body", "body", "stop")
	case smtp.StageEhlo:
		kinds = append(kinds, "missing")
	case smtp.StageStartTLS:
		kinds = append(kinds, "tls")
	}
	if rapid.Bool().Draw(t, "reply") {
		o.Code = rapid.SampledFrom([]smtp.Code{220, 250, 334, 354, 421, 450, 550, 554}).Draw(t, "code")
	}
	if rapid.Bool().Draw(t, "delayed") {
		o.Delay = drawDelay(t)
	}
	mode := fault.CloseKind(rapid.IntRange(1, 3).Draw(t, "mode"))
	wait := time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond
	n := rapid.IntRange(1, 20).Draw(t, "n")
	switch rapid.SampledFrom(kinds).Draw(t, "fault") {
	case "silence":
		o = fault.OutcomeSpec{Weight: 1, Faults: fault.Faults{Silence: true}}
	case "dribble":
		o.Dribble = fault.Dribble{Octets: n, Every: wait}
	case "split":
		o.Split = fault.Split{Packets: n + 1, Pause: wait * time.Duration(n%2)}
	case "bandwidth":
		o.Bandwidth = fault.Bandwidth{In: fault.ByteRate(n%2) * 50_000, Out: []fault.ByteRate{fault.ByteRate(100 * n), 100_000, fault.Unlimited}[n%3]}
	case "raw":
		drawRaw(t, &o, broken)
	case "words":
		if o.Code != 0 {
			o.Text = drawWords(t, stage)
		}
	case "before":
		o.Code, o.Close = 0, fault.Close{Mode: mode}
	case "after":
		o.Close = fault.Close{Mode: mode, When: fault.CloseAfter}
	case "malformed":
		o.Malformed = fault.Malformation(rapid.IntRange(1, int(fault.MalformedMixedCodes)).Draw(t, "malformation"))
	case "lost":
		o.Code, o.Close, o.Delivery = 0, fault.Close{Mode: mode}, fault.DeliveryKeep
	case "lost in silence":
		o = fault.OutcomeSpec{Weight: 1, Faults: fault.Faults{Silence: true, Delivery: fault.DeliveryKeep}}
	case "vanish":
		o.Delivery = fault.DeliveryDiscard
	case "body":
		o.Code, o.Body = 0, fault.BodyFault{After: int64(n), Close: mode}
	case "stop":
		o.Code, o.Body = 0, fault.BodyFault{After: int64(n), StopReading: true, For: wait * time.Duration(n%2)}
	case "missing":
		o.Code, o.Missing = 0, []string{"SIZE", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING"}[:1+n%4]
	case "tls":
		o.Code, o.TLS = 0, fault.TLSFault(rapid.IntRange(1, int(fault.TLSWrongName)).Draw(t, "handshake"))
	}
	return o
}

// drawRule draws a rule for the stage, with a match as far as the stage knows what to match.
func drawRule(t *rapid.T, stage smtp.Stage, broken bool) fault.RuleSpec {
	r := fault.RuleSpec{Stage: stage, Outcomes: []fault.OutcomeSpec{{Weight: 2}}}
	for range rapid.IntRange(1, 3).Draw(t, "outcomes") {
		r.Outcomes = append(r.Outcomes, drawOutcome(t, stage, broken))
	}
	conditions := []string{"", "", "", "client", "tls", "connection"}
	switch stage {
	case smtp.StageMessage:
		conditions = append(conditions, "sender", "recipient", "attempt", "message", "header")
	case smtp.StageRcpt, smtp.StageData, smtp.StageBdat:
		conditions = append(conditions, "sender", "recipient", "attempt", "message")
	case smtp.StageMail:
		conditions = append(conditions, "sender", "message")
	}
	switch rapid.SampledFrom(conditions).Draw(t, "match") {
	case "client":
		r.Match.Clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	case "tls":
		r.Match.TLS = fault.TLSYes
	case "connection":
		r.Match.Connections = fault.Range{From: 1}
	case "sender":
		r.Match.Senders = []string{"*@c.example"}
	case "recipient":
		r.Match.Recipients = []string{"*@s.example"}
	case "attempt":
		r.Match.Attempts = fault.Range{From: 1, To: 1}
	case "message":
		r.Match.Messages = fault.Range{From: 2}
	case "header":
		r.Match.Headers = []fault.HeaderPattern{{Name: "Subject", Globs: []string{"x"}}}
	}
	r.Key = rapid.SampledFrom([]fault.KeyKind{fault.KeyDefault, fault.KeyAttempt, fault.KeyConnection}).Draw(t, "key")
	return r
}

// drawLimits draws some of all limits, with names that start with prefix.
func drawLimits(t *rapid.T, prefix string) (limits []fault.LimitSpec) {
	most := int64(rapid.IntRange(1, 4).Draw(t, "max"))
	scope := rapid.SampledFrom([]fault.Scope{fault.ScopeClient, fault.ScopeNetwork, fault.ScopeAll}).Draw(t, "scope")
	sender := rapid.SampledFrom([]fault.Scope{fault.ScopeSender, fault.ScopeHelo | fault.ScopeSenderDomain, fault.ScopeConnection | fault.ScopeSender}).Draw(t, "sender")
	stage := rapid.SampledFrom([]smtp.Stage{smtp.StageConnect, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage}).Draw(t, "stage")
	for _, l := range []fault.LimitSpec{
		{Name: "crowd", Kind: fault.LimitConcurrency, Scope: scope, Max: most},
		{Name: "pace of all", Kind: fault.LimitRate, Scope: scope, HasStage: true, Stage: stage, Rate: 0.5, Burst: float64(most)},
		{Name: "pace", Kind: fault.LimitRate, Scope: fault.ScopeConnection, HasStage: true, Stage: smtp.StageMail, Rate: 0.5, Burst: 2},
		{Name: "pace of a domain", Kind: fault.LimitRate, Scope: fault.ScopeRecipientDomain, Rate: 1, Burst: float64(most)},
		{Name: "quota", Kind: fault.LimitQuota, Scope: sender, Max: most, Per: 10 * time.Second},
		{Name: "quota of a connection", Kind: fault.LimitQuota, Scope: fault.ScopeConnection, Max: most, Per: 10 * time.Second, From: fault.QuotaClock},
		{Name: "messages at once", Kind: fault.LimitConcurrency, Scope: sender &^ fault.ScopeConnection, Max: most, Match: fault.Match{Senders: []string{"*@c.example"}}},
		{Name: "recipients at once", Kind: fault.LimitConcurrency, Scope: fault.ScopeRecipientDomain, Max: most},
		{Name: "grey", Kind: fault.LimitGreylist, Delay: time.Second, Window: time.Minute, Except: []fault.Match{{Senders: []string{"<>"}}}},
		{Name: "few recipients", Kind: fault.LimitRecipients, Max: most},
		{Name: "few messages", Kind: fault.LimitMessages, Max: most},
		{Name: "small", Kind: fault.LimitSize, Max: 15 * most, HasStage: true, Stage: rapid.SampledFrom([]smtp.Stage{smtp.StageMail, smtp.StageMessage}).Draw(t, "at")},
	} {
		if rapid.IntRange(0, 3).Draw(t, "limit") == 0 {
			l.Name = prefix + l.Name
			limits = append(limits, l)
		}
	}
	return limits
}

// drawRules draws rules for some stages, few or many: with many, hardly a message gets far.
func drawRules(t *rapid.T, broken bool) (rules []fault.RuleSpec) {
	odds := rapid.SampledFrom([]int{3, 10, 30}).Draw(t, "one in")
	for stage := range smtp.Stage(smtp.NumStages) {
		if rapid.IntRange(1, odds).Draw(t, "rule") == 1 {
			rules = append(rules, drawRule(t, stage, broken))
		}
	}
	return rules
}

// drawPlan draws a plan with limits, rules at some stages, and phases with more of them: one with a ramp, and a group that repeats.
func drawPlan(t *rapid.T, broken bool) *fault.Plan {
	spec := fault.PlanSpec{
		Seed:  rapid.Uint64().Draw(t, "seed"),
		Rules: drawRules(t, broken), Limits: drawLimits(t, ""), Plain: drawPlain(t),
	}
	drawReactions(t, &spec, broken)
	phase := func(name string) fault.PhaseSpec {
		return fault.PhaseSpec{
			Name: name, Duration: time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second,
			Rules: drawRules(t, broken), Limits: drawLimits(t, name+": "),
		}
	}
	if rapid.Bool().Draw(t, "storm") {
		spec.Start = fault.Start{Kind: fault.StartClock}
		first := phase("first")
		if len(first.Rules) > 0 {
			first.Ramp = &fault.Ramp{From: 0, To: 1}
		}
		spec.Phases = []fault.PhaseSpec{first, {Repeat: 3, Phases: []fault.PhaseSpec{phase("on"), phase("off")}}}
	}
	p, err := fault.NewPlan(spec)
	if err != nil {
		t.Fatalf("the plan: %v", err)
	}
	return p
}

// moreLimits are the limits that connections share, with other connections that come, go, and take what they can.
type moreLimits struct {
	*state.Limits
	n, out int
}

func (l *moreLimits) Admit(now time.Time, limit *fault.Limit, o *fault.Occurrence) bool {
	if l.n++; l.n%5 == 0 {
		return false // somebody else was here
	}
	return l.Limits.Admit(now, limit, o)
}

func (l *moreLimits) Enter(limit *fault.Limit, p state.Place) bool {
	if l.n++; l.n%5 == 0 {
		return false
	}
	granted := l.Limits.Enter(limit, p)
	if granted {
		l.out++
	}
	return granted
}

func (l *moreLimits) Occupy(p state.Place) {
	l.out++
	l.Limits.Occupy(p)
}

func (l *moreLimits) Release(p state.Place) {
	l.out--
	l.Limits.Release(p)
}
