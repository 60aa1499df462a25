package count

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Rule is one rule's work.
type Rule struct {
	Name        string     `json:"name"`
	Stage       smtp.Stage `json:"stage"`
	Phase       string     `json:"phase,omitempty"` // whose rule it is; empty for the plan's own
	Occurrences uint64     `json:"occurrences"`     // times the rule spoke: the sum of Injected
	// DistinctKeys is by how many different keys the rule drew, where it may draw by one more than once; 0 elsewhere. Goodness of fit counts
	// those, since the repeats of a sticky draw are not independent. It may be behind by those that are under way.
	DistinctKeys uint64    `json:"distinct_keys,omitempty"`
	Outcomes     []Outcome `json:"outcomes"`
}

// Outcome is one outcome of a rule.
type Outcome struct {
	Code        smtp.Code     `json:"code"` // 0 when the reply is never sent
	Enhanced    smtp.Enhanced `json:"enhanced,omitzero"`
	Fault       string        `json:"fault,omitempty"`    // what is done besides the reply and its delay
	Probability float64       `json:"probability"`        // the normalised weight
	Injected    uint64        `json:"injected"`           // decided, whatever became of it
	Struck      uint64        `json:"struck,omitempty"`   // see Reply.Struck
	Distinct    uint64        `json:"distinct,omitempty"` // of Rule.DistinctKeys
}

// Name says what an outcome is: its reply, and what is done besides.
func (o *Outcome) Name() string {
	name := "no reply"
	if o.Code != 0 {
		name = strings.TrimSpace(fmt.Sprint(o.Code, " ", o.Enhanced))
	}
	if o.Fault != "" {
		name += " " + o.Fault
	}
	return name
}

// Fits tests every rule of a sink against its weights. Refusals by limits and plain replies are no draws and stay out.
func (c *Counts) Fits() []fit.Result {
	rules := make([]fit.Rule, len(c.Rules))
	for i := range c.Rules {
		r := &c.Rules[i]
		rules[i] = fit.Rule{Name: r.Name, Stage: r.Stage.String()}
		for j := range r.Outcomes {
			o := &r.Outcomes[j]
			n := o.Injected
			if r.DistinctKeys > 0 {
				n = o.Distinct
			}
			rules[i].Outcomes = append(rules[i].Outcomes, fit.Outcome{Label: o.Name(), Probability: o.Probability, Drawn: n})
		}
	}
	return fit.Test(rules)
}

// identity is equal exactly when two counts are of one rule.
func (r *Rule) identity() string {
	text := fmt.Appendf(nil, "%q %v %q", r.Name, r.Stage, r.Phase)
	for i := range r.Outcomes {
		text = fmt.Appendf(text, " %s %v", r.Outcomes[i].Name(), r.Outcomes[i].Probability)
	}
	return string(text)
}

func (r *Rule) combine(o *Rule, k uint64) {
	r.Occurrences += k * o.Occurrences
	r.DistinctKeys += k * o.DistinctKeys
	r.Outcomes = slices.Clone(r.Outcomes)
	for i := range r.Outcomes {
		r.Outcomes[i].Injected += k * o.Outcomes[i].Injected
		r.Outcomes[i].Struck += k * o.Outcomes[i].Struck
		r.Outcomes[i].Distinct += k * o.Outcomes[i].Distinct
	}
}
