package fault

import (
	"math"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// View is a plan at a time: the plan's own rules and limits, and those of the phase in force. It is immutable and shared; a
// transaction keeps its view from MAIL to its end. A nil View, and one of a plan without rules, gives every stage its plain reply.
type View struct {
	plan      *Plan
	phase     *Phase // nil: before, after or without a storm
	below     uint64 // the phase's rules apply where the draw is below, or
	always    bool   // everywhere
	limits    *[smtp.NumStages][]*Limit
	listeners map[string]ListenerFault
}

// View returns the plan at now, as Timeline.View does.
func (p *Plan) View(now, start time.Time) *View { return p.timeline.View(now, start) }

// Timeline returns the order of the plan's phases.
func (p *Plan) Timeline() *Timeline { return &p.timeline }

// StormStart returns when the plan's storm begins: loaded is when the plan came into force, first when the first connection was
// accepted, or the zero time. The result is the zero time when that is not known yet, or when the plan has no phases.
func (p *Plan) StormStart(loaded, first time.Time) time.Time {
	switch {
	case p.timeline.Len() == 0:
		return time.Time{}
	case p.start.Kind == StartFirstConnection:
		return first
	case p.start.At.IsZero():
		return loaded
	}
	return p.start.At
}

// NextChange returns when a phase begins or ends next, as Timeline.NextChange does.
func (p *Plan) NextChange(now, start time.Time) time.Time { return p.timeline.NextChange(now, start) }

// Plan returns the plan; nil for a nil View.
func (v *View) Plan() *Plan {
	if v == nil {
		return nil
	}
	return v.plan
}

// Phase returns the phase in force; nil before, after and without a storm.
func (v *View) Phase() *Phase {
	if v == nil {
		return nil
	}
	return v.phase
}

// PhaseName returns the name of the phase in force; empty before, after and without a storm.
func (v *View) PhaseName() string {
	if v == nil || v.phase == nil {
		return ""
	}
	return v.phase.Name
}

// Needs returns the shared counters and headers that the whole plan needs, whatever the phase: an ordinal that is counted in some
// phases only would not be one.
func (v *View) Needs() Needs {
	if v == nil || v.plan == nil {
		return Needs{}
	}
	return v.plan.needs
}

// Silent reports whether neither a limit nor a rule can decide at the stage: the reply is plain.
func (v *View) Silent(s smtp.Stage) bool {
	return v == nil || v.plan == nil || (v.limits == nil || len(v.limits[s]) == 0) && !v.hasRules(s, false)
}

// HasRules reports whether any rule may speak at the stage. Where none can, Decide needs no Occurrence.
func (v *View) HasRules(s smtp.Stage) bool { return v.hasRules(s, false) }

// HasRulesOutOfOrder reports the same for commands out of order.
func (v *View) HasRulesOutOfOrder(s smtp.Stage) bool { return v.hasRules(s, true) }

func (v *View) hasRules(s smtp.Stage, outOfOrder bool) bool {
	return v != nil && v.plan != nil && len(v.plan.rules) > 0 &&
		(len(v.plan.stages.of(s, outOfOrder).rules) > 0 || v.phase != nil && len(v.phase.stages.of(s, outOfOrder).rules) > 0)
}

// Limits returns the limits to ask at the stage, in order; the first that refuses decides. The slice is the plan's and must not
// be changed.
func (v *View) Limits(s smtp.Stage) []*Limit {
	if v == nil || v.limits == nil {
		return nil
	}
	return v.limits[s]
}

// ListenerFault returns what is wrong with a listener.
func (v *View) ListenerFault(name string) ListenerFault {
	if v == nil {
		return ListenerUp
	}
	fault, own := v.listeners[name]
	if !own {
		fault = v.listeners[AllListeners]
	}
	return fault
}

// Decide returns the decision of the first rule that matches the occurrence, the plan's own before the phase's, or the plain
// reply. It does not allocate for addresses of usual length, and is safe for concurrent use.
func (v *View) Decide(o *Occurrence) Decision {
	if r := v.Rule(o); r != nil {
		return r.decide(v.plan.seed, o)
	}
	return Decision{}
}

// Rule returns the rule that decides the occurrence, or nil.
func (v *View) Rule(o *Occurrence) *Rule {
	if r, certain := v.candidate(o); certain || r != nil && v.reaches(o) {
		return r
	}
	return nil
}

// Odds returns the rule that may decide the occurrence, and how probably it does: 1 but for a rule of a phase with a ramp. Otherwise the
// reply is plain. Without a rule they are nil and 0.
func (v *View) Odds(o *Occurrence) (*Rule, float64) {
	switch r, certain := v.candidate(o); {
	case r == nil:
		return nil, 0
	case certain:
		return r, 1
	default:
		return r, math.Ldexp(float64(v.below), -64)
	}
}

// candidate returns the first rule that matches, and whether it speaks whatever is drawn for the ramp of its phase.
func (v *View) candidate(o *Occurrence) (r *Rule, certain bool) {
	if v == nil || v.plan == nil {
		return nil, false
	}
	if stage := v.plan.stages.of(o.Stage, o.OutOfOrder); len(stage.rules) > 0 {
		if r := stage.find(o); r != nil {
			return r, true
		}
	}
	if v.phase == nil {
		return nil, false
	}
	if stage := v.phase.stages.of(o.Stage, o.OutOfOrder); len(stage.rules) > 0 {
		return stage.find(o), v.always
	}
	return nil, false
}

// reaches draws whether the phase's rules apply to the occurrence.
func (v *View) reaches(o *Occurrence) bool {
	var space [400]byte
	return Draw(v.plan.seed, o.Stage, PurposeRamp, AppendKey(space[:0], KeyAttempt, o)) < v.below
}

// FaultyListeners returns the names of the listeners with a fault, sorted; AllListeners stands for the others.
func (v *View) FaultyListeners() []string {
	if v == nil {
		return nil
	}
	return slices.DeleteFunc(sortedKeys(v.listeners), func(name string) bool { return v.listeners[name] == ListenerUp })
}

// Reaching returns the plan in this phase while its rules apply to a share of the occurrences, 0 to 1, whatever its ramp says.
func (p *Phase) Reaching(share float64) *View {
	v := p.views[0]
	v.below, v.always = threshold(share)
	return &v
}

// View returns the plan in this phase at a share of its duration that has passed, 0 to 1.
func (p *Phase) View(passed float64) *View {
	return &p.views[min(int(passed*float64(len(p.views))), len(p.views)-1)]
}
