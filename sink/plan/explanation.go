package plan

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Explanation is what Explain says of a plan in figures, for programs.
type Explanation struct {
	Plan     string   `json:"plan"`
	File     string   `json:"file"`
	SHA256   string   `json:"sha256"`
	Seed     uint64   `json:"seed"`
	Periods  []Period `json:"periods"`  // the phases, and the time outside of them
	Replay   []string `json:"replay"`   // what breaks it, a line each
	Warnings []string `json:"warnings"` // what looks like a mistake, a line each
	Keeps    []string `json:"keeps"`    // what the sink has to remember, a line each: its memory is bounded
}

// Period is a phase, or the time outside of phases.
type Period struct {
	Phase    string  `json:"phase,omitempty"` // empty: outside of phases
	Duration float64 `json:"duration_s,omitempty"`
	Times    int     `json:"times,omitempty"` // how often the phase happens
	Mail     []Mail  `json:"mail"`            // by the conditions that rules have
}

// Mail is what one kind of mail meets at its first attempt; see Explain for what the chances leave out.
type Mail struct {
	Mail    string                        `json:"mail"`              // in words
	At      string                        `json:"at,omitempty"`      // in a phase with a ramp: beginning or end
	Replies map[string]map[string]float64 `json:"replies,omitempty"` // by stage and code, "no reply" among them: the share; stages without any give their plain reply
	Chances []Chance                      `json:"chances"`
}

// Chance is the compounded chance of a message.
type Chance struct {
	Recipients int     `json:"recipients"`
	Accepted   float64 `json:"accepted"` // for all recipients
	Deferred   float64 `json:"deferred"`
	Bounced    float64 `json:"bounced"` // for at least one
}

// NewExplanation computes what Explain writes.
func NewExplanation(f *File, serving Serving) *Explanation {
	e := explainer{plan: f.Plan, serving: serving}
	o := &Explanation{
		Plan: f.Plan.Name(), File: f.Name, SHA256: f.SHA256, Seed: f.Plan.Seed(),
		Replay: append([]string{}, e.replay()...), Warnings: append([]string{}, e.warnings()...), Keeps: append([]string{}, keeps(f.Plan)...),
	}
	for _, phase := range f.Plan.Phases() {
		o.Periods = append(o.Periods, Period{Phase: phase.Name, Duration: phase.Duration.Seconds(), Times: phase.Times, Mail: e.mail(phase)})
	}
	o.Periods = append(o.Periods, Period{Mail: e.mail(nil)})
	return o
}

func (e *explainer) mail(phase *fault.Phase) (all []Mail) {
	for _, t := range allTraffic(e.plan, e.serving, phase) {
		m := Mail{Mail: t.mail(), At: t.when, Replies: map[string]map[string]float64{}}
		for s := range smtp.Stage(smtp.NumStages) {
			if odds := t.odds(s); odds != nil {
				m.Replies[s.String()] = odds
			}
		}
		for i, c := range t.of(recipientCounts[:]...) {
			m.Chances = append(m.Chances, Chance{Recipients: recipientCounts[i], Accepted: c.accepted, Deferred: c.deferred, Bounced: c.bounced})
		}
		all = append(all, m)
	}
	return all
}
