package fault

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Bounds of reactions.
const (
	MaxReactions = 64 // of a plan
	MaxLevel     = 62 // of a standing
	MaxAfter     = 1_000_000_000
	MaxStanding  = 10 * 365 * 24 * time.Hour // Reaction.For, Pace and Within
	maxForTimes  = MaxLevel
)

// ReactionSpec says how the sink treats a sender for what it did: a standing begins for a key once enough occurrences were counted for it,
// and while it holds the key meets a treatment. See Reaction.
type ReactionSpec struct {
	Name   string // needed; unique within the plan
	Of     Scope  // the key: whose occurrences are counted together, and who has the standing
	When   WhenSpec
	After  int             // so many of them begin the standing, 1 to MaxAfter; 0: it begins at the first sight of the key
	Within time.Duration   // in a window that starts with the first of them; 0: without end
	For    []time.Duration // how long it holds from its last rise on, by level, the last for all above; none: as long as the sink runs
	Worse  *CountSpec      // what raises the level while it holds; nil: When, After and Within
	Back   *WhenSpec       // what lowers the level; nil: nothing
	Pace   time.Duration   // the least time from a change of level to the next rise
	Except []Match         // whom of these it is not for: they don't count, and are not treated
	Then   *TreatmentSpec  // nil: a mark, for Match.Standings
}

// TreatmentSpec is what a key meets while its standing holds, as in a phase.
type TreatmentSpec struct {
	Limits []LimitSpec
	Rules  []RuleSpec
}

// Reaction is a validated reaction of a plan. It is immutable and shared. The standings themselves are kept elsewhere (package state): one
// for each key that was counted, with a level from 1 on while it holds.
type Reaction struct {
	Index      int // position in Plan.Reactions, from 0: its bit and its place in Levels
	Name       string
	Of         Scope
	FirstSight bool // it begins when the key is first seen
	When       *When
	Worse      *When // never nil
	Back       *When // nil: nothing lowers the level
	For        []time.Duration
	Pace       time.Duration
	Except     []Match
	Limits     []*Limit // of the treatment
	Rules      []*Rule  // of the treatment, one for each stage that a rule speaks at
	Treats     bool     // there is a treatment: otherwise it is a mark

	excepted [smtp.NumStages]exceptions
	stages   ruleIndex
	id       uint64
}

// ID identifies the reaction by all that a plan says of it, but for its place: a standing goes on under a plan that has the same.
func (r *Reaction) ID() uint64 { return r.id }

// Duration returns how long a standing of the level holds from a rise to it on; 0 means as long as the sink runs.
func (r *Reaction) Duration(level int) time.Duration {
	if len(r.For) == 0 {
		return 0
	}
	return r.For[min(max(level, 1), len(r.For))-1]
}

// Exempts reports whether the reaction is not for the occurrence.
func (r *Reaction) Exempts(o *Occurrence) bool { return r.excepted[o.Stage].hold(o) }

// KnowsKey reports whether the occurrence tells whose it is. A client that has not greeted has no name, and the end of a message is
// about all of its recipients, but for LMTP.
func (r *Reaction) KnowsKey(o *Occurrence) bool { return knowsKey(r.Of, o) }

func knowsKey(of Scope, o *Occurrence) bool {
	switch {
	case of.Has(ScopeHelo) && len(o.Helo) == 0:
		return false
	case of.Meets(ScopeRecipient|ScopeRecipientDomain) && len(o.Recipient) == 0:
		return false
	}
	return of.KnownAt(o.Stage) == nil
}

