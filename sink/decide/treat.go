package decide

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// treatment is what the treatments of the standings that hold make of an occurrence: a refusal by a limit, or a rule that speaks, or nothing.
type treatment struct {
	reaction *fault.Reaction
	limit    *fault.Limit
	rule     *fault.Rule
}

// find asks the treatments in file order. Where a limit refuses, all limits that were asked have got back what they have counted.
func find(x *fault.StageReactions, o *fault.Occurrence, c Connection) (t treatment) {
	if o.Levels == nil {
		return treatment{}
	}
	for _, r := range x.Treat {
		level := int(o.Levels[r.Index])
		if level == 0 {
			continue
		}
		o.Asked++
		for _, base := range r.Limits {
			if l := base.At(level); l.Stage == o.Stage && l.Applies(o) && !c.Admit(l, o) {
				giveBack(x, nil, l, o, c)
				return treatment{reaction: r, limit: l}
			}
		}
		if rule := r.Treatment(o); rule != nil {
			return treatment{reaction: r, rule: rule}
		}
	}
	return treatment{}
}

// decide lets the rule of a treatment decide. Where that is a refusal, the limits of treatments get back what they have counted.
func (t *treatment) decide(d *fault.Decision, v *fault.View, o *fault.Occurrence, c Connection) {
	*d = v.Speak(t.rule, o)
	d.Cause, d.Reaction, d.Rule = fault.CauseReact, t.reaction, nil // goodness of fit is of rules that draw for everybody
	if d.Chosen.Unsent() || d.Reply != nil && (d.Reply.Code.Temporary() || d.Reply.Code.Permanent()) {
		giveBack(v.Reactions(o.Stage), t.reaction, nil, o, c)
	}
}

// giveBack returns what the limits of treatments have counted of an occurrence that is refused: those up to and with a reaction, those up
// to and without a limit, or all.
func giveBack(x *fault.StageReactions, last *fault.Reaction, refusing *fault.Limit, o *fault.Occurrence, c Connection) {
	if x == nil || o.Levels == nil {
		return
	}
	for _, r := range x.Treat {
		level := int(o.Levels[r.Index])
		if level == 0 {
			continue
		}
		for _, base := range r.Limits {
			l := base.At(level)
			if l == refusing {
				return
			}
			if l.Stage == o.Stage && l.Applies(o) {
				c.Return(l, o)
			}
		}
		if r == last {
			return
		}
	}
}
