package fault

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ErrorPattern is a condition on what is wrong with a command: the reply that it would get from the sink. The zero value is for any.
type ErrorPattern CodePattern

// String returns the pattern as plans write it: "any", or as CodePattern.
func (p ErrorPattern) String() string {
	if p == (ErrorPattern{}) {
		return "any"
	}
	return CodePattern(p).String()
}

// ParseErrorPattern parses what String writes.
func ParseErrorPattern(text string) (ErrorPattern, error) {
	if text == "any" {
		return ErrorPattern{}, nil
	}
	p, err := ParseCodePattern(text)
	if err != nil || p.Class == 2 || p.Class == 3 || p.Code.Class() == 2 || p.Code.Class() == 3 {
		return ErrorPattern{}, fmt.Errorf("invalid error %q (want any, or a reply that the sink would give, such as 501, 555/5.5.4 or 5xx)", text)
	}
	return ErrorPattern(p), nil
}

// Wrong reports whether the match is for commands that the sink would refuse by itself, for being out of order or for any other error.
// Rules for these never speak about others, and others never about these.
func (m *Match) Wrong() bool { return m.OutOfOrder || len(m.Errors) > 0 }

// wrongKey returns the key of plans by which the match is for such commands.
func (m *Match) wrongKey() string {
	if m.OutOfOrder {
		return "sequence"
	}
	return "error"
}

// holdsError reports whether the conditions on what is wrong hold.
func (m *matcher) holdsError(o *Occurrence) bool {
	if m.outOfOrder && !o.BadSequence {
		return false
	}
	if m.errors == nil {
		return true
	}
	if o.Error == nil {
		return false
	}
	for _, p := range m.errors {
		if p == (ErrorPattern{}) || CodePattern(p).Matches(o.Error.Code, o.Error.Enhanced) {
			return true
		}
	}
	return false
}

// HasRulesForErrors reports whether any rule may speak about an error at the stage, whatever it is.
func (v *View) HasRulesForErrors(s smtp.Stage) bool {
	return v != nil && v.plan != nil && (v.plan.stages.of(s, true).errors || v.phase != nil && v.phase.stages.of(s, true).errors)
}
