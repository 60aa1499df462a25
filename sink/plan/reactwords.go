package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reactions explains what begins when and for whom, and what it leads to.
func (e *explainer) reactions() {
	for _, r := range e.plan.Reactions() {
		e.printf("\nreaction %q, for %s\n", r.Name, eachWords(r.Of))
		for _, line := range reactionWords(r) {
			e.printf("  %s\n", line)
		}
		for i := range r.Except {
			e.printf("  not for %s\n", matchWords(&r.Except[i]))
		}
		if !r.Treats {
			e.printf("  it is a mark: rules and limits may match on it\n")
			continue
		}
		e.printf("  while it holds, before all limits and rules:\n")
		for _, l := range r.Limits {
			e.limit(l)
			if last := l.At(fault.MaxLevel); last != l {
				e.printf("    at level 2: %s; from level %d on: %s\n", limitWords(l.At(2)), l.Levels(), limitWords(last))
			}
		}
		e.treatment(r.Rules)
	}
}

// treatment explains the rules of a treatment: those that differ in their stage only are one in the plan.
func (e *explainer) treatment(rules []*fault.Rule) {
	for i := 0; i < len(rules); {
		var stages []string
		first := rules[i]
		for ; i < len(rules) && rules[i].Name == first.Name; i++ {
			stages = append(stages, rules[i].Stage.String())
		}
		where := strings.Join(stages, " ")
		if len(stages) > smtp.NumStages/2 {
			where = "any stage"
		}
		e.printf("    at %s for %s\n", where, ruleWords(first))
	}
}

func eachWords(of fault.Scope) string {
	if of == fault.ScopeAll {
		return "everybody together"
	}
	return "each " + of.Each()
}

// reactionWords says what begins a standing, what raises and lowers its level, and how long it holds.
func reactionWords(r *fault.Reaction) (lines []string) {
	if r.FirstSight {
		lines = append(lines, "begins at first sight, at level 1")
	} else {
		lines = append(lines, "begins, at level 1, with "+countWords(r.When))
	}
	worse := "the same"
	if r.Worse != r.When || r.FirstSight {
		worse = countWords(r.Worse)
	}
	worse += ", while it holds, raises the level"
	if r.Pace > 0 {
		worse += fmt.Sprintf(", but not within %v of a change of the level", durationText(r.Pace))
	}
	lines = append(lines, worse)
	if r.Back != nil {
		back := "each " + whenWords(r.Back) + " lowers it"
		if !r.FirstSight {
			back += ", and ends it at level 1"
		}
		lines = append(lines, back)
	}
	switch times := texts(r.For, durationText); len(times) {
	case 0:
		lines = append(lines, "holds as long as the sink runs")
	case 1:
		lines = append(lines, "holds for "+times[0]+" from its last rise on")
	default:
		lines = append(lines, fmt.Sprintf("holds, from its last rise on, for %s at level 1, and from level %d on for %s", strings.Join(times[:len(times)-1], ", then "), len(times), times[len(times)-1]))
	}
	return lines
}

// countWords says how often a condition must be met.
func countWords(w *fault.When) string {
	words := "the first " + whenWords(w)
	if w.After > 1 {
		words = fmt.Sprintf("the %s %s", ordinal(w.After), whenWords(w))
	}
	if w.Within > 0 && w.After > 1 {
		words += " within " + durationText(w.Within)
	}
	return words
}

func ordinal(n uint32) string {
	suffix := "th"
	switch {
	case n%100/10 == 1:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return fmt.Sprint(n, suffix)
}

// whenWords says what counts.
func whenWords(w *fault.When) string {
	words := "occurrence"
	codes := strings.Join(texts(w.Codes, fault.CodePattern.String), " or ")
	switch {
	case w.Early != "":
		words = fmt.Sprintf("return to greylist %q before its delay is over", w.Early)
		if codes != "" {
			words += " that is answered " + codes
		}
	case codes != "":
		words = "reply " + codes
	}
	if len(w.Stages) > 0 {
		words += " at " + strings.Join(texts(w.Stages, smtp.Stage.String), " or ")
	}
	for _, by := range [...]struct{ what, name string }{{"rule", w.Rule}, {"limit", w.Limit}, {"the treatment of reaction", w.React}} {
		if by.name != "" {
			words += fmt.Sprintf(" by %s %q", by.what, by.name)
		}
	}
	if !w.Match.IsZero() {
		words += " for " + matchWords(&w.Match)
	}
	return words
}

// neverBegin returns why reactions can't begin, by their index.
func neverBegin(p *fault.Plan) map[int]string {
	able := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, r := range p.Reactions() {
			if !able[r.Name] && (r.FirstSight || happens(p, r.When, able)) {
				able[r.Name], changed = true, true
			}
		}
	}
	never := map[int]string{}
	for _, r := range p.Reactions() {
		if able[r.Name] {
			continue
		}
		why := "nothing in the plan leads to a " + whenWords(r.When)
		if w := r.When; w.Rule == "" && w.Limit == "" && w.React == "" {
			why += " (but for what a tester asks for, by an address such as 550-5.1.1+x@ or from outside)"
		}
		never[r.Index] = why
	}
	return never
}

