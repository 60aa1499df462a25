// Package decide says what a sink answers: the decision on one occurrence of a stage as a value.
//
// In this order somebody decides: a protocol error (and the rules for those), the treatments of the reactions
// whose standings hold, in file order and of each its limits before its rules, the limits of the plan in file order until one refuses, what a
// tester asks for by an address or a header or for the next occurrences, the rules of the plan, and otherwise the plain reply. Decide is the
// only place that knows this order: the session asks it at every stage, and Spread, which smtpsink check computes its chances from, is the
// same chain with all outcomes of the last step in place of the drawn one. At the end React shows the reactions what came of it.
//
// It leaves out what a client makes of a reply, what is wrong with a command (the session knows its protocol), and where limits are counted:
// that is behind Connection. It keeps nothing, reads no clock and does not allocate.
package decide

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Point is an occurrence of a stage, before anybody was asked.
type Point struct {
	Stage smtp.Stage
	// Error is the reply to a protocol error; nil when there is none. Only rules for such errors can change it.
	Error *smtp.Reply
	// NoRecipients says that the error is a DATA for which no recipient was accepted: such a command is out of order whatever its code, and
	// a rule that lets the body begin speaks nevertheless, so that its odds hold.
	NoRecipients bool
	// Fixed says that no rule can change the error.
	Fixed bool
	// Switch is what a tester asks for; nil when nothing.
	Switch *fault.Switch
	// Next says that an outcome that was asked for from outside may wait at the stage.
	Next bool
}

// Connection is what Decide asks about the connection on which the stage occurs. It is asked only what matters: the plain path asks nothing.
type Connection interface {
	// Describe tells what is known at the stage. The result is valid until the next call. outOfOrder means that it is for the rules of
	// commands that are refused.
	Describe(s smtp.Stage, outOfOrder bool) *fault.Occurrence
	// Admit counts the occurrence and reports whether it is within the limit. It is asked only for those whom the limit is for.
	Admit(l *fault.Limit, o *fault.Occurrence) bool
	// Return takes back what Admit has counted of an occurrence that another limit refuses. A greylist keeps what it has seen.
	Return(l *fault.Limit, o *fault.Occurrence)
	// Stand tells what the reactions at the stage know of the occurrence: Occurrence.Levels, and Occurrence.Early, for which greylists are
	// looked at and keep nothing. It is asked only where StageReactions.Asks says so.
	Stand(x *fault.StageReactions, o *fault.Occurrence)
	// Count counts the occurrence for reactions.
	Count(x *fault.StageReactions, o *fault.Occurrence, c fault.Counts)
	// Next takes one of the outcomes that were asked for from outside, if one waits for this occurrence. It is asked only where Point.Next
	// says so.
	Next(o *fault.Occurrence) (fault.Decision, bool)
}

// Decide decides, and puts the decision into d. A nil Reply there means the stage's plain one, which is the session's to word, see
// fault.Plain. The result is the occurrence, when it had to be described, for React.
func Decide(d *fault.Decision, v *fault.View, p Point, c Connection) *fault.Occurrence {
	*d = fault.Decision{}
	if p.Error == nil && p.Switch == nil && !p.Next && v.Silent(p.Stage) && !v.Reactions(p.Stage).Asks() {
		return nil
	}
	o, treated, open := before(d, v, p, c)
	switch {
	case treated.rule != nil:
		treated.decide(d, v, o, c)
	case open:
		*d = v.Decide(o)
		orElse(d, p)
	}
	return o
}

// React lets the reactions see what was decided of an occurrence, once and at the end: whatever they make of it holds from the next one on.
// o is what Decide has returned.
func React(d *fault.Decision, v *fault.View, p Point, c Connection, o *fault.Occurrence) {
	x := v.Reactions(p.Stage)
	if !x.MayCount(p.Stage, d) {
		return
	}
	if o == nil {
		o = c.Describe(p.Stage, false)
	}
	if counts := x.Counted(o, d); !counts.IsZero() {
		c.Count(x, o, counts)
	}
}

// before asks everybody but the rules, and those of treatments. It decides, and open is false; or it returns the rule of a treatment that
// speaks; or the rules are to be asked. d is zero before.
func before(d *fault.Decision, v *fault.View, p Point, c Connection) (o *fault.Occurrence, t treatment, open bool) {
	if p.Error != nil {
		d.Cause, d.Reply = fault.CauseProtocol, p.Error
		o = beyondError(v, p, c)
		return o, t, o != nil
	}
	limits := v.Limits(p.Stage)
	o = c.Describe(p.Stage, false)
	o.Asked = len(limits)
	x := v.Reactions(p.Stage)
	if x.Asks() {
		c.Stand(x, o)
		switch t = find(x, o, c); {
		case t.limit != nil:
			*d = fault.Decision{Cause: fault.CauseReact, Reaction: t.reaction, Limit: t.limit, Reply: t.limit.Reply}
			return o, t, false
		case t.rule != nil:
			return o, t, false
		}
	}
	if len(limits) > 0 {
		if l := refusing(limits, o, c); l != nil {
			giveBack(x, nil, nil, o, c)
			*d = l.Decision()
			return o, t, false
		}
	}
	if p.Switch != nil {
		*d = p.Switch.Decide(v, o)
		return o, t, false
	}
	if p.Next {
		if next, ok := c.Next(o); ok {
			*d = next
			return o, t, false
		}
	}
	return o, t, true
}

// beyondError returns the occurrence that rules may speak about in spite of a protocol error, or nil.
func beyondError(v *fault.View, p Point, c Connection) *fault.Occurrence {
	if p.Fixed {
		return nil
	}
	if p.NoRecipients && v.HasRules(p.Stage) {
		o := c.Describe(p.Stage, false)
		if r := v.Rule(o); r != nil && opensBody(r) {
			return o
		}
	}
	badSequence := p.NoRecipients || p.Error.Code == fault.OutOfOrderCode
	if badSequence && v.HasRulesOutOfOrder(p.Stage) || v.HasRulesForErrors(p.Stage) {
		o := c.Describe(p.Stage, true)
		o.OutOfOrder, o.BadSequence, o.Error = true, badSequence, p.Error
		return o
	}
	return nil
}

// orElse puts the protocol error in the place of what no rule has changed.
func orElse(d *fault.Decision, p Point) {
	if p.Error == nil {
		return
	}
	switch {
	case d.Cause != fault.CauseRule:
		*d = fault.Decision{Cause: fault.CauseProtocol, Reply: p.Error}
	case d.Reply == nil && d.Rule.Match.Wrong():
		d.Reply = p.Error
	}
}

// opensBody reports whether a rule at DATA may let a body begin.
func opensBody(r *fault.Rule) bool {
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; o.Code.Class() == 3 && o.Written {
			return true
		}
	}
	return false
}

// refusing returns the first limit that the occurrence is beyond, or nil: then all have counted it. Those before one that refuses get back
// what they have counted, and those after it are not asked.
func refusing(limits []*fault.Limit, o *fault.Occurrence, c Connection) *fault.Limit {
	for i, l := range limits {
		if !l.Applies(o) || c.Admit(l, o) {
			continue
		}
		for _, before := range limits[:i] {
			if before.Applies(o) {
				c.Return(before, o)
			}
		}
		return l
	}
	return nil
}
