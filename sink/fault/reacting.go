package fault

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Levels are the levels of the standings that an occurrence meets, by Reaction.Index; 0: none holds.
type Levels [MaxReactions]uint8

// KeyGroup are the reactions of a plan that have the same key, so that one look finds the standings of all. It is immutable and shared.
type KeyGroup struct {
	Index     int // position in Plan.KeyGroups, from 0
	Of        Scope
	Reactions []*Reaction // in file order
	Mask      uint64      // their bits, by Reaction.Index
}

// StageReactions is what the reactions of a plan have to do at one stage. It is immutable and shared; nil is for stages at which none has.
type StageReactions struct {
	Asked   uint64      // reactions whose standing matters at the stage, by Reaction.Index
	Groups  []*KeyGroup // of those
	Treat   []*Reaction // those with a treatment at the stage, in file order
	Early   []EarlyCheck
	watches []*Reaction // those that may count what is decided at the stage
}

// EarlyCheck is a greylist that a reaction wants to know of: whether an occurrence is too early for it.
type EarlyCheck struct {
	Limit *Limit
	Bit   uint64 // of Occurrence.Early
}

// Asks reports whether anything has to be looked up before an occurrence of the stage is decided.
func (x *StageReactions) Asks() bool { return x != nil && (x.Asked != 0 || len(x.Early) > 0) }

// MayCount reports whether any reaction may count what was decided; when none may, Counted need not be asked. It does not allocate.
func (x *StageReactions) MayCount(s smtp.Stage, d *Decision) bool {
	if x == nil {
		return false
	}
	for _, r := range x.watches {
		if r.When.mayCount(s, d) || r.Worse != r.When && r.Worse.mayCount(s, d) || r.Back.mayCount(s, d) {
			return true
		}
	}
	return false
}

// Counts says which reactions count an occurrence, by Reaction.Index, and for what.
type Counts struct{ When, Worse, Back uint64 }

// IsZero reports whether none does.
func (c Counts) IsZero() bool { return c == Counts{} }

// Any returns the reactions that count the occurrence for anything.
func (c Counts) Any() uint64 { return c.When | c.Worse | c.Back }

// Counted returns which reactions count the occurrence, of which this was decided. It does not allocate for addresses of up to 320 octets.
func (x *StageReactions) Counted(o *Occurrence, d *Decision) (c Counts) {
	for _, r := range x.watches {
		when := r.When.mayCount(o.Stage, d) && r.When.counts(o)
		worse := when
		if r.Worse != r.When {
			worse = r.Worse.mayCount(o.Stage, d) && r.Worse.counts(o)
		}
		back := r.Back.mayCount(o.Stage, d) && r.Back.counts(o)
		if !when && !worse && !back || !r.KnowsKey(o) || r.Exempts(o) {
			continue
		}
		bit := uint64(1) << r.Index
		if when {
			c.When |= bit
		}
		if worse {
			c.Worse |= bit
		}
		if back {
			c.Back |= bit
		}
	}
	return c
}

// Treatment returns the rule of the reaction's treatment that speaks to the occurrence, or nil.
func (r *Reaction) Treatment(o *Occurrence) *Rule {
	if stage := r.stages.of(o.Stage, o.OutOfOrder); len(stage.rules) > 0 {
		return stage.find(o)
	}
	return nil
}

// Reactions returns the plan's reactions in file order. The slice is the plan's and must not be changed. A nil plan has none.
func (p *Plan) Reactions() []*Reaction {
	if p == nil {
		return nil
	}
	return p.reactions
}

// KeyGroups returns the reactions by their keys. The slice is the plan's and must not be changed. A nil plan has none.
func (p *Plan) KeyGroups() []*KeyGroup {
	if p == nil {
		return nil
	}
	return p.groups
}

// Reactions returns what reactions have to do at the stage; nil for nothing.
func (v *View) Reactions(s smtp.Stage) *StageReactions {
	if v == nil || v.plan == nil || v.plan.reacting == nil {
		return nil
	}
	return v.plan.reacting[s]
}

// Speak returns the decision of a rule for an occurrence that it matches.
func (v *View) Speak(r *Rule, o *Occurrence) Decision { return r.decide(v.plan.seed, o) }

// groupReactions puts the reactions in order, by key and by stage, once everything else of the plan is there.
func (c *planCompiler) groupReactions() {
	p := c.plan
	if len(p.reactions) == 0 {
		return
	}
	groupOf := make([]*KeyGroup, len(p.reactions))
	for _, r := range p.reactions {
		i := slices.IndexFunc(p.groups, func(g *KeyGroup) bool { return g.Of == r.Of })
		if i < 0 {
			i = len(p.groups)
			p.groups = append(p.groups, &KeyGroup{Index: i, Of: r.Of})
		}
		groupOf[r.Index] = p.groups[i]
		p.groups[i].Reactions = append(p.groups[i].Reactions, r)
		p.groups[i].Mask |= 1 << r.Index
	}
	p.reacting = new([smtp.NumStages]*StageReactions)
	at := func(s smtp.Stage) *StageReactions {
		if p.reacting[s] == nil {
			p.reacting[s] = new(StageReactions)
		}
		return p.reacting[s]
	}
	for s, asked := range c.asked {
		if asked != 0 {
			at(smtp.Stage(s)).Asked |= asked
		}
	}
	for _, r := range p.reactions {
		for s := range smtp.Stage(smtp.NumStages) {
			treats := len(r.stages.inOrder[s].rules) > 0 || slices.ContainsFunc(r.Limits, func(l *Limit) bool { return l.Stage == s })
			watches := r.When.At(s) || r.Worse.At(s) || r.Back.At(s)
			if treats {
				at(s).Treat = append(at(s).Treat, r)
			}
			if watches {
				at(s).watches = append(at(s).watches, r)
			}
			if treats {
				at(s).Asked |= 1 << r.Index
			}
		}
	}
	for i, l := range c.early {
		at(l.Stage).Early = append(at(l.Stage).Early, EarlyCheck{Limit: l, Bit: 1 << i})
	}
	for _, x := range p.reacting {
		if x == nil {
			continue
		}
		for left := x.Asked; left != 0; left &= left - 1 {
			g := groupOf[bits.TrailingZeros64(left)]
			if !slices.Contains(x.Groups, g) {
				x.Groups = append(x.Groups, g)
			}
		}
	}
}

// earlyBit returns the bit by which an occurrence tells that it was too early for the greylist.
func (c *planCompiler) earlyBit(l *Limit) (uint64, error) {
	i := slices.Index(c.early, l)
	if i < 0 {
		if i = len(c.early); i == 64 {
			return 0, fmt.Errorf("more than 64 greylists are asked for")
		}
		c.early = append(c.early, l)
	}
	return 1 << i, nil
}

// resolveStandings resolves the names of a match's standings, which matter at the stage.
func (c *planCompiler) resolveStandings(m *matcher, match *Match, stage smtp.Stage) error {
	m.standings = 0
	for _, name := range match.Standings {
		r := c.reactions[name]
		if r == nil {
			return unknownName("reaction", name, c.plan.reactionNames())
		}
		m.standings |= 1 << r.Index
	}
	c.asked[stage] |= m.standings
	return nil
}

// holdsStandings reports whether any of the standings holds.
func holdsStandings(standings uint64, levels *Levels) bool {
	if levels == nil {
		return false
	}
	for ; standings != 0; standings &= standings - 1 {
		if levels[bits.TrailingZeros64(standings)] > 0 {
			return true
		}
	}
	return false
}

func scopeNames() string { return strings.Join(ScopeNames(), " ") }