// happens reports whether anything of the plan leads to a decision that the condition counts; able are the reactions that can begin.
func happens(p *fault.Plan, w *fault.When, able map[string]bool) bool {
	for s := range smtp.Stage(smtp.NumStages) {
		if w.At(s) && happensAt(p, w, s, able) {
			return true
		}
	}
	return false
}

func happensAt(p *fault.Plan, w *fault.When, s smtp.Stage, able map[string]bool) bool {
	anybody := w.Rule == "" && w.Limit == "" && w.React == ""
	if anybody && (w.Early != "" && len(w.Codes) == 0 || w.Counts(s, &fault.Decision{}) || slices.ContainsFunc(protocolErrors, func(code smtp.Code) bool {
		return slices.ContainsFunc(w.Codes, func(c fault.CodePattern) bool { return c.Enhanced.IsZero() && c.Matches(code, smtp.Enhanced{}) })
	})) {
		return true
	}
	for _, r := range p.Rules() {
		if r.Stage == s && spoken(w, r, fault.Decision{Cause: fault.CauseRule, Rule: r}) {
			return true
		}
	}
	for _, l := range p.AllLimits() {
		if d := l.Decision(); l.Stage == s && w.Counts(s, &d) {
			return true
		}
	}
	for _, r := range p.Reactions() {
		if !able[r.Name] {
			continue
		}
		for _, l := range r.Limits {
			if l.Stage == s && w.Counts(s, &fault.Decision{Cause: fault.CauseReact, Reaction: r, Limit: l, Reply: l.Reply}) {
				return true
			}
		}
		for _, rule := range r.Rules {
			if rule.Stage == s && spoken(w, rule, fault.Decision{Cause: fault.CauseReact, Reaction: r}) {
				return true
			}
		}
	}
	return false
}

// spoken reports whether the condition counts any outcome of a rule.
func spoken(w *fault.When, r *fault.Rule, d fault.Decision) bool {
	for i := range r.Outcomes {
		if d.Chosen, d.Reply = &r.Outcomes[i], r.Outcomes[i].Reply; d.Chosen.Probability > 0 && w.Counts(r.Stage, &d) {
			return true
		}
	}
	return false
}

// protocolErrors are the codes by which the sink refuses what breaks the protocol, at whatever stage.
var protocolErrors = []smtp.Code{421, 451, 452, 500, 501, 502, 503, 504, 530, 535, 538, 552, 554, 555}

// reactionWarnings returns what of reactions is valid, and probably a mistake.
func (e *explainer) reactionWarnings() (lines []string) {
	never := neverBegin(e.plan)
	for _, r := range e.plan.Reactions() {
		if why, ok := never[r.Index]; ok {
			lines = append(lines, fmt.Sprintf("reaction %q never begins: %s", r.Name, why))
		}
		for _, rule := range r.Rules {
			lines = append(lines, oddCodes(rule)...)
		}
		for _, l := range r.Limits {
			if !fault.Allowed(l.Stage, l.Reply.Code) {
				lines = append(lines, fmt.Sprintf("limit %q: the RFCs don't allow %d at %v", l.Name, l.Reply.Code, l.Stage))
			}
		}
	}
	return lines
}

// reactionReplay says what reactions make outcomes depend on.
func (e *explainer) reactionReplay() (lines []string) {
	for _, r := range e.plan.Reactions() {
		switch of := r.Of; {
		case of.Meets(fault.ScopeClient | fault.ScopeConnection):
			lines = append(lines, fmt.Sprintf("reaction %q breaks it: what a client meets depends on what it did before and when, but not on other clients", r.Name))
		case of.Meets(fault.ScopeNetwork):
			lines = append(lines, fmt.Sprintf("reaction %q breaks it: what a client meets depends on what its network did before and when", r.Name))
		default:
			lines = append(lines, fmt.Sprintf("reaction %q breaks it: what a client meets depends on how it and others come in between each other, who share a key (%s)", r.Name, of.Each()))
		}
	}
	return lines
}
