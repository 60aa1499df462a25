package plan

import (
	"encoding/json"
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// matchKey is the same for the same conditions, in the same words and order, and "" for none.
type matchKey string

func keyOf(m *fault.Match) matchKey {
	if m.IsZero() {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil { // nothing in a match has no JSON form
		text = fmt.Appendf(nil, "%+v", *m)
	}
	return matchKey(text)
}

// ruleKey names the rules of a stage that have the same conditions.
type ruleKey struct {
	stage smtp.Stage
	match matchKey
}

// ruleIndex leads from conditions to the first rule that has exactly these.
type ruleIndex map[ruleKey]*fault.Rule

func indexRules(rules []*fault.Rule) ruleIndex {
	x := make(ruleIndex, len(rules))
	for _, r := range rules {
		if key := (ruleKey{r.Stage, keyOf(&r.Match)}); x[key] == nil {
			x[key] = r
		}
	}
	return x
}

// first returns the first rule of the stage without conditions, or with exactly these.
func (x ruleIndex) first(s smtp.Stage, match matchKey) *fault.Rule {
	everybody, these := x[ruleKey{s, ""}], x[ruleKey{s, match}]
	if everybody == nil || these != nil && these.Index < everybody.Index {
		return these
	}
	return everybody
}

// atlas finds in a plan what one kind of mail meets, without asking every rule: plans of a hundred thousand rules are explained, too.
type atlas struct {
	plan      *fault.Plan
	own       ruleIndex
	phases    map[*fault.Phase]ruleIndex
	greylists map[matchKey][]greylist // in file order
}

type greylist struct {
	limit  *fault.Limit
	except map[matchKey]bool
}

func newAtlas(p *fault.Plan) *atlas {
	a := &atlas{plan: p, own: indexRules(p.OwnRules()), phases: map[*fault.Phase]ruleIndex{}, greylists: map[matchKey][]greylist{}}
	for _, phase := range p.Phases() {
		a.phases[phase] = indexRules(phase.Rules)
	}
	for _, l := range p.AllLimits() {
		if l.Kind != fault.LimitGreylist {
			continue
		}
		g := greylist{limit: l, except: map[matchKey]bool{}}
		for i := range l.Except {
			g.except[keyOf(&l.Except[i])] = true
		}
		key := keyOf(&l.Match)
		a.greylists[key] = append(a.greylists[key], g)
	}
	return a
}

// traffic returns mail with these conditions, in a phase or outside of phases.
func (a *atlas) traffic(phase *fault.Phase, match fault.Match) traffic {
	return traffic{atlas: a, phase: phase, match: match, key: keyOf(&match), share: 1}
}

// greylist returns the greylist that refuses each first attempt of this mail; nil when there is none.
func (t *traffic) greylist() *fault.Limit {
	everybody := t.firstGreylist(t.atlas.greylists[""])
	if t.key == "" {
		return everybody
	}
	these := t.firstGreylist(t.atlas.greylists[t.key])
	if everybody == nil || these != nil && these.Index < everybody.Index {
		return these
	}
	return everybody
}

func (t *traffic) firstGreylist(list []greylist) *fault.Limit {
	for i := range list {
		l := list[i].limit
		if known := l.Phase == "" || t.phase != nil && l.Phase == t.phase.Name; known && !list[i].except[t.key] {
			return l
		}
	}
	return nil
}
