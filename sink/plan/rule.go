package plan

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

var (
	stageForm = enum("a stage", smtp.ParseStage, 0).named("stage")
	delayForm = scalar("a delay such as 20ms or uniform(5ms,50ms)", fault.ParsePlanDelay, func(d fault.Delay) string { return text.Durations(d.String()) },
		patternSchema(`^(none|0|`+durationPattern+`|(fixed|uniform|normal|lognormal|exponential|percentiles|doubling|halving|per-level)\(.+\))$`)).named("delay")
	codeForm  = scalar("a reply code", smtp.ParseCode, func(c smtp.Code) string { return fmt.Sprint(uint16(c)) }, patternSchema(`^[2-5][0-9]{2}$`))
	planReply = replyForm(200, `^(plain|[2-5][0-9]{2}(/([245]\.[0-9]{1,3}\.[0-9]{1,3}|none))?)$`).named("reply")
)

// ruleText is a rule as it stands in a file: without outcomes it may have the reply and the faults of its only one.
type ruleText struct {
	fault.RuleSpec
	strict bool
	stages ruleStages
	single fault.OutcomeSpec
}

func ruleForm() form[fault.RuleSpec] {
	outcomes := at("outcomes", list(outcomeForm()), func(r *ruleText) *[]fault.OutcomeSpec { return &r.Outcomes }, "One of these is drawn, by weight.")
	outcomes.extra = `,"minItems":1`
	answer := replyKey(planReply, func(r *ruleText) *fault.OutcomeSpec { return &r.single })
	other := answer.write
	answer.write = func(r *ruleText) *yaml.Node {
		if len(r.Outcomes) == 0 && r.single.Code == 0 && r.single.Weight == 1 && r.single.IsZero() {
			return planReply.write(new(reply)) // plain
		}
		return other(r)
	}
	faults := keysOf(faultKeys(func(r *ruleText) *fault.Faults { return &r.single.Faults }))
	f := mapping(append([]key[ruleText]{
		at("name", textForm, func(r *ruleText) *string { return &r.Name }, "Unique within the plan; default: rule N."),
		needs("stage", ruleStagesForm(), func(r *ruleText) *ruleStages { return &r.stages }, "One stage, a list, or any: every stage at which what the rule says is valid."),
		at("match", matchForm(), func(r *ruleText) *fault.Match { return &r.Match }, "Everybody by default."),
		at("except", oneOrMore(matchForm()), func(r *ruleText) *[]fault.Match { return &r.Except }, "Whom of these it is not for."),
		answer,
		at("mode", modeForm(), func(r *ruleText) *fault.ModeSpec { return &r.Mode }, "A table of codes by its name, as smtpsink catalogue prints it; in place of reply and outcomes."),
		outcomes,
		at("delay", delayForm, func(r *ruleText) *fault.Delay { return &r.Delay }, "Of each outcome that has none of its own. Within then of a reaction also by level: doubling(FIRST,MOST), halving(FIRST,LEAST) or per-level(EACH,MOST)."),
		at("key", enum("a key", fault.ParseKeyKind, 1), func(r *ruleText) *fault.KeyKind { return &r.Key }, "What draws depend on."),
		preset("strict", boolean, func(r *ruleText) *bool { return &r.strict }, true, "With mode only; false keeps its table whole."),
	}, faults...)...).named("rule").starting(ruleText{strict: true, single: fault.OutcomeSpec{Weight: 1}}).checked(func(n *yaml.Node, r *ruleText) error {
		n = deref(n)
		own := "" // the first fault that the rule itself has
		for i := 0; i < len(n.Content) && own == ""; i += 2 {
			if name := deref(n.Content[i]).Value; slices.ContainsFunc(faults, func(k key[ruleText]) bool { return k.name == name }) {
				own = name
			}
		}
		answer, mode, outcomes := child(n, "reply") != nil, child(n, "mode") != nil, child(n, "outcomes") != nil
		switch strict := child(n, "strict"); {
		case child(n, "stage") == nil:
			return within("stage", errorf(n, "missing (want the stage that the rule speaks at)"))
		case answer && mode || answer && outcomes || mode && outcomes:
			return errorf(n, "more than one of reply, mode and outcomes (want one of them, or none for the plain reply)")
		case outcomes && len(r.Outcomes) == 0:
			return within("outcomes", errorf(n, "no outcomes (want at least one)"))
		case strict != nil && !mode:
			return within("strict", errorf(strict, "there is no mode that it could apply to"))
		case own != "" && (mode || outcomes):
			return within(own, errorf(n, "not beside mode or outcomes (want it in an element of outcomes)"))
		case own != "" || answer:
			r.Outcomes = []fault.OutcomeSpec{r.single}
		}
		return nil
	})
	return as(f, func(r *fault.RuleSpec) ruleText {
		t := ruleText{RuleSpec: *r, strict: !r.Mode.Loose, stages: ruleStagesOf(r)}
		t.Mode.Loose = false
		if len(r.Outcomes) == 1 && r.Outcomes[0].Weight == 1 && r.Outcomes[0].Delay.IsZero() && !r.Outcomes[0].NoDelay {
			t.single, t.Outcomes = r.Outcomes[0], nil
		}
		return t
	}, func(r *fault.RuleSpec, t ruleText) {
		*r = t.RuleSpec
		r.Mode.Loose = !t.strict
		t.stages.put(r)
	})
}

