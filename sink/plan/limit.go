package plan

import (
	"math"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func limitForm() form[fault.LimitSpec] {
	refusal := replyForm(400, `^[45][0-9]{2}(/([45]\.[0-9]{1,3}\.[0-9]{1,3}|none))?$`).named("refusal").checked(func(n *yaml.Node, r *reply) error {
		if r.Code == 0 {
			return errorf(n, "the plain reply is no refusal (want 400 to 599)")
		}
		return nil
	})
	rate := at("rate", scalar("a rate such as 20/s", fault.ParseRate, decimalText,
		`{"anyOf":[{"type":"number","exclusiveMinimum":0},`+patternSchema(`^[0-9.eE+]+ ?(/ ?[smhd])?$`)+`]}`).named("rate"),
		func(l *fault.LimitSpec) *float64 { return &l.Rate }, "Kind rate: tokens per s, m or h, and with a burst per d.")
	rate.write = func(l *fault.LimitSpec) *yaml.Node {
		if l.Rate == 0 {
			return nil
		}
		return written(rateText(l.Rate, l.Burst != 0))
	}
	match := matchForm()
	max := at("max", octets, func(l *fault.LimitSpec) *int64 { return &l.Max }, "Kinds concurrency, messages, recipients, size and quota.")
	size := max.write
	max.write = func(l *fault.LimitSpec) *yaml.Node {
		if l.Max == 0 || l.Kind == fault.LimitSize {
			return size(l)
		}
		return written(strconv.FormatInt(l.Max, 10)) // no octets
	}
	stage := at("stage", stageForm, func(l *fault.LimitSpec) *smtp.Stage { return &l.Stage }, "Where it is asked; the default is the kind's first at which the scope is known.")
	stage.read = func(d *decoder, n *yaml.Node, l *fault.LimitSpec) error {
		l.HasStage = true
		return stageForm.read(d, n, &l.Stage)
	}
	stage.write = func(l *fault.LimitSpec) *yaml.Node {
		if !l.HasStage {
			return nil
		}
		return stageForm.write(&l.Stage)
	}
	answer := as(refusal, func(l *fault.LimitSpec) reply {
		return reply{Code: l.Code, wording: wording{enhanced{l.Enhanced, l.NoEnhanced}, l.Text}}
	},
		func(l *fault.LimitSpec, r reply) {
			l.Code, l.Enhanced, l.NoEnhanced, l.Text = r.Code, r.Enhanced.Enhanced, r.Enhanced.none, r.Text
		})
	refuses := always("reply", answer, func(l *fault.LimitSpec) *fault.LimitSpec { return l }, "4xx or 5xx; the kind has a usual one.")
	refuses.write = func(l *fault.LimitSpec) *yaml.Node {
		if l.Code == 0 {
			return nil
		}
		return answer.write(l)
	}
	burst := at("burst", decimal.described(`{"type":"number","minimum":1}`), func(l *fault.LimitSpec) *float64 { return &l.Burst }, "Kind rate: tokens at most; default: one second's, at least 1.")
	rate = growing(rate, func(l *fault.LimitSpec) *fault.Growth { return &l.RateGrowth }, fault.ParseRate, func(l *fault.LimitSpec, v float64) string {
		return rateText(v, l.Burst != 0 || !l.BurstGrowth.IsZero())
	})
	burst = growing(burst, func(l *fault.LimitSpec) *fault.Growth { return &l.BurstGrowth }, parseDecimal, func(_ *fault.LimitSpec, v float64) string { return decimalText(v) })
	max = growing(max, func(l *fault.LimitSpec) *fault.Growth { return &l.MaxGrowth }, parseOctetsOf, maxText)
	limit := mapping(
		needs("name", textForm.described(someText), func(l *fault.LimitSpec) *string { return &l.Name }, "What refusals are counted under, as limit:NAME."),
		needs("kind", enum("a kind of limit", fault.ParseLimitKind, 0), func(l *fault.LimitSpec) *fault.LimitKind { return &l.Kind }, "What is counted."),
		at("scope", scopeForm(), func(l *fault.LimitSpec) *fault.Scope { return &l.Scope }, "Who shares the count: those that agree in each of these; the default is the kind's usual one."),
		stage,
		at("match", match, func(l *fault.LimitSpec) *fault.Match { return &l.Match }, "Whom it is for; everybody by default."),
		at("except", oneOrMore(match), func(l *fault.LimitSpec) *[]fault.Match { return &l.Except }, "Whom of these it is not for."),
		rate,
		burst,
		max,
		at("delay", duration, func(l *fault.LimitSpec) *time.Duration { return &l.Delay }, "Kind greylist: from the first sight of a triple to the first acceptance."),
		at("window", duration, func(l *fault.LimitSpec) *time.Duration { return &l.Window }, "Kind greylist: from the first sight to a retry that still counts, and how long an accepted triple is known."),
		at("per", duration, func(l *fault.LimitSpec) *time.Duration { return &l.Per }, "Kind quota: how long a window is."),
		at("from", enum("first or clock", fault.ParseQuotaFrom, 0), func(l *fault.LimitSpec) *fault.QuotaFrom { return &l.From }, "Kind quota: windows begin with the first use, or at the multiples of per by the clock, UTC."),
		refuses,
	)
	object := limit.schema
	limit.schema = func(defs definitions) string { // a rate per day has a burst
		return strings.TrimSuffix(object(defs), "}") +
			`,"if":{"required":["rate"],"properties":{"rate":{"type":"string","pattern":"/d"}}},"then":{"required":["burst"]}}`
	}
	return limit.named("limit").checked(func(n *yaml.Node, l *fault.LimitSpec) error {
		if child(n, "kind") == nil {
			return within("kind", errorf(n, "missing (want what the limit counts)"))
		}
		if rate := child(n, "rate"); rate != nil && strings.Contains(deref(rate).Value, "/d") && child(n, "burst") == nil {
			return within("rate", errorf(rate, "a rate per day needs a burst: without one it is a second's tokens, %v (want burst, or kind: quota with max and per: 1d)", max1(l.Rate)))
		}
		return nil
	})
}

// max1 is the burst that a rate has when none is given.
func max1(rate float64) float64 { return math.Max(1, math.Ceil(rate)) }

// rateText writes a rate per second, minute or hour, or with a burst day: in the first of these in which it is a whole number, and else as it is.
func rateText(perSecond float64, burst bool) string {
	for _, unit := range [...]struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}} {
		if unit.name == "d" && !burst {
			break
		}
		v := math.Round(perSecond * unit.seconds)
		if text := decimalText(v) + "/" + unit.name; v/unit.seconds == perSecond {
			return text
		}
	}
	return decimalText(perSecond) + "/s"
}

// scopeForm is an identity, or a list of several that all count.
func scopeForm() form[fault.Scope] {
	one := scalar("a scope", fault.ParseIdentity, fault.Scope.String,
		`{"anyOf":[{"type":"string","enum":`+asJSON(fault.ScopeNames())+`},`+patternSchema(`^network/[0-9]{1,2}/[0-9]{1,3}$`)+`]}`).named("identity")
	many := oneOrMore(one)
	return form[fault.Scope]{
		read: func(d *decoder, n *yaml.Node, into *fault.Scope) error {
			var list []fault.Scope
			if err := many.read(d, n, &list); err != nil {
				return err
			}
			var err error
			if *into, err = fault.JoinScopes(list); err != nil {
				return errorAt(n, err)
			}
			return nil
		},
		write: func(v *fault.Scope) *yaml.Node {
			list := v.Identities()
			return many.write(&list)
		},
		schema: many.schema,
	}.named("scope")
}
