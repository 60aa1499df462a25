package fault

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// LimitKind is what a limit counts.
type LimitKind uint8

// The kinds.
const (
	LimitRate        LimitKind = iota // a token bucket: Rate tokens a second, at most Burst; each occurrence takes one
	LimitConcurrency                  // Max open connections; at mail and rcpt transactions under way
	LimitMessages                     // Max messages (MAIL) per connection
	LimitRecipients                   // Max recipients per transaction
	LimitSize                         // Max octets per message: as declared at mail, as counted at message
	LimitGreylist                     // (network, sender, recipient), or what else the scope says, is refused until Delay after it was first seen
	LimitQuota                        // Max occurrences in each window of Per
)

var limitKinds = [...]string{"rate", "concurrency", "messages", "recipients", "size", "greylist", "quota"}

// String returns the name as plans write it.
func (k LimitKind) String() string { return nameOf(limitKinds[:], int(k)) }

// ParseLimitKind parses a name; the error names the valid ones.
func ParseLimitKind(name string) (LimitKind, error) {
	return parseName[LimitKind]("limit", name, limitKinds[:], 0)
}

// Limit is a validated limit of a plan: a true count, not odds. It is immutable and shared. What it counts is kept elsewhere
// (package state) by its name and parameters.
type Limit struct {
	Index  int    // position in Plan.AllLimits, from 0
	Name   string // unique within the plan
	Phase  string // of the phase that it belongs to; empty for the plan's own
	Kind   LimitKind
	Scope  Scope      // never 0
	Stage  smtp.Stage // at which it is asked
	Match  Match      // whom it is for
	Except []Match    // and whom of these it is not for
	Rate   float64    // tokens per second
	Burst  float64    // tokens, at least 1
	Max    int64
	Delay  time.Duration // of greylist: from the first sight of a triple to the first acceptance
	Window time.Duration // of greylist: from the first sight to a retry that still counts; and how long an accepted triple is known from its last use on
	Per    time.Duration // of quota: how long a window is
	From   QuotaFrom     // of quota: when a window begins
	Reply  *smtp.Reply   // 4xx or 5xx

	matcher  matcher
	excepted exceptions
	levels   []*Limit // of a limit that depends on the level of a standing: by level, from 1; the last for all above
	base     *Limit   // that it is another level of; nil: it is the first
}

// LimitSpec is a limit of a PlanSpec, as a person wrote it.
type LimitSpec struct {
	Name   string // needed; unique within the plan
	Kind   LimitKind
	Scope  Scope      // 0: the kind's usual one
	Stage  smtp.Stage // used if HasStage
	Match  Match      // whom it is for; everybody by default
	Except []Match
	Rate   float64 // tokens per second
	Burst  float64 // 0: one second's tokens, at least 1
	Max    int64
	Delay  time.Duration
	Window time.Duration
	Per    time.Duration
	From   QuotaFrom
	// Code, Enhanced, NoEnhanced and Text are the reply; Code 0 is the kind's usual one.
	Code       smtp.Code
	Enhanced   smtp.Enhanced
	NoEnhanced bool // no enhanced status code
	Text       []string

	// The growths are of limits within a reaction's treatment: how the value depends on the standing's level.
	RateGrowth, BurstGrowth, MaxGrowth Growth

	HasStage bool // otherwise the kind's first stage at which the scope is known
}

// Applies reports whether the limit is for this occurrence. It does not allocate.
func (l *Limit) Applies(o *Occurrence) bool {
	return l.matcher.holdsAll(o) && !l.excepted.hold(o)
}

// Recalled returns the limit as it is asked for rows of a ledger, which tell neither HELO nor encryption nor size nor the client's n-th
// connection: conditions on these count as fulfilled, exceptions with such conditions as not.
func (l *Limit) Recalled() *Limit {
	r := *l
	forget := func(m matcher) matcher {
		m.helo, m.tls, m.connections, m.dialogue, m.conditions, m.standings, m.levels = patternSet{}, TLSEither, Range{}, dialogueMatcher{}, m.conditions.recalled(), 0, Range{}
		return m
	}
	r.matcher = forget(l.matcher)
	r.excepted = nil
	for i := range l.Except {
		if m := &l.Except[i]; len(m.Helos) == 0 && m.TLS == TLSEither && m.Connections.IsZero() && m.Dialogue.isZero() && m.TLSVersions == (TLSVersions{}) && m.Size == (SizeRange{}) && len(m.Standings) == 0 {
			r.excepted = append(r.excepted, l.excepted[i])
		}
	}
	return &r
}

