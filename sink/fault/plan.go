package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Plan is an immutable, validated set of listeners, limits, rules and phases. It may be shared by any number of goroutines; the
// zero value and a plan without rules give every stage its plain reply.
type Plan struct {
	name, description string
	seed              uint64
	start             Start
	restart           bool
	listeners         []Listener
	rules             []*Rule  // of the plan, then of the phases
	limits            []*Limit // of the plan, then of the phases
	concurrency       []*Limit // those of open connections among them
	own               int      // how many of the rules are the plan's
	needs             Needs
	parameters        map[string]bool              // keywords of MAIL parameters that rules ask for, in lower case
	plain             *[smtp.NumStages]*smtp.Reply // own words of plain replies; nil: none
	stages            ruleIndex                    // of the plan's own rules
	phases            []*Phase                     // distinct
	timeline          Timeline
	reactions         []*Reaction
	groups            []*KeyGroup                      // of them
	reacting          *[smtp.NumStages]*StageReactions // nil without any
	base              View                             // outside of the storm
}

// NewPlan checks a spec and makes it a plan. Errors are *SpecError. The plan keeps the slices of the spec, which must not be
// changed afterwards.
func NewPlan(spec PlanSpec) (*Plan, error) {
	p := &Plan{name: spec.Name, description: spec.Description, seed: spec.Seed, start: spec.Start, restart: spec.Restart}
	c := planCompiler{plan: p, declared: map[string]int{}, rules: map[string]string{}, limits: map[string]string{}, phases: map[string]string{}, reactions: map[string]*Reaction{}}
	if err := c.listeners(spec.Listeners); err != nil {
		return nil, err
	}
	if err := p.plainWords(spec.Plain); err != nil {
		return nil, err
	}
	faults, err := listenerFaultsOf(spec.ListenerFaults, c.declared)
	if err != nil {
		return nil, &SpecError{Path: "listener_faults", Err: err}
	}
	if err := c.reactionsOf(spec.Reactions); err != nil {
		return nil, err
	}
	limits, err := c.limitsOf(spec.Limits, "", "limits")
	if err != nil {
		return nil, err
	}
	rules, err := c.rulesOf(spec.Rules, "", "rules", &p.stages)
	if err != nil {
		return nil, err
	}
	p.own = len(rules)
	p.base = View{plan: p, limits: byStage(limits), listeners: faults}
	p.timeline.base = &p.base
	if err := c.storm(spec.Phases); err != nil {
		return nil, err
	}
	if err := c.treatments(spec.Reactions); err != nil {
		return nil, err
	}
	if spec.Start != (Start{}) && p.timeline.Len() == 0 {
		return nil, &SpecError{Path: "start", Err: fmt.Errorf("there are no phases that it could start")}
	}
	return p, nil
}

// Name returns the plan's name; empty when it has none.
func (p *Plan) Name() string { return p.name }

// Description returns the plan's description; empty when it has none.
func (p *Plan) Description() string { return p.description }

// Seed returns the seed of the plan's draws; 0 of a nil plan.
func (p *Plan) Seed() uint64 {
	if p == nil {
		return 0
	}
	return p.seed
}

// Start returns what starts the storm.
func (p *Plan) Start() Start { return p.start }

// Restart reports whether the storm starts anew when this plan replaces another; otherwise its clock goes on.
func (p *Plan) Restart() bool { return p.restart }

// Listeners returns the declared listeners; none when the server's own configuration decides. The slice is the plan's and must
// not be changed.
func (p *Plan) Listeners() []Listener { return p.listeners }

// Phases returns the distinct phases in file order; Phase.Index is the position. The slice is the plan's and must not be changed.
func (p *Plan) Phases() []*Phase { return p.phases }

// Needs returns the shared counters and headers that any rule or limit of the plan draws or matches on.
func (p *Plan) Needs() Needs { return p.needs }

// Rules returns all rules in file order, the plan's own before those of its phases; Rule.Index is the position. The slice is the
// plan's and must not be changed.
func (p *Plan) Rules() []*Rule { return p.rules }

// OwnRules returns the rules that apply in every phase. The slice is the plan's and must not be changed.
func (p *Plan) OwnRules() []*Rule { return p.rules[:p.own:p.own] }

// AllLimits returns all limits in file order, the plan's own before those of its phases; Limit.Index is the position. The slice is
// the plan's and must not be changed.
func (p *Plan) AllLimits() []*Limit { return p.limits }

