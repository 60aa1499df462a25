package plan

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reactionForm is how receivers react: what begins a standing, for whom and for how long, and what it leads to.
func reactionForm(limits form[[]fault.LimitSpec], rules form[[]fault.RuleSpec]) form[fault.ReactionSpec] {
	when := whenKeys()
	worse := mapping(append(lifted(when, func(c *fault.CountSpec) *fault.WhenSpec { return &c.WhenSpec }),
		preset("after", integer(1, fault.MaxAfter), func(c *fault.CountSpec) *int { return &c.After }, 1, "So many of these."),
		at("within", duration, func(c *fault.CountSpec) *time.Duration { return &c.Within }, "In a window that starts with the first of them."),
	)...).named("worse").starting(fault.CountSpec{After: 1})
	condition := mapping(when...).named("when")
	then := mapping(
		at("limits", limits, func(t *fault.TreatmentSpec) *[]fault.LimitSpec { return &t.Limits }, "Asked first; counts are the key's unless scope says whose."),
		at("rules", rules, func(t *fault.TreatmentSpec) *[]fault.RuleSpec { return &t.Rules }, "The first that matches decides."),
	).named("treatment")
	return mapping(
		needs("name", textForm.described(someText), func(r *fault.ReactionSpec) *string { return &r.Name }, "What replies are counted under, as react:NAME."),
		needs("of", scopeForm(), func(r *fault.ReactionSpec) *fault.Scope { return &r.Of }, "Whose occurrences count together, and who has the standing: a list is one key of several parts."),
		needs("when", condition, func(r *fault.ReactionSpec) *fault.WhenSpec { return &r.When }, "What counts."),
		preset("after", integer(0, fault.MaxAfter), func(r *fault.ReactionSpec) *int { return &r.After }, 1, "So many of these begin it; 0: the first sight of the key does."),
		at("within", duration, func(r *fault.ReactionSpec) *time.Duration { return &r.Within }, "In a window that starts with the first of them; default: without end."),
		at("for", oneOrMore(duration), func(r *fault.ReactionSpec) *[]time.Duration { return &r.For }, "How long it holds from its last rise on; a list is by level. Default: without end."),
		at("worse", pointer(worse), func(r *fault.ReactionSpec) **fault.CountSpec { return &r.Worse }, "What raises its level while it holds; default: what begins it."),
		at("back", pointer(condition), func(r *fault.ReactionSpec) **fault.WhenSpec { return &r.Back }, "What lowers its level."),
		at("pace", duration, func(r *fault.ReactionSpec) *time.Duration { return &r.Pace }, "The least time between a change of the level and the next rise."),
		at("except", oneOrMore(matchForm()), func(r *fault.ReactionSpec) *[]fault.Match { return &r.Except }, "Whom of these it is not for: they neither count nor are treated."),
		at("then", pointer(then), func(r *fault.ReactionSpec) **fault.TreatmentSpec { return &r.Then }, "What the key meets while it holds; without it a mark for match: {standing: NAME}."),
	).named("reaction").starting(fault.ReactionSpec{After: 1}).checked(func(n *yaml.Node, r *fault.ReactionSpec) error {
		for _, needed := range [...]struct{ key, want string }{{"of", "whose occurrences count together, such as client"}, {"when", "what counts, such as {stage: rcpt, code: 550}"}} {
			if child(n, needed.key) == nil {
				return within(needed.key, errorf(n, "missing (want %s)", needed.want))
			}
		}
		return nil
	})
}

// whenKeys are those of a condition on what was decided: all of match beside its own.
func whenKeys() []key[fault.WhenSpec] {
	code := scalar("a code such as 550, 550/5.1.1 or 5xx", fault.ParseCodePattern, fault.CodePattern.String,
		`{"anyOf":[{"type":"integer","maximum":599,"minimum":200},`+patternSchema(`^([2-5]xx|[2-5][0-9]{2}(/[245]\.[0-9]{1,3}\.[0-9]{1,3})?)$`)+`]}`).named("codePattern")
	return append([]key[fault.WhenSpec]{
		at("stage", oneOrMore(stageForm), func(w *fault.WhenSpec) *[]smtp.Stage { return &w.Stages }, "Any of these; default: every stage."),
		at("code", oneOrMore(code), func(w *fault.WhenSpec) *[]fault.CodePattern { return &w.Codes }, "The reply that was decided."),
		at("rule", textForm, func(w *fault.WhenSpec) *string { return &w.Rule }, "The rule of this name has decided."),
		at("limit", textForm, func(w *fault.WhenSpec) *string { return &w.Limit }, "The limit of this name has refused."),
		at("react", textForm, func(w *fault.WhenSpec) *string { return &w.React }, "The treatment of this reaction has decided."),
		at("early", textForm, func(w *fault.WhenSpec) *string { return &w.Early }, "It came back to this greylist before its delay was over."),
	}, lifted(matchKeys(), func(w *fault.WhenSpec) *fault.Match { return &w.Match })...)
}

