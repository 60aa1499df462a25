package decide

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Share is a decision that Decide may return, and its probability.
type Share struct {
	fault.Decision
	Probability float64
}

// Spread returns every decision that Decide may return for the occurrence, over all keys that it could be drawn by: the limits are asked and
// counted as by Decide, and of the rules no outcome is drawn. Delays are left out. The probabilities add up to 1.
func Spread(v *fault.View, p Point, c Connection) []Share {
	var d fault.Decision
	o := before(&d, v, p, c)
	if o == nil {
		return []Share{{d, 1}}
	}
	r, share := v.Odds(o)
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
			Decision:    fault.Decision{Cause: fault.CauseRule, Rule: r, Outcome: int32(i), Chosen: outcome, Reply: outcome.Reply}, // #nosec G115 -- a rule has few outcomes
			Probability: share * outcome.Probability,
		})
	}
	for i := range all {
		orElse(&all[i].Decision, p)
	}
	return all
}
