package fault

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// PlanSpec is a plan as a person wrote it, in flags or in a file. NewPlan checks it and makes it a Plan.
type PlanSpec struct {
	Name           string
	Description    string
	Seed           uint64
	Start          Start               // of the first phase
	Restart        bool                // the storm starts anew when the plan replaces another
	Listeners      []Listener          // none: the server's own
	Plain          []PlainSpec         // own words of plain replies
	ListenerFaults []ListenerFaultSpec // outside of phases, and in those that say nothing about the listener
	Limits         []LimitSpec         // the first that refuses decides
	Rules          []RuleSpec          // in every phase, before the phase's own; the first that matches decides
	Reactions      []ReactionSpec      // what senders' own behaviour leads to; asked before limits and rules
	Phases         []PhaseSpec         // the storm, in order
}

// RuleSpec is one rule of a PlanSpec. It has outcomes or a mode, or neither: then its outcome is the plain reply, which makes
// sense with a delay, and as an exemption from later rules.
type RuleSpec struct {
	Name     string // empty: "rule N", counted from 1; unique within the plan
	Stage    smtp.Stage
	Stages   []smtp.Stage // if not nil, instead of Stage: any of these
	AnyStage bool         // instead of Stage: every stage at which what the rule says is valid
	Match    Match
	Except   []Match // whom of these it is not for
	Mode     ModeSpec
	Outcomes []OutcomeSpec
	Delay    Delay // of each outcome that has none of its own
	Key      KeyKind

	treated bool // it is of a reaction's treatment
}

// OutcomeSpec is one weighted outcome of a RuleSpec.
type OutcomeSpec struct {
	// Weight counts in relation to the sum over the rule's outcomes. It is not defaulted: 0 is never drawn.
	Weight float64
	// Code is the reply code, 200 to 599, never filtered by a stage table; 0 is the stage's plain reply.
	Code     smtp.Code
	Enhanced smtp.Enhanced // absent: the catalogue's default for code and stage
	Text     []string      // reply lines, which may name fields (smtp.TextFields); none: the catalogue's text
	Delay    Delay         // overrides the rule's
	NoDelay  bool          // no delay even if the rule has one
	Faults
	NoEnhanced bool // no enhanced status code, whatever the catalogue has
}

// stages returns the stages that the rule may speak at.
func (spec *RuleSpec) stages() []smtp.Stage {
	switch {
	case spec.AnyStage:
		all := make([]smtp.Stage, smtp.NumStages)
		for s := range all {
			all[s] = smtp.Stage(s)
		}
		return all
	case spec.Stages != nil:
		return spec.Stages
	}
	return []smtp.Stage{spec.Stage}
}

// ParseReply parses a reply as flags and plans write it: "450", "550/5.7.1", "550/none" for no enhanced status code, or "plain" for the stage's plain reply. The weight of the
// result is 1.
func ParseReply(text string) (OutcomeSpec, error) {
	o := OutcomeSpec{Weight: 1}
	if text == "plain" {
		return o, nil
	}
	code, enhanced, hasEnhanced := strings.Cut(text, "/")
	var err error
	if o.Code, err = smtp.ParseCode(code); err != nil {
		return OutcomeSpec{}, fmt.Errorf("invalid reply %q (want a code from 200 to 599 such as 450, with an enhanced status code such as 550/5.7.1, or plain)", text)
	}
	if hasEnhanced {
		if o.NoEnhanced = enhanced == "none"; o.NoEnhanced {
			return o, nil
		}
		if o.Enhanced, err = smtp.ParseEnhanced(enhanced); err != nil {
			return OutcomeSpec{}, err
		}
	}
	return o, nil
}

// SpecError is what NewPlan returns for a broken PlanSpec: it says which part and which of its fields is wrong.
type SpecError struct {
	Path  string // the part, as plan files write it, such as "rules[2]" or "phases[1].limits[0]"; empty when only Rule is known
	Rule  int    // for rules, index into the list that they are in
	Name  string // the part's name, if it has one
	Field string // as plan files write it, such as "match.recipient" or "outcomes[2].reply"; empty for the part as a whole
	Err   error
}

// Error returns one line: the part, the field and what is wrong.
func (e *SpecError) Error() string {
	var b strings.Builder
	if e.Path == "" || strings.HasPrefix(e.Path, "rules[") {
		fmt.Fprintf(&b, "rule %d", e.Rule+1)
	} else {
		b.WriteString(e.Path)
	}
	if e.Name != "" {
		fmt.Fprintf(&b, " %q", e.Name)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", e.Field)
	}
	return fmt.Sprintf("%s: %v", b.String(), e.Err)
}

// Unwrap returns what is wrong, without where.
func (e *SpecError) Unwrap() error { return e.Err }