func outcomeForm() form[fault.OutcomeSpec] {
	weight := preset("weight", decimal.described(`{"type":"number","minimum":0}`), func(o *fault.OutcomeSpec) *float64 { return &o.Weight }, 1, "In relation to the sum over the rule's outcomes.")
	return mapping(append([]key[fault.OutcomeSpec]{weight}, outcomeKeys()...)...).named("outcome").starting(fault.OutcomeSpec{Weight: 1})
}

// outcomeKeys are the keys of an outcome beside weight.
func outcomeKeys() []key[fault.OutcomeSpec] {
	delay := at("delay", delayForm, func(o *fault.OutcomeSpec) *fault.Delay { return &o.Delay }, "Overrides the rule's; none: no delay.")
	delay.read = func(d *decoder, n *yaml.Node, o *fault.OutcomeSpec) error {
		err := delayForm.read(d, n, &o.Delay)
		o.NoDelay = o.Delay.IsZero()
		return err
	}
	delay.write = func(o *fault.OutcomeSpec) *yaml.Node {
		if o.Delay.IsZero() && !o.NoDelay {
			return nil
		}
		return delayForm.write(&o.Delay)
	}
	answer := replyKey(planReply, func(o *fault.OutcomeSpec) *fault.OutcomeSpec { return o })
	return append([]key[fault.OutcomeSpec]{answer, delay}, keysOf(faultKeys(func(o *fault.OutcomeSpec) *fault.Faults { return &o.Faults }))...)
}

// modeForm is a mode's name, or a mapping.
func modeForm() form[fault.ModeSpec] {
	name := enum("a mode", fault.ParseMode, 1)
	odds := decimal.described(`{"type":"number","exclusiveMaximum":1,"exclusiveMinimum":0}`).checked(func(n *yaml.Node, v *float64) error {
		if !(*v > 0 && *v < 1) {
			return errorf(n, "invalid odds %v (want above 0, below 1)", *v)
		}
		return nil
	})
	weights := dictionary("codes to weights", 0, codeForm, decimal.described(`{"type":"number","minimum":0}`),
		func(m *map[smtp.Code]float64) iter.Seq2[smtp.Code, float64] {
			return func(yield func(smtp.Code, float64) bool) {
				for _, code := range slices.Sorted(maps.Keys(*m)) {
					if !yield(code, (*m)[code]) {
						return
					}
				}
			}
		},
		func(m *map[smtp.Code]float64, code smtp.Code, weight float64) { (*m)[code] = weight })
	read := weights.read
	weights.read = func(d *decoder, n *yaml.Node, m *map[smtp.Code]float64) error {
		*m = map[smtp.Code]float64{}
		return read(d, n, m)
	}
	alone := as(name, func(m *fault.ModeSpec) fault.Mode { return m.Mode }, func(m *fault.ModeSpec, mode fault.Mode) { m.Mode = mode })
	return short(alone, func(m *fault.ModeSpec) bool { return m.RandomAccept == 0 && m.Weights == nil }, yaml.MappingNode, mapping(
		needs("name", name, func(m *fault.ModeSpec) *fault.Mode { return &m.Mode }, "Its name."),
		at("accept", odds, func(m *fault.ModeSpec) *float64 { return &m.RandomAccept }, "Mode random: the odds to accept; default: 0.5."),
		at("weights", weights, func(m *fault.ModeSpec) *map[smtp.Code]float64 { return &m.Weights }, "Weights of the mode's codes; 1 for each that is not named."),
	).checked(func(n *yaml.Node, m *fault.ModeSpec) error {
		switch {
		case m.Mode == fault.ModeNone:
			return within("name", errorf(n, "missing (want the mode's name)"))
		case m.RandomAccept != 0 && m.Mode != fault.ModeRandom:
			return within("accept", errorf(n, "only mode random has odds to accept"))
		}
		return nil
	})).named("mode")
}
