package fault

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Plan is an immutable, validated list of rules. It may be shared by any number of goroutines; the zero value and a plan without
// rules give every stage its plain reply.
type Plan struct {
	name, description string
	seed              uint64
	rules             []*Rule
	needs             Needs
	stages            [smtp.NumStages]stageIndex
}

// NewPlan checks a spec and makes it a plan. Errors are *SpecError. The plan keeps the slices of the spec, which must not be
// changed afterwards.
func NewPlan(spec PlanSpec) (*Plan, error) {
	p := &Plan{name: spec.Name, description: spec.Description, seed: spec.Seed}
	names := map[string]int{}
	for i := range spec.Rules {
		r, field, err := newRule(&spec.Rules[i])
		if err != nil {
			return nil, &SpecError{Rule: i, Name: spec.Rules[i].Name, Field: field, Err: err}
		}
		if r.Index = i; r.Name == "" {
			r.Name = fmt.Sprintf("rule %d", i+1)
		}
		if first, taken := names[r.Name]; taken {
			return nil, &SpecError{Rule: i, Name: r.Name, Field: "name", Err: fmt.Errorf("name is taken by rule %d", first+1)}
		}
		names[r.Name] = i
		p.rules = append(p.rules, r)
		p.needs = p.needs.or(r.Needs())
		p.stages[r.Stage].add(r)
	}
	return p, nil
}

// Name returns the plan's name; empty when it has none.
func (p *Plan) Name() string { return p.name }

// Description returns the plan's description; empty when it has none.
func (p *Plan) Description() string { return p.description }

// Seed returns the seed of the plan's draws.
func (p *Plan) Seed() uint64 { return p.seed }

// Needs returns the shared counters that the plan's rules draw or match on.
func (p *Plan) Needs() Needs { return p.needs }

// Rules returns the rules in file order; Rule.Index is the position. The slice is the plan's and must not be changed.
func (p *Plan) Rules() []*Rule { return p.rules }

// At returns the rules of one stage in file order. The slice is the plan's and must not be changed.
func (p *Plan) At(s smtp.Stage) []*Rule { return p.stages[s].rules }

// Decide returns the decision of the first rule that matches the occurrence, or the plain reply. It does not allocate for
// addresses of usual length, and is safe for concurrent use.
func (p *Plan) Decide(o *Occurrence) Decision {
	stage := &p.stages[o.Stage]
	if len(stage.rules) == 0 {
		return Decision{}
	}
	if r := stage.find(o); r != nil {
		return r.decide(p.seed, o)
	}
	return Decision{}
}
