package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// zeroTime is before every storm.
var zeroTime time.Time

// replay returns what keeps a second run from meeting the outcomes of the first.
func (e *explainer) replay() (lines []string) {
	for _, l := range e.plan.AllLimits() {
		if l.Kind != fault.LimitSize || l.Phase != "" { // a message keeps its size
			lines = append(lines, fmt.Sprintf("limit %q breaks it: what it counts depends on time and order", l.Name))
		}
	}
	lines = append(lines, e.reactionReplay()...)
	for _, r := range e.plan.Rules() {
		if reasons := replayReasons(r); len(reasons) > 0 {
			lines = append(lines, fmt.Sprintf("rule %q breaks it: %s", r.Name, strings.Join(reasons, "; ")))
		}
	}
	for _, p := range e.plan.Phases() {
		if len(p.Rules) == 0 && len(p.Limits) == 0 {
			lines = append(lines, fmt.Sprintf("phase %q comes and goes by the clock", p.Name))
		}
	}
	return lines
}

func replayReasons(r *fault.Rule) (reasons []string) {
	if r.Phase != "" {
		reasons = append(reasons, fmt.Sprintf("phase %q comes and goes by the clock", r.Phase))
	}
	needs := r.Needs()
	switch {
	case !r.Match.Connections.IsZero():
		reasons = append(reasons, "it asks for the client's n-th connection")
	case r.Draws() && needs.Connections:
		reasons = append(reasons, "it draws by the client's n-th connection")
	case r.Draws() && needs.Mails:
		reasons = append(reasons, "it draws by the sender's n-th MAIL (it holds where every message has a sender of its own)")
	}
	if slices.ContainsFunc(matchesOf(r), func(m *fault.Match) bool { return len(m.Times) > 0 }) {
		reasons = append(reasons, "it asks for the time of day")
	}
	if !r.Match.Messages.IsZero() {
		reasons = append(reasons, "it asks for the n-th message of a connection")
	}
	if !r.Match.Turns.IsZero() {
		reasons = append(reasons, "it asks for the n-th reply of a connection")
	}
	return reasons
}

// warnings returns what is valid, and probably a mistake.
func (e *explainer) warnings() (lines []string) {
	deciding := map[stagePhase]*fault.Rule{} // the first for everybody
	for _, r := range e.plan.Rules() {
		lines = append(lines, oddCodes(r)...)
		hides := deciding[stagePhase{r.Stage, "", r.Match.OutOfOrder, len(r.Match.Errors) > 0}]
		if hides == nil {
			hides = deciding[stagePhase{r.Stage, r.Phase, r.Match.OutOfOrder, len(r.Match.Errors) > 0}]
		}
		if hides != nil {
			lines = append(lines, fmt.Sprintf("rule %q never speaks: %q before it speaks for everybody", r.Name, hides.Name))
		} else if r.ForEverybody() {
			deciding[stagePhase{r.Stage, r.Phase, r.Match.OutOfOrder, len(r.Match.Errors) > 0}] = r
		}
	}
	for _, l := range e.plan.AllLimits() {
		if !fault.Allowed(l.Stage, l.Reply.Code) {
			lines = append(lines, fmt.Sprintf("limit %q: the RFCs don't allow %d at %v", l.Name, l.Reply.Code, l.Stage))
		}
	}
	lines = append(lines, e.unmetPregreets()...)
	lines = append(lines, e.longReplies()...)
	lines = append(lines, e.reactionWarnings()...)
	if f := e.firstFault(); f != fault.ListenerUp {
		lines = append(lines, fmt.Sprintf("the storm waits for a first connection, but every listener is %v until then", f))
	}
	for s := range smtp.NumStages {
		lines = append(lines, e.refusesDSNs(smtp.Stage(s))...)
	}
	return lines
}

// unmetPregreets warns of rules for clients that talk before the greeting, where no greeting is ever held back.
func (e *explainer) unmetPregreets() (lines []string) {
	held := slices.ContainsFunc(e.plan.Rules(), func(r *fault.Rule) bool {
		return r.Stage == smtp.StageConnect && slices.ContainsFunc(r.Outcomes, func(o fault.Outcome) bool { return !o.Delay.IsZero() })
	})
	for _, r := range e.plan.Rules() {
		if r.Stage == smtp.StagePregreet && !held {
			lines = append(lines, fmt.Sprintf("rule %q never speaks: no greeting is held back (want a rule at connect with a delay)", r.Name))
		}
	}
	return lines
}

// oddCodes warns of the codes of a rule that the RFCs don't allow at its stage.
func oddCodes(r *fault.Rule) (lines []string) {
	var odd []string
	for j := range r.Outcomes {
		if o := &r.Outcomes[j]; o.Reply != nil && !fault.Allowed(r.Stage, o.Code) {
			odd = append(odd, fmt.Sprint(uint16(o.Code)))
		}
	}
	if len(odd) > 0 {
		lines = append(lines, fmt.Sprintf("rule %q: the RFCs don't allow %s at %v", r.Name, strings.Join(odd, " "), r.Stage))
	}
	return lines
}

// stagePhase is a stage within a phase, or outside of phases, for commands that are in order, for those that are not, or for those with an error.
type stagePhase struct {
	stage      smtp.Stage
	phase      string
	outOfOrder bool
	wrong      bool
}

// firstFault returns the fault of all listeners before a storm that starts by the first connection.
func (e *explainer) firstFault() fault.ListenerFault {
	if len(e.plan.Phases()) == 0 || e.plan.Start().Kind != fault.StartFirstConnection {
		return fault.ListenerUp
	}
	f := e.plan.View(zeroTime, zeroTime).ListenerFault(fault.AllListeners)
	if f == fault.ListenerNoBanner { // connections are accepted
		return fault.ListenerUp
	}
	return f
}

// isNullSender reports whether the match names the null sender, and no recipient that it depends on.
func isNullSender(m fault.Match) bool {
	return len(m.Senders) == 1 && m.Senders[0] == "<>" && len(m.Recipients) == 0
}

// refusesDSNs warns of rules from MAIL on that the null sender meets: bounces would be lost with the mail.
func (e *explainer) refusesDSNs(s smtp.Stage) (lines []string) {
	switch s {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage:
	default:
		return nil
	}
	for _, r := range e.plan.Rules() {
		if r.Stage != s || r.Match.Wrong() {
			continue
		}
		if isNullSender(r.Match) && len(r.Except) == 0 {
			return nil
		}
		if slices.ContainsFunc(r.Except, isNullSender) {
			continue
		}
		refuses := false
		for i := range r.Outcomes {
			d := fault.Decision{Chosen: &r.Outcomes[i], Reply: r.Outcomes[i].Reply}
			refuses = refuses || effectOf(s, &d, false) != passes && r.Outcomes[i].Probability > 0
		}
		if refuses && len(r.Match.Senders) == 0 {
			return []string{fmt.Sprintf("rule %q speaks to the null sender too: DSNs may not come home", r.Name)}
		}
	}
	return nil
}
