package fault

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Rule is a validated rule of a plan. It is immutable and shared.
type Rule struct {
	Index    int    // position in Plan.Rules, from 0
	Name     string // unique within the plan
	Phase    string // of the phase that it belongs to; empty for the plan's own
	Stage    smtp.Stage
	Match    Match
	Except   []Match   // and whom of these it is not for
	Mode     Mode      // the mode that its outcomes come from; ModeNone when they were written out
	Outcomes []Outcome // at least one
	Key      KeyKind   // never KeyDefault

	matcher  matcher
	excepted exceptions
	table    aliasTable
	draws    bool // code or delay depends on a draw, and so on the key
	levelOf  int  // index of the reaction whose treatment it is of; only meaningful where a delay grows
	id       RuleID
}

// Outcome is one weighted outcome of a rule.
type Outcome struct {
	Code        smtp.Code   // the reply's code, also where Reply is nil
	Reply       *smtp.Reply // nil: the stage's plain reply, see Plain; for a command out of order the refusal that it gets anyway
	Written     bool        // the code was written out or comes from a mode; otherwise the outcome leaves the reply to the session
	OwnText     bool        // the text was written out, too
	Probability float64     // weight divided by the sum of the rule's weights
	Delay       Delay
	Faults
	Faulty bool   // Faults is not zero
	Fault  string // Faults.Names
}

// UsualReply returns the reply of an outcome, or what stands for it where the session chooses the words: the stage's plain reply, or the
// refusal of a command that is wrong. It is shared and must not be changed.
func (r *Rule) UsualReply(outcome int) *smtp.Reply {
	switch {
	case r.Outcomes[outcome].Reply != nil:
		return r.Outcomes[outcome].Reply
	case r.Match.Wrong():
		return &outOfOrderReply
	}
	return Plain(r.Stage)
}

var outOfOrderReply = smtp.Reply{
	Code: OutOfOrderCode, Enhanced: smtp.Enhanced{Class: 5, Subject: 5, Detail: 1}, Lines: []string{"Bad sequence of commands"},
}

// Matches reports whether the rule is for the occurrence, whatever stands before it. The stage is not looked at.
func (r *Rule) Matches(o *Occurrence) bool { return r.matcher.holdsAll(o) && !r.excepted.hold(o) }

// ForEverybody reports whether no condition keeps anyone from the rule, but that commands are wrong (Match.Wrong).
func (r *Rule) ForEverybody() bool {
	m := r.Match
	if m.OutOfOrder = false; slices.Contains(m.Errors, ErrorPattern{}) {
		m.Errors = nil
	}
	return m.IsZero() && len(r.Except) == 0
}

// Draws reports whether the rule's decisions depend on a draw, and so on its key.
func (r *Rule) Draws() bool { return r.draws }

// Repeats reports whether the rule may draw by the same key more than once, and then draws the same outcome: goodness of fit counts
// distinct keys. By default that is so only at stages that a client can repeat without anything being counted.
func (r *Rule) Repeats() bool {
	switch {
	case len(r.Outcomes) < 2:
		return false
	case r.Key != KeyAttempt:
		return true
	case r.Match.Wrong(): // each command is another
		return false
	}
	switch r.Stage {
	case smtp.StageHelo, smtp.StageEhlo, smtp.StageStartTLS, smtp.StageAuth, smtp.StageData, smtp.StageBdat:
		return true
	}
	return false
}

// Needs returns the shared counters that the rule draws or matches on.
func (r *Rule) Needs() Needs {
	needs := r.Match.needs().or(exceptionNeeds(r.Except))
	if r.draws {
		needs = needs.or(r.keyNeeds(r.Key))
	}
	for i := range r.Outcomes {
		needs.QueueIDs = needs.QueueIDs || namesQueueID(r.Outcomes[i].Reply)
	}
	return needs
}

// keyNeeds returns the shared counters that keys of this kind are made of.
func (r *Rule) keyNeeds(kind KeyKind) Needs {
	if r.Match.Wrong() {
		kind = KeyConnection
	}
	return keyNeeds(kind, r.Stage)
}

