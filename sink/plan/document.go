package plan

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// document is a plan file.
type document struct {
	version int
	fault.PlanSpec
}

// format is the plan format, version 1: what Parse reads, Encode writes and Schema describes.
var format = documentForm()

func documentForm() form[document] {
	version := scalar(strconv.Itoa(Version), func(text string) (int, error) {
		if text != strconv.Itoa(Version) {
			return 0, fmt.Errorf("unknown format version %q (valid: %d)", text, Version)
		}
		return Version, nil
	}, strconv.Itoa, fmt.Sprintf(`{"type":"integer","enum":[%d]}`, Version))
	start := scalar("first-connection, clock or a time", fault.ParseStart, func(s fault.Start) string {
		if s.At.IsZero() {
			return s.String()
		}
		return s.At.Format(time.RFC3339Nano)
	}, patternSchema(`^(first-connection|clock|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt].+)$`))
	faults, limits, rules := listenerFaultsForm(), list(limitForm()), list(ruleForm())
	return mapping(
		needs("version", version, func(d *document) *int { return &d.version }, "Format version."),
		at("name", textForm, func(d *document) *string { return &d.Name }, "Name of the plan, in records and logs."),
		at("description", textForm, func(d *document) *string { return &d.Description }, "What the plan is for, one line or many."),
		at("seed", unsigned, func(d *document) *uint64 { return &d.Seed }, "Seed of all draws; the same seed gives the same replies."),
		at("start", start, func(d *document) *fault.Start { return &d.Start }, "What starts the first phase."),
		at("restart", boolean, func(d *document) *bool { return &d.Restart }, "The storm starts anew when this plan replaces another; otherwise its clock goes on."),
		at("listeners", list(listenerForm()), func(d *document) *[]fault.Listener { return &d.Listeners }, "Named addresses to listen on; none: the server's own."),
		at("listener_faults", faults, func(d *document) *[]fault.ListenerFaultSpec { return &d.ListenerFaults }, "Faults of listeners outside of phases, and in phases that say nothing about them."),
		at("plain", plainForm(), func(d *document) *[]fault.PlainSpec { return &d.Plain }, "Own words of plain replies, by stage; what they mean stays."),
		at("limits", limits, func(d *document) *[]fault.LimitSpec { return &d.Limits }, "Asked before all rules; the first that refuses decides."),
		at("rules", rules, func(d *document) *[]fault.RuleSpec { return &d.Rules }, "In every phase, before the phase's own; the first that matches decides."),
		at("phases", phasesForm(faults, limits, rules), func(d *document) *[]fault.PhaseSpec { return &d.Phases }, "The storm: phases in order. Afterwards only the plan's own rules and limits are left."),
	).checked(func(n *yaml.Node, d *document) error {
		if d.version == 0 {
			return within("version", errorf(n, "missing: the plan must say which format it has (add the line \"version: %d\")", Version))
		}
		return nil
	})
}

// listenerFaultsForm leads from names of listeners to faults.
func listenerFaultsForm() form[[]fault.ListenerFaultSpec] {
	return dictionary("names of listeners, or *, to faults", 0, textForm, enum("a listener fault", fault.ParseListenerFault, fault.ListenerUp),
		func(l *[]fault.ListenerFaultSpec) iter.Seq2[string, fault.ListenerFault] {
			return func(yield func(string, fault.ListenerFault) bool) {
				for _, s := range *l {
					if !yield(s.Listener, s.Fault) {
						return
					}
				}
			}
		},
		func(l *[]fault.ListenerFaultSpec, name string, f fault.ListenerFault) {
			*l = append(*l, fault.ListenerFaultSpec{Listener: name, Fault: f})
		}).named("listenerFaults")
}