// At returns the limit as it is at a level of a standing, from 1 on.
func (l *Limit) At(level int) *Limit {
	if l.levels == nil {
		return l
	}
	return l.levels[min(max(level, 1), len(l.levels))-1]
}

// Levels returns from which level on the limit stays as it is.
func (l *Limit) Levels() int { return max(len(l.levels), 1) }

// Base returns the limit as it is at level 1: what it counts goes on from level to level.
func (l *Limit) Base() *Limit {
	if l.base == nil {
		return l
	}
	return l.base
}

type limitGrowth struct {
	field  string
	growth *Growth
}

func (spec *LimitSpec) growths() [3]limitGrowth {
	return [...]limitGrowth{{"rate", &spec.RateGrowth}, {"burst", &spec.BurstGrowth}, {"max", &spec.MaxGrowth}}
}

// at returns the spec with the values of a level.
func (spec *LimitSpec) at(level int) LimitSpec {
	one := *spec
	if g := spec.RateGrowth; !g.IsZero() {
		one.Rate = g.At(level)
	}
	if g := spec.BurstGrowth; !g.IsZero() {
		one.Burst = g.At(level)
	}
	if g := spec.MaxGrowth; !g.IsZero() {
		one.Max = int64(g.At(level))
	}
	return one
}

// Conditional reports whether the limit is for some only: messages and recipients that it is not for don't count towards it.
func (l *Limit) Conditional() bool { return len(l.Except) > 0 || !l.Match.IsZero() }

// Fits reports whether an occurrence is within a limit whose count the occurrence tells: size, and messages and recipients of everybody
// (see Conditional). It is true for the other kinds, and does not look at whom the limit is for.
func (l *Limit) Fits(o *Occurrence) bool {
	switch l.Kind {
	case LimitMessages:
		return o.MessageN <= uint64(l.Max) // #nosec G115 -- 1 to MaxLimit, see validateParameters
	case LimitRecipients:
		return int64(o.Recipients) < l.Max
	case LimitSize:
		return o.Size <= l.Max
	}
	return true
}

// Decision returns the refusal of an occurrence that is beyond the limit.
func (l *Limit) Decision() Decision { return Decision{Cause: CauseLimit, Limit: l, Reply: l.Reply} }

// scopeAny is every scope.
const scopeAny Scope = ScopeClient | ScopeNetwork | ScopeHelo | ScopeConnection | ScopeSender | ScopeSenderDomain | ScopeRecipient | ScopeRecipientDomain | ScopeAll

// limitRules says what each kind may have. The first stage at which the scope is known is the default.
var limitRules = [...]struct {
	scope    Scope // the default
	scopes   Scope // the identities that a scope may be made of
	stages   []smtp.Stage
	max      bool
	code     smtp.Code
	enhanced smtp.Enhanced
	text     string
}{
	LimitRate: {
		scope: ScopeClient, scopes: scopeAny,
		stages: []smtp.Stage{smtp.StageRcpt, smtp.StageConnect, smtp.StageMail, smtp.StageData, smtp.StageMessage},
		code:   451, enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 1}, text: "Rate limit exceeded, try again later",
	},
	LimitConcurrency: {
		scope: ScopeClient, scopes: scopeAny &^ ScopeConnection, stages: []smtp.Stage{smtp.StageConnect, smtp.StageMail, smtp.StageRcpt}, max: true,
		code: 421, enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 0}, text: "Too many concurrent connections, try again later",
	},
	LimitMessages: {
		scope: ScopeConnection, scopes: ScopeConnection, stages: []smtp.Stage{smtp.StageMail}, max: true,
		code: 421, enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 0}, text: "Too many messages on this connection",
	},
	LimitRecipients: {
		scope: ScopeConnection, scopes: ScopeConnection, stages: []smtp.Stage{smtp.StageRcpt}, max: true,
		code: 452, enhanced: smtp.Enhanced{Class: 4, Subject: 5, Detail: 3}, text: "Too many recipients",
	},
	LimitSize: {
		scope: ScopeConnection, scopes: ScopeConnection, stages: []smtp.Stage{smtp.StageMessage, smtp.StageMail}, max: true,
		code: 552, enhanced: smtp.Enhanced{Class: 5, Subject: 3, Detail: 4}, text: "Message is too big",
	},
	LimitGreylist: {
		scope:  ScopeNetwork | ScopeSender | ScopeRecipient,
		scopes: ScopeClient | ScopeNetwork | ScopeSender | ScopeSenderDomain | ScopeRecipient | ScopeRecipientDomain, // what the rows of a ledger tell
		stages: []smtp.Stage{smtp.StageRcpt},
		code:   451, enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 1}, text: "Greylisted, try again later",
	},
	LimitQuota: {
		scope: ScopeClient, scopes: scopeAny,
		stages: []smtp.Stage{smtp.StageRcpt, smtp.StageConnect, smtp.StageMail, smtp.StageData, smtp.StageMessage}, max: true,
		code: 451, enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 1}, text: "Quota exceeded, try again later",
	},
}

