package fault

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// Short ways of the tests, to what a plan does outside of its phases.

func (p *Plan) Decide(o *Occurrence) Decision { return p.base.Decide(o) }
func (p *Plan) Limits(s smtp.Stage) []*Limit  { return p.base.Limits(s) }
func (p *Plan) At(s smtp.Stage) []*Rule       { return p.stages.inOrder[s].rules }
func (r *Rule) Probabilities() (shares []float64) {
	for i := range r.Outcomes {
		shares = append(shares, r.Outcomes[i].Probability)
	}
	return shares
}