// Concurrency returns the limits of open connections of the plan and of all its phases. The slice is the plan's and must not be changed.
// A nil plan has none.
func (p *Plan) Concurrency() []*Limit {
	if p == nil {
		return nil
	}
	return p.concurrency
}

// planCompiler holds what the checks of a plan share: which names are taken, and where.
type planCompiler struct {
	plan                  *Plan
	declared              map[string]int // listeners, by name
	implicitTLS           bool           // some declared listener has it
	rules, limits, phases map[string]string
	reactions             map[string]*Reaction
	treating              *Reaction              // whose treatment is compiled; nil: none
	asked                 [smtp.NumStages]uint64 // reactions that rules and limits of the stage match on
	ruleCount             int                    // of the plan and its phases
	early                 []*Limit               // greylists that reactions ask for
}

func (c *planCompiler) listeners(listeners []Listener) error {
	addresses := map[string]string{}
	for i := range listeners {
		l := &listeners[i]
		path := fmt.Sprintf("listeners[%d]", i)
		if field, err := l.validate(); err != nil {
			return &SpecError{Path: path, Name: l.Name, Field: field, Err: err}
		}
		if first, taken := c.declared[l.Name]; taken {
			return &SpecError{Path: path, Name: l.Name, Field: "name", Err: fmt.Errorf("name is taken by listener %d", first+1)}
		}
		if other, taken := addresses[l.Address]; taken && !anyPort(l.Address) {
			return &SpecError{Path: path, Name: l.Name, Field: "address", Err: fmt.Errorf("address is taken by listener %q", other)}
		}
		c.declared[l.Name], addresses[l.Address] = i, l.Name
		c.implicitTLS = c.implicitTLS || l.ImplicitTLS
	}
	c.plan.listeners = slices.Clone(listeners)
	return nil
}