// reaction adds a reaction of the plan. Names are resolved by resolveReactions, once the plan has all it has.
func (c *planCompiler) reaction(spec *ReactionSpec, i int) error {
	path := fmt.Sprintf("react[%d]", i)
	fail := func(field string, err error) error {
		return &SpecError{Path: path, Name: spec.Name, Field: field, Err: err}
	}
	r := &Reaction{
		Index: i, Name: spec.Name, Of: spec.Of, FirstSight: spec.After == 0, For: spec.For, Pace: spec.Pace, Except: spec.Except, Treats: spec.Then != nil,
	}
	if field, err := spec.validate(); err != nil {
		return fail(field, err)
	}
	if c.reactions[r.Name] != nil {
		return fail("name", fmt.Errorf("name is taken by react[%d]", c.reactions[r.Name].Index))
	}
	if err := c.conditions(r, spec, fail); err != nil {
		return err
	}
	if err := r.exceptions(fail); err != nil {
		return err
	}
	r.id = spec.identify()
	c.reactions[r.Name] = r
	c.plan.reactions = append(c.plan.reactions, r)
	return nil
}

func (spec *ReactionSpec) validate() (field string, err error) {
	switch {
	case spec.Name == "":
		return "name", fmt.Errorf("missing (want a name, which replies are counted under)")
	case spec.Of == 0:
		return "of", fmt.Errorf("missing (want whose occurrences count together, any of: %s)", scopeNames())
	case spec.Of.validate() != nil:
		return "of", spec.Of.validate()
	case spec.After < 0 || spec.After > MaxAfter:
		return "after", fmt.Errorf("%d is out of range (want 0 to %d)", spec.After, MaxAfter)
	case spec.Within < 0 || spec.Within > MaxStanding:
		return "within", fmt.Errorf("%v is out of range (want above 0s, at most %v)", spec.Within, MaxStanding)
	case spec.After == 0 && spec.Within != 0:
		return "within", fmt.Errorf("a standing that begins at first sight counts nothing before (say it in worse)")
	case spec.Pace < 0 || spec.Pace > MaxStanding:
		return "pace", fmt.Errorf("%v is out of range (want above 0s, at most %v)", spec.Pace, MaxStanding)
	case len(spec.For) > maxForTimes:
		return "for", fmt.Errorf("%d durations (want one for each level, at most %d)", len(spec.For), maxForTimes)
	}
	for i, d := range spec.For {
		if d <= 0 || d > MaxStanding {
			return fmt.Sprintf("for[%d]", i), fmt.Errorf("%v is out of range (want above 0s, at most %v)", d, MaxStanding)
		}
	}
	if w := spec.Worse; w != nil {
		switch {
		case w.After < 1 || w.After > MaxAfter:
			return "worse.after", fmt.Errorf("%d is out of range (want 1 to %d)", w.After, MaxAfter)
		case w.Within < 0 || w.Within > MaxStanding:
			return "worse.within", fmt.Errorf("%v is out of range (want above 0s, at most %v)", w.Within, MaxStanding)
		}
	}
	if t := spec.Then; t != nil && len(t.Limits) == 0 && len(t.Rules) == 0 {
		return "then", fmt.Errorf("no limits and no rules (want at least one, or no such key for a mark)")
	}
	return "", nil
}

func (c *planCompiler) conditions(r *Reaction, spec *ReactionSpec, fail func(string, error) error) (err error) {
	field := ""
	if r.When, field, err = c.whenOf(&spec.When, r.Of); err != nil {
		return fail(joinField("when", field), err)
	}
	r.When.After, r.When.Within = uint32(max(spec.After, 1)), spec.Within // #nosec G115 -- at most MaxAfter
	r.Worse = r.When
	if w := spec.Worse; w != nil {
		if r.Worse, field, err = c.whenOf(&w.WhenSpec, r.Of); err != nil {
			return fail(joinField("worse", field), err)
		}
		r.Worse.After, r.Worse.Within = uint32(w.After), w.Within // #nosec G115 -- at most MaxAfter
	}
	if spec.Back != nil {
		if r.Back, field, err = c.whenOf(spec.Back, r.Of); err != nil {
			return fail(joinField("back", field), err)
		}
	}
	return nil
}

func joinField(key, field string) string {
	if field == "" {
		return key
	}
	return key + "." + field
}

