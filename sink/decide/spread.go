package decide

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Share is a decision that Decide may return, and its probability.
type Share struct {
	fault.Decision // its Rule is also that of a treatment
	Probability    float64
}

// Spread returns every decision that Decide may return for the occurrence, over all keys that it could be drawn by: the limits are asked and
// counted as by Decide, and of the rules no outcome is drawn. Delays are left out. The probabilities add up to 1.
func Spread(v *fault.View, p Point, c Connection) []Share {
	var d fault.Decision
	o, treated, open := before(&d, v, p, c)
	var r *fault.Rule
	share, cause := 1.0, fault.CauseRule
	switch {
	case treated.rule != nil:
		r, cause, d.Reaction = treated.rule, fault.CauseReact, treated.reaction
	case open:
		r, share = v.Odds(o)
	default:
		return []Share{{d, 1}}
	}
	var all []Share
	if share < 1 {
		all = append(all, Share{Probability: 1 - share})
	}
	for i := 0; share > 0 && i < len(r.Outcomes); i++ {
		outcome := &r.Outcomes[i]
		if outcome.Probability == 0 {
			continue
		}
		all = append(all, Share{
			Decision:    fault.Decision{Cause: cause, Reaction: d.Reaction, Rule: r, Outcome: int32(i), Chosen: outcome, Reply: outcome.Reply}, // #nosec G115 -- a rule has few outcomes
			Probability: share * outcome.Probability,
		})
	}
	for i := range all {
		orElse(&all[i].Decision, p)
	}
	return all
}
