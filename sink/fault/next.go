package fault

import (
	"errors"
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// NextSpec asks that the next occurrences of a stage meet one outcome, whatever the plan says: a test that wants one message to
// fail asks for that, and changes no plan.
type NextSpec struct {
	ID      string // names it in ledgers and counts; at most MaxNextID letters, digits, dots, hyphens and underscores
	Stage   smtp.Stage
	Match   Match       // which occurrences count; no condition on attempt, header or sequence
	Outcome OutcomeSpec // its weight does not matter
	Times   int         // how many occurrences meet it, 1 to MaxNextTimes
}

// Bounds of a NextSpec.
const (
	MaxNextID    = 64 // octets
	MaxNextTimes = 1_000_000
)

// Next is a validated NextSpec. It is immutable and shared.
type Next struct {
	ID      string
	Stage   smtp.Stage
	Match   Match
	Outcome OutcomeSpec // as it was asked for
	Times   int
	rule    *Rule
}

// NewNext validates a spec. Errors are *SpecError.
func NewNext(spec NextSpec) (*Next, error) {
	fail := func(field string, err error) (*Next, error) {
		return nil, &SpecError{Path: "next", Name: spec.ID, Field: field, Err: err}
	}
	spec.Outcome.Weight = 1
	r, field, err := newRule(&RuleSpec{Name: spec.ID, Stage: spec.Stage, Match: spec.Match, Outcomes: []OutcomeSpec{spec.Outcome}})
	needs := spec.Match.needs()
	switch {
	case !validNextID(spec.ID):
		return fail("id", fmt.Errorf("invalid id (want 1 to %d letters, digits, dots, hyphens and underscores)", MaxNextID))
	case spec.Times < 1 || spec.Times > MaxNextTimes:
		return fail("times", fmt.Errorf("%d is out of range (want 1 to %d)", spec.Times, MaxNextTimes))
	case err != nil:
		return fail(strings.Replace(field, "outcomes[0]", "outcome", 1), err)
	case len(spec.Match.Standings) > 0 || !spec.Match.Levels.IsZero():
		return fail("match.standing", errors.New("standings are known to the plan only (match on the client or the sender)"))
	case spec.Match.OutOfOrder:
		return fail("match.sequence", errors.New("commands out of order are refused before"))
	case len(spec.Match.Errors) > 0:
		return fail("match.error", errors.New("commands that are refused for an error are refused before"))
	case needs.Recipients: // only a plan that has rules for attempts has them counted
		return fail("match.attempt", errors.New("attempts are counted only where a plan matches on them (times says how many)"))
	case needs.Auth, needs.Parameters, needs.Turns:
		return fail("match", errors.New("mechanism, step, turn and parameter are noted only where a plan matches on them"))
	case len(spec.Match.Repeats) > 0:
		return fail("match.repeats", errors.New("headers are kept only where a plan matches on them"))
	case needs.Headers:
		return fail("match.header", errors.New("headers are kept only where a plan matches on them"))
	case spec.Stage == smtp.StageBdat && spec.Outcome.Body != BodyFault{}: // it would strike before the chunk's reply is decided
		return fail("outcome.body", errors.New("not known at stage bdat (valid at: data)"))
	}
	return &Next{ID: spec.ID, Stage: spec.Stage, Match: spec.Match, Outcome: spec.Outcome, Times: spec.Times, rule: r}, nil
}

func validNextID(id string) bool {
	return id != "" && len(id) <= MaxNextID && strings.IndexFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_')
	}) < 0
}

// Matches reports whether the occurrence counts. The stage is not looked at. An outcome waits for an occurrence at which it is met: a fault of
// TLS for a handshake, a failure of AUTH for the end of the exchange, and one without a reply of its own for a command that is not refused.
func (n *Next) Matches(o *Occurrence) bool {
	outcome := &n.rule.Outcomes[0]
	switch {
	case n.Handshake() && !o.Handshake, o.GoesOn && outcome.Written && outcome.Code == AuthFailedCode, o.AsWritten && !outcome.Written:
		return false
	}
	return n.rule.Matches(o)
}

// Handshake reports whether the outcome is about a TLS handshake.
func (n *Next) Handshake() bool { return n.rule.Outcomes[0].TLS != TLSNone }

// Decide returns the decision for the hit-th occurrence that counts.
func (n *Next) Decide(hit uint64) Decision {
	outcome := &n.rule.Outcomes[0]
	d := Decision{Cause: CauseNext, Next: n, Chosen: outcome, Reply: outcome.Reply}
	d.Delay = outcome.Delay.At(Draw(0, n.Stage, PurposeDelay, appendNumber(appendField(nil, []byte(n.ID)), hit)))
	return d
}