// exceptions compiles the exceptions for each stage: where one's conditions are not known yet it does not hold.
func (r *Reaction) exceptions(fail func(string, error) error) error {
	for i := range r.Except {
		if m := &r.Except[i]; len(m.Standings) > 0 || !m.Levels.IsZero() {
			return fail(fmt.Sprintf("except[%d]", i), fmt.Errorf("a reaction's exceptions don't go by standings (say it in the rules of then)"))
		}
		known, field, first := false, "", error(nil)
		for s := range smtp.Stage(smtp.NumStages) {
			x, f, err := newExceptions(r.Except[i:i+1], s, fmt.Errorf("not known to reactions"))
			if err != nil {
				if first == nil {
					field, first = f, err
				}
				continue
			}
			known = true
			r.excepted[s] = append(r.excepted[s], x...)
		}
		if !known {
			return fail(fmt.Sprintf("except[%d]%s", i, field[len("except[0]"):]), first)
		}
	}
	return nil
}

// treatment adds the limits and rules of a reaction's treatment.
func (c *planCompiler) treatment(r *Reaction, spec *TreatmentSpec) (err error) {
	if spec == nil {
		return nil
	}
	path := fmt.Sprintf("react[%d].then", r.Index)
	c.treating = r
	defer func() { c.treating = nil }()
	if r.Limits, err = c.limitsOf(spec.Limits, "", path+".limits"); err != nil {
		return err
	}
	r.Rules, err = c.rulesOf(spec.Rules, "", path+".rules", &r.stages)
	return err
}

// resolveReactions checks what reactions name, once the plan has all its rules and limits.
func (c *planCompiler) resolveReactions() error {
	for _, r := range c.plan.reactions {
		fail := func(field string, err error) error {
			return &SpecError{Path: fmt.Sprintf("react[%d]", r.Index), Name: r.Name, Field: field, Err: err}
		}
		for _, w := range [...]struct {
			key  string
			when *When
		}{{"when", r.When}, {"worse", r.Worse}, {"back", r.Back}} {
			if field, err := c.resolveWhen(w.when); err != nil {
				return fail(joinField(w.key, field), err)
			}
			if w.when != nil {
				c.plan.needs = c.plan.needs.or(w.when.needs())
				c.plan.knowParameters(&w.when.Match)
			}
		}
		c.plan.needs = c.plan.needs.or(exceptionNeeds(r.Except))
	}
	return nil
}

// identify returns a hash of the reaction's whole text.
func (spec *ReactionSpec) identify() uint64 {
	text, err := json.Marshal(spec)
	if err != nil { // nothing in a reaction has no JSON form
		text = fmt.Appendf(nil, "%+v", *spec)
	}
	sum := sha256.Sum256(text)
	return binary.LittleEndian.Uint64(sum[:])
}

func (p *Plan) reactionNames() []string {
	names := make([]string, len(p.reactions))
	for i, r := range p.reactions {
		names[i] = r.Name
	}
	return names
}

func (p *Plan) greylists() (list []*Limit) {
	return slices.DeleteFunc(slices.Clone(p.limits), func(l *Limit) bool { return l.Kind != LimitGreylist })
}

// reactionsOf adds the reactions of the plan, without their treatments.
func (c *planCompiler) reactionsOf(specs []ReactionSpec) error {
	if len(specs) > MaxReactions {
		return &SpecError{Path: "react", Err: fmt.Errorf("%d reactions (want at most %d)", len(specs), MaxReactions)}
	}
	for i := range specs {
		if err := c.reaction(&specs[i], i); err != nil {
			return err
		}
	}
	return nil
}

// treatments adds the treatments of the reactions, and resolves what reactions name.
func (c *planCompiler) treatments(specs []ReactionSpec) error {
	for i, r := range c.plan.reactions {
		if err := c.treatment(r, specs[i].Then); err != nil {
			return err
		}
	}
	if err := c.resolveReactions(); err != nil {
		return err
	}
	c.groupReactions()
	return nil
}

// needs returns what the conditions need.
func (w *When) needs() Needs { return w.Match.needs() }

// level returns the level of a reaction's standing; 0 when none holds.
func (s *subject) level(reaction int) uint64 {
	if s.Levels == nil {
		return 0
	}
	return uint64(s.Levels[reaction])
}

func (p *Plan) ruleNames() (names []string) {
	for _, r := range p.rules {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}
