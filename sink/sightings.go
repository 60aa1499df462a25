package sink

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// sightedGreylist is a greylist as it is asked for the RCPT commands of a ledger.
type sightedGreylist struct {
	limit    *fault.Limit
	reaction *fault.Reaction // whose treatment it is of; nil: the plan's own, or a phase's
}

// sighted returns what takes the RCPT commands of a ledger into the greylists of the plan: into each that was asked. Those of treatments were
// asked while the standing held, which is taken to be as the rows before have left it.
func (s *Server) sighted(plan *fault.Plan, standings *state.Restoring) func(*event.Attempt) {
	var greylists []sightedGreylist
	refusals := map[string]int{}  // cause -> index of the limit that refused
	reactions := map[string]int{} // cause -> index of the reaction that decided
	if plan != nil {
		for _, l := range plan.AllLimits() {
			refusals[fmt.Sprintf("%v:%s", fault.CauseLimit, l.Name)] = l.Index
			if l.Kind == fault.LimitGreylist {
				greylists = append(greylists, sightedGreylist{l.Recalled(), nil})
			}
		}
		for _, r := range plan.Reactions() {
			reactions[fmt.Sprintf("%v:%s", fault.CauseReact, r.Name)] = r.Index
			for _, l := range r.Limits {
				if l.Kind == fault.LimitGreylist {
					greylists = append(greylists, sightedGreylist{l.Recalled(), r})
				}
			}
		}
	}
	return func(a *event.Attempt) {
		refused, limited := refusals[a.Cause]
		decided, reacted := reactions[a.Cause]
		limited, reacted = limited && a.Stage == smtp.StageRcpt, reacted && a.Stage == smtp.StageRcpt
		o := fault.Occurrence{
			Stage: smtp.StageRcpt, Listener: a.Listener, Client: a.Client.Addr(),
			Sender: a.Sender, MessageN: a.Message, Recipient: a.Recipient, RcptN: a.N, Time: a.Time,
		}
		for i := range greylists {
			g := &greylists[i]
			l := g.limit
			switch r := g.reaction; {
			case r == nil && (reacted || limited && l.Index > refused): // somebody before it has decided
				continue
			case r == nil && l.Phase != "" && l.Phase != a.Phase:
				continue
			case r != nil && (reacted && r.Index > decided || !standings.Held(a.Time, r, &o)):
				continue
			}
			if l.Applies(&o) {
				s.limits.Sighted(a.Time, l, &o)
			}
		}
	}
}