func phasesForm(faults form[[]fault.ListenerFaultSpec], limits form[[]fault.LimitSpec], rules form[[]fault.RuleSpec]) form[[]fault.PhaseSpec] {
	var phases form[[]fault.PhaseSpec]
	group := form[[]fault.PhaseSpec]{ // the list of phases itself, which is there when a file is read
		read:   func(d *decoder, n *yaml.Node, into *[]fault.PhaseSpec) error { return phases.read(d, n, into) },
		write:  func(v *[]fault.PhaseSpec) *yaml.Node { return phases.write(v) },
		schema: func(defs definitions) string { return phases.schema(defs) },
	}
	share := decimal.described(`{"type":"number","maximum":1,"minimum":0}`).named("share")
	ramp := mapping(
		always("from", share, func(r *fault.Ramp) *float64 { return &r.From }, ""),
		always("to", share, func(r *fault.Ramp) *float64 { return &r.To }, ""),
	).named("ramp").starting(fault.Ramp{From: 0, To: 1})
	repeat := integer(1, fault.MaxRepeat).checked(func(n *yaml.Node, times *int) error {
		if *times == 0 {
			return errorf(n, "0 is out of range (want 1 to %d)", fault.MaxRepeat)
		}
		return nil
	})
	nested := at("phases", group, func(p *fault.PhaseSpec) *[]fault.PhaseSpec { return &p.Phases }, "Makes it a group: these happen in turn, repeat times. Groups don't nest.")
	nested.extra = `,"minItems":1`
	phases = list(mapping(
		at("name", textForm, func(p *fault.PhaseSpec) *string { return &p.Name }, "Unique within the plan; of a group: none."),
		at("duration", duration, func(p *fault.PhaseSpec) *time.Duration { return &p.Duration }, "Of a group: none."),
		at("ramp", pointer(ramp), func(p *fault.PhaseSpec) **fault.Ramp { return &p.Ramp }, "Share of the occurrences that the phase's rules apply to, from its beginning to its end."),
		at("repeat", repeat, func(p *fault.PhaseSpec) *int { return &p.Repeat }, "How often it happens."),
		at("listener_faults", faults, func(p *fault.PhaseSpec) *[]fault.ListenerFaultSpec { return &p.Listeners }, ""),
		at("limits", limits, func(p *fault.PhaseSpec) *[]fault.LimitSpec { return &p.Limits }, "Asked after the plan's own."),
		at("rules", rules, func(p *fault.PhaseSpec) *[]fault.RuleSpec { return &p.Rules }, "Asked after the plan's own."),
		nested,
	).named("phase")).starting([]fault.PhaseSpec{}) // an empty group is not no group
	return phases
}

func limitForm() form[fault.LimitSpec] {
	refusal := replyForm(400, `^[45][0-9]{2}(/([45]\.[0-9]{1,3}\.[0-9]{1,3}|none))?$`).named("refusal").checked(func(n *yaml.Node, r *reply) error {
		if r.Code == 0 {
			return errorf(n, "the plain reply is no refusal (want 400 to 599)")
		}
		return nil
	})
	rate := scalar("a rate such as 20/s", fault.ParseRate, rateText,
		`{"anyOf":[{"type":"number","exclusiveMinimum":0},`+patternSchema(`^[0-9.eE+]+ ?(/ ?[smh])?$`)+`]}`).named("rate")
	match := matchForm()
	max := at("max", octets, func(l *fault.LimitSpec) *int64 { return &l.Max }, "Kinds concurrency, messages, recipients and size.")
	size := max.write
	max.write = func(l *fault.LimitSpec) *yaml.Node {
		if l.Max == 0 || l.Kind == fault.LimitSize {
			return size(l)
		}
		return written(strconv.FormatInt(l.Max, 10)) // no octets
	}
	stage := at("stage", stageForm, func(l *fault.LimitSpec) *smtp.Stage { return &l.Stage }, "Where it is asked; the default is the kind's first.")
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
	return mapping(
		needs("name", textForm.described(someText), func(l *fault.LimitSpec) *string { return &l.Name }, "What refusals are counted under, as limit:NAME."),
		needs("kind", enum("a kind of limit", fault.ParseLimitKind, 0), func(l *fault.LimitSpec) *fault.LimitKind { return &l.Kind }, ""),
		at("scope", enum("a scope", fault.ParseLimitScope, 1), func(l *fault.LimitSpec) *fault.LimitScope { return &l.Scope }, "Who shares the count; the default is the kind's first."),
		stage,
		at("match", match, func(l *fault.LimitSpec) *fault.Match { return &l.Match }, "Whom it is for; everybody by default."),
		at("except", oneOrMore(match), func(l *fault.LimitSpec) *[]fault.Match { return &l.Except }, "Whom of these it is not for."),
		at("rate", rate, func(l *fault.LimitSpec) *float64 { return &l.Rate }, "Kind rate: tokens per s, m or h."),
		at("burst", decimal.described(`{"type":"number","minimum":1}`), func(l *fault.LimitSpec) *float64 { return &l.Burst }, "Kind rate: tokens at most; default: one second's, at least 1."),
		max,
		at("delay", duration, func(l *fault.LimitSpec) *time.Duration { return &l.Delay }, "Kind greylist: from the first sight of a triple to the first acceptance."),
		at("window", duration, func(l *fault.LimitSpec) *time.Duration { return &l.Window }, "Kind greylist: from the first sight to a retry that still counts, and how long an accepted triple is known."),
		refuses,
	).named("limit").checked(func(n *yaml.Node, l *fault.LimitSpec) error {
		if child(n, "kind") == nil {
			return within("kind", errorf(n, "missing (want what the limit counts)"))
		}
		return nil
	})
}

// rateText writes a rate per second, minute or hour: in the first of these in which it is a whole number, and else as it is.
func rateText(perSecond float64) string {
	for _, unit := range [...]struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}} {
		v := math.Round(perSecond * unit.seconds)
		if text := decimalText(v) + "/" + unit.name; v/unit.seconds == perSecond {
			return text
		}
	}
	return decimalText(perSecond) + "/s"
}