// lifted are the keys of a part, of a mapping that stands for the whole.
func lifted[T, V any](keys []key[V], of func(*T) *V) []key[T] {
	all := make([]key[T], len(keys))
	for i, k := range keys {
		all[i] = key[T]{
			name: k.name, about: k.about, needed: k.needed, extra: k.extra, schema: k.schema,
			read:  func(d *decoder, n *yaml.Node, into *T) error { return k.read(d, n, of(into)) },
			write: func(v *T) *yaml.Node { return k.write(of(v)) },
		}
	}
	return all
}

// ruleStages is where a rule speaks: one stage, several, or every one at which it is valid.
type ruleStages struct {
	list []smtp.Stage
	any  bool
}

func ruleStagesForm() form[ruleStages] {
	one := scalar("a stage, a list of stages, or any", func(text string) (ruleStages, error) {
		if text == "any" {
			return ruleStages{any: true}, nil
		}
		s, err := smtp.ParseStage(text)
		if err != nil {
			err = errors.New(strings.TrimSuffix(err.Error(), ")") + " any)")
		}
		return ruleStages{list: []smtp.Stage{s}}, err
	}, func(r ruleStages) string {
		if r.any {
			return "any"
		}
		return r.list[0].String()
	}, "")
	one.schema = func(defs definitions) string {
		return `{"anyOf":[` + stageForm.schema(defs) + `,{"type":"string","enum":["any"]}]}`
	}
	many := as(list(stageForm), func(r *ruleStages) []smtp.Stage { return r.list }, func(r *ruleStages, stages []smtp.Stage) { r.list = stages }).
		checked(func(n *yaml.Node, r *ruleStages) error {
			if len(r.list) == 0 {
				return errorf(n, "empty list (want at least one stage)")
			}
			for i, s := range r.list {
				if slices.Contains(r.list[:i], s) {
					return errorf(deref(n).Content[i], "stage %v is given twice", s)
				}
			}
			return nil
		})
	many.schema = func(defs definitions) string {
		return `{"items":` + stageForm.schema(defs) + `,"type":"array","minItems":1,"uniqueItems":true}`
	}
	return short(one, func(r *ruleStages) bool { return r.any || len(r.list) == 1 }, yaml.SequenceNode, many)
}

func (r ruleStages) put(spec *fault.RuleSpec) {
	spec.AnyStage, spec.Stages = r.any, nil
	if len(r.list) == 1 {
		spec.Stage = r.list[0]
	} else {
		spec.Stages = r.list
	}
}

func ruleStagesOf(spec *fault.RuleSpec) ruleStages {
	if spec.Stages != nil || spec.AnyStage {
		return ruleStages{spec.Stages, spec.AnyStage}
	}
	return ruleStages{list: []smtp.Stage{spec.Stage}}
}

// growing lets the value of a limit's key depend on the level of a standing, beside what it is otherwise.
func growing(k key[fault.LimitSpec], of func(*fault.LimitSpec) *fault.Growth, parse func(string) (float64, error), text func(*fault.LimitSpec, float64) string) key[fault.LimitSpec] {
	fixed := k
	k.read = func(d *decoder, n *yaml.Node, l *fault.LimitSpec) error {
		g, grows, err := fault.ParseGrowth(deref(n).Value, parse)
		switch {
		case err != nil:
			return errorAt(n, err)
		case grows:
			*of(l) = g
			return nil
		}
		return fixed.read(d, n, l)
	}
	k.write = func(l *fault.LimitSpec) *yaml.Node {
		if g := of(l); !g.IsZero() {
			return written(g.Text(func(v float64) string { return text(l, v) }))
		}
		return fixed.write(l)
	}
	k.schema = func(defs definitions) string {
		return `{"anyOf":[` + fixed.schema(defs) + `,` + patternSchema(`^(doubling|halving|per-level)\(.+,.+\)$`) + `]}`
	}
	k.about = strings.TrimSpace(k.about + " Within then of a reaction also by level: doubling(FIRST,MOST), halving(FIRST,LEAST) or per-level(EACH,MOST).")
	return k
}

func parseOctetsOf(text string) (float64, error) {
	v, err := ParseOctets(text)
	return float64(v), err
}

func maxText(l *fault.LimitSpec, v float64) string {
	if l.Kind == fault.LimitSize {
		return OctetsText(int64(v))
	}
	return strconv.FormatInt(int64(v), 10)
}