// transactionsText is the reply of a limit of concurrency that counts transactions.
const transactionsText = "Too many concurrent messages, try again later"

// Bounds of the parameters of limits.
const (
	MaxLimitRate  = 1e9                  // tokens per second
	MaxLimitBurst = 1e9                  // tokens
	MaxLimit      = 1 << 40              // Limit.Max
	MaxGreylist   = 365 * 24 * time.Hour // Limit.Window
)

// newLimit validates a spec; the error has no position yet, only field and cause.
func newLimit(spec *LimitSpec) (l *Limit, field string, err error) {
	if spec.Name == "" {
		return nil, "name", fmt.Errorf("missing (want a name, which replies are counted under)")
	}
	if int(spec.Kind) >= len(limitKinds) {
		return nil, "kind", fmt.Errorf("unknown limit %v", spec.Kind)
	}
	rules := &limitRules[spec.Kind]
	l = &Limit{
		Name: spec.Name, Kind: spec.Kind, Scope: spec.Scope, Stage: spec.Stage, Match: spec.Match, Except: spec.Except,
		Rate: spec.Rate, Burst: spec.Burst, Max: spec.Max, Delay: spec.Delay, Window: spec.Window, Per: spec.Per, From: spec.From,
	}
	if l.Scope == 0 {
		l.Scope = rules.scope
	}
	if err := l.Scope.validate(); err != nil {
		return nil, "scope", err
	}
	if bad := l.Scope &^ rules.scopes & identityBits; bad != 0 {
		return nil, "scope", fmt.Errorf("limit %v has no scope %v (valid: %v)", l.Kind, bad.Identities()[0], rules.scopes)
	}
	if !spec.HasStage {
		l.Stage = rules.stages[0]
		for _, s := range rules.stages {
			if l.Scope.KnownAt(s) == nil {
				l.Stage = s
				break
			}
		}
	}
	switch err := l.Scope.KnownAt(l.Stage); {
	case !slices.Contains(rules.stages, l.Stage):
		return nil, "stage", fmt.Errorf("%v has no limit %v (valid at: %s)", l.Stage, l.Kind, stageList(rules.stages))
	case err != nil:
		return nil, "scope", err
	case l.Scope.Has(ScopeConnection) && l.Stage == smtp.StageConnect:
		return nil, "scope", fmt.Errorf("a connection has one greeting only (valid at connect: client network all)")
	}
	if field, err := l.validateParameters(rules.max); err != nil {
		return nil, field, err
	}
	if field, err := l.compileMatches(); err != nil {
		return nil, field, err
	}
	return l, "reply", l.setReply(spec)
}

