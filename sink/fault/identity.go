package fault

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// RuleID identifies a rule by its name and content, over any number of plans: a file that is loaded again has the same rules. It is
// comparable; rules that differ in anything that a plan can say have different ones.
type RuleID [16]byte

// ID returns the rule's identity. The position in the plan is no part of it.
func (r *Rule) ID() RuleID {
	if r.id == (RuleID{}) { // of no plan: nobody has kept it
		return r.identify()
	}
	return r.id
}

func (r *Rule) identify() (id RuleID) {
	content := struct {
		Name, Phase string
		Stage       smtp.Stage
		Match       Match
		Except      []Match `json:",omitempty"`
		Mode        Mode
		Outcomes    []Outcome
		Key         KeyKind
	}{r.Name, r.Phase, r.Stage, r.Match, r.Except, r.Mode, r.Outcomes, r.Key}
	text, err := json.Marshal(&content)
	if err != nil { // nothing in a rule has no JSON form
		text = fmt.Appendf(nil, "%+v", content)
	}
	sum := sha256.Sum256(text)
	copy(id[:], sum[:])
	return id
}
