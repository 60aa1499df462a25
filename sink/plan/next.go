package plan

import (
	"encoding/json"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Next asks for the outcome of the next occurrences of a stage, in a document of its own: stage, match and outcome are written as a rule
// of a plan has them.
type Next struct {
	fault.NextSpec               // Times is 1 where the document doesn't say; without an id, the server picks one
	TTL            time.Duration // after which it is forgotten; 0 where the document doesn't say
}

// nextFormat is what ParseNext reads and NextSchema describes.
var nextFormat = nextForm()

func nextForm() form[Next] {
	times := integer(1, fault.MaxNextTimes).checked(func(n *yaml.Node, v *int) error {
		if *v < 1 || *v > fault.MaxNextTimes {
			return errorf(n, "%d is out of range (want 1 to %d)", *v, fault.MaxNextTimes)
		}
		return nil
	})
	ttl := duration.checked(func(n *yaml.Node, v *time.Duration) error {
		if *v <= 0 {
			return errorf(n, "%v is out of range (want above 0s)", *v)
		}
		return nil
	})
	return mapping(
		at("id", textForm.described(`{"type":"string","pattern":"^[A-Za-z0-9._-]{1,64}$"}`), func(n *Next) *string { return &n.ID }, "Names it in rows and counts; default: one that nobody has."),
		needs("stage", stageForm, func(n *Next) *smtp.Stage { return &n.Stage }, "At which it is met."),
		at("match", matchForm(), func(n *Next) *fault.Match { return &n.Match }, "Everybody by default; no condition on attempt, header or sequence."),
		needs("outcome", nextOutcomeForm(), func(n *Next) *fault.OutcomeSpec { return &n.Outcome }, "What they meet; {} is the plain reply."),
		preset("times", times, func(n *Next) *int { return &n.Times }, 1, "How many occurrences meet it."),
		at("ttl", ttl, func(n *Next) *time.Duration { return &n.TTL }, "After which it is forgotten, used up or not; default 10m, at most 24h."),
	).named("next").starting(Next{NextSpec: fault.NextSpec{Times: 1}})
}

// nextOutcomeForm is an outcome that is the only one.
func nextOutcomeForm() form[fault.OutcomeSpec] {
	return mapping(outcomeKeys()...).named("nextOutcome").starting(fault.OutcomeSpec{Weight: 1})
}

// ParseNext parses such a document, YAML or JSON. name stands for it in errors, which are *Error. What fault.NewNext asks beyond is not
// checked yet.
func ParseNext(name string, data []byte) (Next, error) {
	var n Next
	root, err := parseForm(name, data, nextFormat, &n)
	for _, key := range []string{"stage", "outcome"} {
		if err == nil && child(root, key) == nil {
			err = within(key, errorf(root, "missing"))
			err.(*Error).File = name
		}
	}
	return n, err
}

// NextSchema returns the JSON Schema of what ParseNext reads, draft 2020-12.
func NextSchema() ([]byte, error) {
	return schemaOf(nextFormat, "the outcome of the next occurrences of a stage")
}

// MatchJSON returns a match as plans write it, in JSON.
func MatchJSON(m *fault.Match) (json.RawMessage, error) { return toJSON(matchForm().write(m)) }

// OutcomeJSON returns an outcome as plans write it, without its weight, in JSON.
func OutcomeJSON(o *fault.OutcomeSpec) (json.RawMessage, error) {
	return toJSON(nextOutcomeForm().write(o))
}