func (l *Limit) validateParameters(hasMax bool) (field string, err error) {
	switch {
	case !hasMax && l.Max != 0:
		return "max", fmt.Errorf("limit %v has no max", l.Kind)
	case hasMax && (l.Max < 1 || l.Max > MaxLimit):
		return "max", fmt.Errorf("%d is out of range (want 1 to %d)", l.Max, int64(MaxLimit))
	case l.Kind != LimitRate && l.Rate != 0:
		return "rate", fmt.Errorf("limit %v has no rate", l.Kind)
	case l.Kind != LimitRate && l.Burst != 0:
		return "burst", fmt.Errorf("limit %v has no burst", l.Kind)
	case l.Kind == LimitRate && !(l.Rate > 0 && l.Rate <= MaxLimitRate):
		return "rate", fmt.Errorf("%s per second is out of range (want above 0, at most %s)", formatFloat(l.Rate), formatFloat(MaxLimitRate))
	case l.Kind == LimitRate && l.Burst != 0 && !(l.Burst >= 1 && l.Burst <= MaxLimitBurst):
		return "burst", fmt.Errorf("%s is out of range (want 1 to %s)", formatFloat(l.Burst), formatFloat(MaxLimitBurst))
	case l.Kind != LimitGreylist && l.Delay != 0:
		return "delay", fmt.Errorf("limit %v has no delay", l.Kind)
	case l.Kind != LimitGreylist && l.Window != 0:
		return "window", fmt.Errorf("limit %v has no window", l.Kind)
	case l.Kind == LimitGreylist && (l.Delay <= 0 || l.Delay > MaxGreylist):
		return "delay", fmt.Errorf("%v is out of range (want above 0s, at most %v)", l.Delay, MaxGreylist)
	case l.Kind == LimitGreylist && (l.Window <= l.Delay || l.Window > MaxGreylist):
		return "window", fmt.Errorf("%v is out of range (want above the delay of %v, at most %v)", l.Window, l.Delay, MaxGreylist)
	}
	if field, err := l.validateQuota(); err != nil {
		return field, err
	}
	if l.Kind == LimitRate && l.Burst == 0 {
		l.Burst = max(1, math.Ceil(l.Rate))
	}
	return "", nil
}

func (l *Limit) compileMatches() (field string, err error) {
	if field, err := l.Match.validate(l.Stage); err != nil {
		return field, err
	}
	if l.Match.Wrong() {
		return "match." + l.Match.wrongKey(), errLimitOutOfOrder
	}
	l.matcher = newMatcher(&l.Match)
	l.excepted, field, err = newExceptions(l.Except, l.Stage, errLimitOutOfOrder)
	return field, err
}

var errLimitOutOfOrder = errors.New("limits don't count commands out of order or with an error, which are refused before")

func (l *Limit) setReply(spec *LimitSpec) (err error) {
	rules := &limitRules[l.Kind]
	code, enhanced, text := spec.Code, spec.Enhanced, spec.Text
	switch {
	case code == 0 && (!enhanced.IsZero() || spec.NoEnhanced || len(text) > 0):
		return fmt.Errorf("enhanced status code or text without a code")
	case code == 0:
		code, enhanced, text = rules.code, rules.enhanced, []string{rules.text}
		if l.Kind == LimitConcurrency && l.Stage != smtp.StageConnect {
			text = []string{transactionsText}
		}
		if l.Stage == smtp.StageConnect { // a client that may not come in is sent away: anything else would hold the connection that is too many
			code, enhanced = 421, smtp.Enhanced{}
		}
	case !code.Temporary() && !code.Permanent():
		return fmt.Errorf("%d is no refusal (want 400 to 599)", code)
	}
	w := words{code: code, enhanced: enhanced, noEnhanced: spec.NoEnhanced, text: text}
	l.Reply, err = w.reply(l.Stage)
	return err
}

// Needs returns what the limit's conditions need.
func (l *Limit) Needs() Needs {
	needs := l.Match.needs().or(exceptionNeeds(l.Except))
	needs.QueueIDs = namesQueueID(l.Reply)
	return needs
}

// ParseRate parses a rate as plans write it: "20/s", "600/m", "1000/h", "200/d", or "20" for tokens per second.
func ParseRate(text string) (perSecond float64, err error) {
	number, unit, given := strings.Cut(text, "/")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	seconds := 1.0
	switch strings.TrimSpace(unit) {
	case "s":
	case "m":
		seconds = 60
	case "h":
		seconds = 3600
	case "d":
		seconds = 86400
	default:
		if given {
			err = fmt.Errorf("unknown unit %q", unit)
		}
	}
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("invalid rate %q (want for example 20/s, 600/m or 1000/h; 200/d with a burst)", text)
	}
	return v / seconds, nil
}