// rulesOf adds the rules of the plan or of a phase.
func (c *planCompiler) rulesOf(specs []RuleSpec, phase, path string, stages *ruleIndex) ([]*Rule, error) {
	p := c.plan
	var rules []*Rule
	for i := range specs {
		fail := func(field string, err error) error {
			return &SpecError{Path: fmt.Sprintf("%s[%d]", path, i), Rule: i, Name: specs[i].Name, Field: field, Err: err}
		}
		each, field, err := c.eachStage(&specs[i])
		if err != nil {
			return nil, fail(field, err)
		}
		c.ruleCount++
		name, where := specs[i].Name, fmt.Sprintf("rule %d", c.ruleCount)
		if c.treating != nil {
			c.ruleCount-- // the numbers are those of the plan's rules
			where = fmt.Sprintf("rule %d of reaction %q", i+1, c.treating.Name)
		}
		if name == "" {
			name = where
		}
		if first, taken := c.rules[name]; taken {
			err := fmt.Errorf("name is taken by %s", first)
			return nil, &SpecError{Path: fmt.Sprintf("%s[%d]", path, i), Rule: i, Name: name, Field: "name", Err: err}
		}
		c.rules[name] = where
		for _, r := range each {
			r.Index, r.Phase, r.Name = -1, phase, name
			if c.treating == nil {
				r.Index = len(p.rules)
				p.rules = append(p.rules, r)
			}
			r.id = r.identify()
			p.needs = p.needs.or(r.Needs())
			p.knowParameters(&r.Match)
			stages.of(r.Stage, r.Match.Wrong()).add(r)
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// eachStage makes a rule for each stage that a spec speaks at.
func (c *planCompiler) eachStage(spec *RuleSpec) (rules []*Rule, field string, err error) {
	first := error(nil)
	for _, s := range spec.stages() {
		one := *spec
		one.Stage, one.Stages, one.AnyStage, one.treated = s, nil, false, c.treating != nil
		r, f, err := newRule(&one)
		if err == nil {
			if c.treating != nil {
				r.levelOf = c.treating.Index
			}
			f, err = c.checkRule(r)
		}
		switch {
		case err == nil:
			rules = append(rules, r)
		case !spec.AnyStage:
			return nil, f, err
		case first == nil:
			field, first = f, err
		}
	}
	if rules == nil {
		return nil, field, first
	}
	return rules, "", nil
}

// settle gives the conditions of a rule or a limit what they can't know alone: the plan's reactions.
func (c *planCompiler) settle(stage smtp.Stage, m *matcher, match *Match, x exceptions, except []Match) (field string, err error) {
	if field, err := c.settleMatch(stage, m, match); err != nil {
		return "match." + field, err
	}
	for i := range x {
		if field, err := c.settleMatch(stage, &x[i], &except[i]); err != nil {
			return fmt.Sprintf("except[%d].%s", i, field), err
		}
	}
	return "", nil
}

func (c *planCompiler) settleMatch(stage smtp.Stage, m *matcher, match *Match) (field string, err error) {
	if !match.Levels.IsZero() {
		if c.treating == nil {
			return "level", errLevel
		}
		m.levelOf = c.treating.Index
	}
	return "standing", c.resolveStandings(m, match, stage)
}

var errLevel = errors.New("there is no standing whose level it could be (valid within then of a reaction)")

// checkRule checks what a rule can't know alone: the plan's listeners.
func (c *planCompiler) checkRule(r *Rule) (field string, err error) {
	if field, err := c.checkMatches(&r.Match, r.Except); err != nil {
		return field, err
	}
	if field, err := c.settle(r.Stage, &r.matcher, &r.Match, r.excepted, r.Except); err != nil {
		return field, err
	}
	if r.Stage != smtp.StageConnect || len(c.declared) == 0 {
		return "", nil
	}
	for i := range r.Outcomes {
		if r.Outcomes[i].TLS != TLSNone && !c.meetsImplicitTLS(&r.Match) {
			return fmt.Sprintf("outcomes[%d].tls", i), fmt.Errorf("no listener that the rule matches has implicit TLS")
		}
	}
	return "", nil
}

func (c *planCompiler) meetsImplicitTLS(m *Match) bool {
	if len(m.Listeners) == 0 {
		return c.implicitTLS
	}
	return slices.ContainsFunc(m.Listeners, func(name string) bool { return c.plan.listeners[c.declared[name]].ImplicitTLS })
}

func (c *planCompiler) checkMatch(m *Match) error {
	for _, name := range m.Listeners {
		if err := checkListener(name, c.declared); err != nil {
			return err
		}
	}
	return nil
}

// checkMatches checks the listeners of a match and its exceptions.
func (c *planCompiler) checkMatches(m *Match, except []Match) (field string, err error) {
	if err := c.checkMatch(m); err != nil {
		return "match.listener", err
	}
	for i := range except {
		if err := c.checkMatch(&except[i]); err != nil {
			return fmt.Sprintf("except[%d].listener", i), err
		}
	}
	return "", nil
}

// limitsOf adds the limits of the plan or of a phase.
func (c *planCompiler) limitsOf(specs []LimitSpec, phase, path string) ([]*Limit, error) {
	var limits []*Limit
	for i := range specs {
		fail := func(field string, err error) error {
			return &SpecError{Path: fmt.Sprintf("%s[%d]", path, i), Name: specs[i].Name, Field: field, Err: err}
		}
		l, field, err := c.limit(&specs[i])
		if err != nil {
			return nil, fail(field, err)
		}
		if where, taken := c.limits[l.Name]; taken {
			return nil, fail("name", fmt.Errorf("name is taken by %s", where))
		}
		c.limits[l.Name] = fmt.Sprintf("%s[%d]", path, i)
		if l.Index, l.Phase = -1, phase; c.treating == nil {
			l.Index = len(c.plan.limits)
			c.plan.limits = append(c.plan.limits, l)
		}
		if l.Kind == LimitConcurrency && l.Stage == smtp.StageConnect {
			c.plan.concurrency = append(c.plan.concurrency, l)
		}
		c.plan.needs = c.plan.needs.or(l.Needs())
		c.plan.knowParameters(&l.Match)
		limits = append(limits, l)
	}
	return limits, nil
}

// limit makes a limit; within a treatment one that may depend on the level of the standing, and that counts for its key unless it says
// for whom.
func (c *planCompiler) limit(spec *LimitSpec) (l *Limit, field string, err error) {
	last := 1
	for _, g := range spec.growths() {
		switch {
		case g.growth.IsZero():
			continue
		case c.treating == nil:
			return nil, g.field, fmt.Errorf("%v goes by the level of a standing (valid within then of a reaction)", g.growth.Kind)
		case g.growth.validate() != nil:
			return nil, g.field, g.growth.validate()
		}
		last = max(last, g.growth.last())
	}
	var levels []*Limit
	for level := 1; level <= last; level++ {
		one := spec.at(level)
		if c.treating != nil && one.Scope == 0 && (one.Kind == LimitRate || one.Kind == LimitQuota || one.Kind == LimitConcurrency) {
			one.Scope = c.treating.Of
		}
		if l, field, err = newLimit(&one); err != nil {
			return nil, field, err
		}
		if field, err := c.checkMatches(&l.Match, l.Except); err != nil {
			return nil, field, err
		}
		if field, err := c.settle(l.Stage, &l.matcher, &l.Match, l.excepted, l.Except); err != nil {
			return nil, field, err
		}
		levels = append(levels, l)
	}
	if l = levels[0]; last > 1 {
		l.levels = levels
		for _, other := range levels[1:] {
			other.base = l
		}
	}
	return l, "", nil
}

// storm adds the phases and puts them in order.
func (c *planCompiler) storm(specs []PhaseSpec) error {
	for i := range specs {
		spec, path := &specs[i], fmt.Sprintf("phases[%d]", i)
		if field, err := spec.validate(false); err != nil {
			return &SpecError{Path: path, Name: spec.Name, Field: field, Err: err}
		}
		members := []*Phase{}
		if spec.Phases == nil {
			phase, err := c.phase(spec, path)
			if err != nil {
				return err
			}
			members = append(members, phase)
		}
		for j := range spec.Phases {
			memberPath := fmt.Sprintf("%s.phases[%d]", path, j)
			if field, err := spec.Phases[j].validate(true); err != nil {
				return &SpecError{Path: memberPath, Name: spec.Phases[j].Name, Field: field, Err: err}
			}
			phase, err := c.phase(&spec.Phases[j], memberPath)
			if err != nil {
				return err
			}
			for range max(spec.Phases[j].Repeat, 1) {
				members = append(members, phase)
			}
		}
		for range max(spec.Repeat, 1) {
			for _, phase := range members {
				if err := c.plan.timeline.append(phase); err != nil {
					return &SpecError{Path: path, Name: spec.Name, Field: "repeat", Err: err}
				}
			}
		}
	}
	return nil
}

func (c *planCompiler) phase(spec *PhaseSpec, path string) (*Phase, error) {
	fail := func(field string, err error) error {
		return &SpecError{Path: path, Name: spec.Name, Field: field, Err: err}
	}
	if where, taken := c.phases[spec.Name]; taken {
		return nil, fail("name", fmt.Errorf("name is taken by %s (to come back to a phase, repeat a group)", where))
	}
	c.phases[spec.Name] = path
	p := c.plan
	phase := &Phase{Index: len(p.phases), Name: spec.Name, Duration: spec.Duration, Ramp: spec.Ramp}
	own, err := listenerFaultsOf(spec.Listeners, c.declared)
	if err != nil {
		return nil, fail("listener_faults", err)
	}
	if phase.Limits, err = c.limitsOf(spec.Limits, spec.Name, path+".limits"); err != nil {
		return nil, err
	}
	if phase.Rules, err = c.rulesOf(spec.Rules, spec.Name, path+".rules", &phase.stages); err != nil {
		return nil, err
	}
	faults := map[string]ListenerFault{}
	maps.Copy(faults, p.base.listeners)
	maps.Copy(faults, own)
	limits := byStage(slices.Concat(p.ownLimits(), phase.Limits))
	steps := 1
	if phase.Ramp != nil {
		steps = rampSteps
		for _, r := range phase.Rules {
			p.needs = p.needs.or(r.keyNeeds(KeyAttempt))
		}
	}
	phase.views = make([]View, steps)
	for i := range phase.views {
		v := View{plan: p, phase: phase, always: true, limits: limits, listeners: faults}
		if phase.Ramp != nil {
			share := (float64(i) + 0.5) / rampSteps
			v.below, v.always = threshold(phase.Ramp.From + share*(phase.Ramp.To-phase.Ramp.From))
		}
		phase.views[i] = v
	}
	p.phases = append(p.phases, phase)
	return phase, nil
}

// ownLimits returns the limits that apply in every phase: those that came first.
func (p *Plan) ownLimits() []*Limit {
	n := slices.IndexFunc(p.limits, func(l *Limit) bool { return l.Phase != "" })
	if n < 0 {
		n = len(p.limits)
	}
	return p.limits[:n:n]
}

func byStage(limits []*Limit) *[smtp.NumStages][]*Limit {
	if len(limits) == 0 {
		return nil
	}
	stages := new([smtp.NumStages][]*Limit)
	for _, l := range limits {
		stages[l.Stage] = append(stages[l.Stage], l)
	}
	return stages
}