// decide returns the rule's decision for an occurrence that it matches. It does not allocate.
func (r *Rule) decide(seed uint64, o *Occurrence) Decision {
	d := Decision{Cause: CauseRule, Rule: r}
	if !r.draws {
		d.Chosen = &r.Outcomes[0]
		d.Reply, d.Delay = d.Chosen.Reply, r.delay(d.Chosen, o)
		return d
	}
	var space [400]byte
	key := AppendKey(space[:0], r.Key, o)
	if len(r.Outcomes) > 1 {
		d.Draw = Draw(seed, r.Stage, PurposeCode, key)
		d.Outcome = int32(r.table.index(d.Draw)) // #nosec G115 -- a rule has few outcomes
	}
	outcome := &r.Outcomes[d.Outcome]
	d.Chosen, d.Reply = outcome, outcome.Reply
	if outcome.Delay.random() {
		d.Delay = outcome.Delay.At(Draw(seed, r.Stage, PurposeDelay, key))
	} else {
		d.Delay = r.delay(outcome, o)
	}
	return d
}

// delay returns the delay of an outcome where no draw decides it, but perhaps the level of the standing.
func (r *Rule) delay(outcome *Outcome, o *Occurrence) time.Duration {
	if outcome.Delay.Grows() && o.Levels != nil {
		return outcome.Delay.AtLevel(int(o.Levels[r.levelOf]))
	}
	return outcome.Delay.At(0)
}

// newRule validates a spec; the error has no position yet, only field and cause.
func newRule(spec *RuleSpec) (r *Rule, field string, err error) {
	if int(spec.Stage) >= smtp.NumStages {
		return nil, "stage", fmt.Errorf("unknown stage %v", spec.Stage)
	}
	if field, err := spec.Match.validate(spec.Stage); err != nil {
		return nil, field, err
	}
	if err := spec.Delay.Validate(); err != nil {
		return nil, "delay", err
	}
	excepted, field, err := newExceptions(spec.Except, spec.Stage, errExceptSequence)
	if err != nil {
		return nil, field, err
	}
	r = &Rule{Name: spec.Name, Stage: spec.Stage, Match: spec.Match, Except: spec.Except, excepted: excepted, Mode: spec.Mode.Mode, Key: spec.Key, matcher: newMatcher(&spec.Match)}
	if err := r.setKey(); err != nil {
		return nil, "key", err
	}
	outcomes, field, err := spec.outcomes()
	if err != nil {
		return nil, field, err
	}
	weights := make([]float64, len(outcomes))
	for i := range outcomes {
		outcome, field, err := newOutcome(spec, &outcomes[i])
		if err != nil {
			return nil, fmt.Sprintf("outcomes[%d]%s", i, field), err
		}
		r.Outcomes = append(r.Outcomes, outcome)
		if outcome.Delay.Grows() && !spec.treated {
			return nil, fmt.Sprintf("outcomes[%d].delay", i), fmt.Errorf("%v goes by the level of a standing (valid within then of a reaction)", outcome.Delay.Kind)
		}
		weights[i] = outcomes[i].Weight
		r.draws = r.draws || outcome.Delay.random()
	}
	probabilities, err := normalise(weights)
	if err != nil {
		return nil, "outcomes", err
	}
	for i, p := range probabilities {
		r.Outcomes[i].Probability = p
	}
	r.table = newAliasTable(probabilities)
	r.draws = r.draws || len(outcomes) > 1
	return r, "", nil
}

var errExceptSequence = errors.New("commands out of order or with an error have rules of their own (say it in match)")

