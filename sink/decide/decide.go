// Package decide says what a sink answers: the decision on one occurrence of a stage as a value.
//
// In this order somebody decides: a protocol error (and, of a command out of order, the rules for those), the limits of the plan in file
// order until one refuses, what a tester asks for by an address or a header or for the next occurrences, the rules of the plan, and otherwise the plain reply. Decide is
// the only place that knows this order: the session asks it at every stage, and Spread, which smtpsink check computes its chances from, is
// the same chain with all outcomes of the last step in place of the drawn one.
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
	// Error is the reply to a protocol error; nil when there is none. Only rules for commands out of order can change it, and only when it
	// says that the command is out of order.
	Error *smtp.Reply
	// NoRecipients says that the error is a DATA for which no recipient was accepted: such a command is out of order whatever its code, and
	// a rule that lets the body begin speaks nevertheless, so that its odds hold.
	NoRecipients bool
	// Switch is what a tester asks for; nil when nothing.
	Switch *fault.Switch
	// Next says that an outcome that was asked for from outside may wait at the stage.
	Next bool
}

// Connection is what Decide asks about the connection on which the stage occurs. It is asked only what matters: the plain path asks nothing.
type Connection interface {
	// Describe tells what is known at the stage. The result is valid until the next call. outOfOrder means that it is for the rules of
	// commands out of order.
	Describe(s smtp.Stage, outOfOrder bool) *fault.Occurrence
	// Admit counts the occurrence and reports whether it is within the limit. It is asked only for those whom the limit is for.
	Admit(l *fault.Limit, o *fault.Occurrence) bool
	// Return takes back what Admit has counted of an occurrence that another limit refuses. A greylist keeps what it has seen.
	Return(l *fault.Limit, o *fault.Occurrence)
	// Next takes one of the outcomes that were asked for from outside, if one waits for this occurrence. It is asked only where Point.Next
	// says so.
	Next(o *fault.Occurrence) (fault.Decision, bool)
}

// Decide decides, and puts the decision into d. A nil Reply there means the stage's plain one, which is the session's to word, see
// fault.Plain.
func Decide(d *fault.Decision, v *fault.View, p Point, c Connection) {
	*d = fault.Decision{}
	if p.Error == nil && p.Switch == nil && !p.Next && v.Silent(p.Stage) {
		return
	}
	if o := before(d, v, p, c); o != nil {
		*d = v.Decide(o)
		orElse(d, p)
	}
}

// before asks everybody but the rules. It decides, or returns the occurrence that the rules are to be asked about; d is zero before.
func before(d *fault.Decision, v *fault.View, p Point, c Connection) *fault.Occurrence {
	if p.Error != nil {
		d.Cause, d.Reply = fault.CauseProtocol, p.Error
		return beyondError(v, p, c)
	}
	limits := v.Limits(p.Stage)
	o := c.Describe(p.Stage, false)
	o.Asked = len(limits)
	if len(limits) > 0 {
		if l := refusing(limits, o, c); l != nil {
			*d = l.Decision()
			return nil
		}
	}
	if p.Switch != nil {
		*d = p.Switch.Decide(v, o)
		return nil
	}
	if p.Next {
		if next, ok := c.Next(o); ok {
			*d = next
			return nil
		}
	}
	return o
}

// beyondError returns the occurrence that rules may speak about in spite of a protocol error, or nil.
func beyondError(v *fault.View, p Point, c Connection) *fault.Occurrence {
	if p.NoRecipients && v.HasRules(p.Stage) {
		o := c.Describe(p.Stage, false)
		if r := v.Rule(o); r != nil && opensBody(r) {
			return o
		}
	}
	if (p.NoRecipients || p.Error.Code == fault.OutOfOrderCode) && v.HasRulesOutOfOrder(p.Stage) {
		o := c.Describe(p.Stage, true)
		o.OutOfOrder = true
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
	case d.Reply == nil && d.Rule.Match.OutOfOrder:
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