func (r *Rule) setKey() error {
	switch {
	case r.Key == KeyDefault:
		r.Key = KeyAttempt
	case int(r.Key) >= len(keyKinds):
		return fmt.Errorf("unknown key %v", r.Key)
	case r.Match.Wrong() && r.Key != KeyAttempt && r.Key != KeyConnection:
		return fmt.Errorf("key %v is not known for commands out of order, or with an error (valid there: attempt connection)", r.Key)
	case r.Key == KeyRecipient && !knowsRecipients(r.Stage):
		return fmt.Errorf("key recipient is not known yet at stage %v (known at: rcpt data bdat message)", r.Stage)
	case r.Key == KeyMessage && scopeOf(r.Stage) != scopeTransaction:
		return fmt.Errorf("key message is not known at stage %v (known at: mail rcpt data bdat message)", r.Stage)
	}
	return nil
}

// outcomes returns the outcomes as if each was written out: of the mode, as given, or the plain reply.
func (spec *RuleSpec) outcomes() (outcomes []OutcomeSpec, field string, err error) {
	switch {
	case spec.Mode.Mode == ModeNone && len(spec.Outcomes) == 0:
		return []OutcomeSpec{{Weight: 1}}, "", nil
	case spec.Mode.Mode == ModeNone:
		return spec.Outcomes, "", nil
	case len(spec.Outcomes) > 0:
		return nil, "mode", fmt.Errorf("both a mode and outcomes (want one of them)")
	}
	table, err := spec.Mode.Table(spec.Stage)
	if err != nil {
		return nil, "mode", err
	}
	for _, c := range table {
		outcomes = append(outcomes, OutcomeSpec{Weight: c.Weight, Code: c.Code})
	}
	return outcomes, "", nil
}

// AuthFailedCode is the code of a planned failure of AUTH that waits for the end of the exchange (RFC 4954 section 6).
const AuthFailedCode smtp.Code = 535

// OutOfOrderCode is the code of the usual reply to a command out of order: bad sequence of commands (RFC 5321 section 4.2.4). DATA
// without a recipient that was accepted is refused with 554 (section 3.3) and counts as one, too.
const OutOfOrderCode smtp.Code = 503

// validateOutOfOrder refuses faults of what a command out of order does not begin.
func (o *OutcomeSpec) validateOutOfOrder() (field string, err error) {
	switch {
	case o.Body != BodyFault{}:
		return ".body", fmt.Errorf("a command out of order begins no message")
	case o.TLS != TLSNone:
		return ".tls", fmt.Errorf("a command out of order begins no handshake")
	}
	return "", nil
}

func newOutcome(spec *RuleSpec, o *OutcomeSpec) (outcome Outcome, field string, err error) {
	if err := o.Delay.Validate(); err != nil {
		return Outcome{}, ".delay", err
	}
	outcome = Outcome{
		Code: o.Code, Written: o.Code != 0, OwnText: len(o.Text) > 0, Delay: spec.Delay, Faults: o.Faults, Faulty: !o.Faults.IsZero(), Fault: o.Faults.Names(),
	}
	if o.NoDelay || !o.Delay.IsZero() {
		outcome.Delay = o.Delay
	}
	plain := PlainCode(spec.Stage)
	if spec.Match.Wrong() {
		plain = OutOfOrderCode
		if field, err := o.validateOutOfOrder(); err != nil {
			return Outcome{}, field, err
		}
	}
	written := !o.Enhanced.IsZero() || o.NoEnhanced || len(o.Text) > 0
	switch {
	case o.Raw != nil:
		if err := o.readRaw(&outcome); err != nil {
			return Outcome{}, ".raw", err
		}
		outcome.Fault = outcome.Names()
	case o.Code == 0 && written:
		return Outcome{}, ".reply", fmt.Errorf("enhanced status code or text without a code")
	case o.Code == 0 || (o.Code == plain && !written):
		outcome.Code = plain
	default:
		w := words{code: o.Code, enhanced: o.Enhanced, noEnhanced: o.NoEnhanced, text: o.Text}
		if outcome.Reply, err = w.reply(spec.Stage); err != nil {
			return Outcome{}, ".reply", err
		}
	}
	field, err = outcome.validate(spec.Stage, outcome.Code, outcome.Reply, !outcome.Delay.IsZero())
	return outcome, field, err
}
