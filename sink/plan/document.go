package plan

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
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
	}, strconv.Itoa, fmt.Sprintf(`{"type":"integer","enum":[%d]}`, Version)).bare(strconv.Itoa(Version))
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
		at("seed", unsigned, func(d *document) *uint64 { return &d.Seed }, "Seed of all draws: the same seed gives the same replies; default: 0."),
		at("start", start, func(d *document) *fault.Start { return &d.Start }, "What starts the first phase: the first connection, the plan's coming into force (clock), or a time (RFC 3339); default: first-connection."),
		at("restart", boolean, func(d *document) *bool { return &d.Restart }, "The storm starts anew when this plan replaces another; otherwise its clock goes on; default: false."),
		at("listeners", list(listenerForm()), func(d *document) *[]fault.Listener { return &d.Listeners }, "Named addresses to listen on; none: the server's own."),
		at("listener_faults", faults, func(d *document) *[]fault.ListenerFaultSpec { return &d.ListenerFaults }, "Faults of listeners outside of phases, and in phases that say nothing about them."),
		at("plain", plainForm(), func(d *document) *[]fault.PlainSpec { return &d.Plain }, "Own words of plain replies, by stage; what they mean stays."),
		at("limits", limits, func(d *document) *[]fault.LimitSpec { return &d.Limits }, "Asked before all rules; the first that refuses decides."),
		at("rules", rules, func(d *document) *[]fault.RuleSpec { return &d.Rules }, "In every phase, before the phase's own; the first that matches decides."),
		at("react", list(reactionForm(limits, rules)), func(d *document) *[]fault.ReactionSpec { return &d.Reactions }, "What senders' own behaviour leads to, for those who behave so; treatments are asked before limits and rules."),
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
		always("from", share, func(r *fault.Ramp) *float64 { return &r.From }, "At the phase's begin."),
		always("to", share, func(r *fault.Ramp) *float64 { return &r.To }, "At its end."),
	).named("ramp").starting(fault.Ramp{From: 0, To: 1})
	repeat := given(1, fault.MaxRepeat)
	nested := at("phases", group, func(p *fault.PhaseSpec) *[]fault.PhaseSpec { return &p.Phases }, "Makes it a group: these happen in turn, repeat times. Groups don't nest.")
	nested.extra = `,"minItems":1`
	phases = list(mapping(
		at("name", textForm, func(p *fault.PhaseSpec) *string { return &p.Name }, "Unique within the plan; of a group: none."),
		at("duration", duration, func(p *fault.PhaseSpec) *time.Duration { return &p.Duration }, "Of a group: none."),
		at("ramp", pointer(ramp), func(p *fault.PhaseSpec) **fault.Ramp { return &p.Ramp }, "Share of the occurrences that the phase's rules apply to, from its beginning to its end."),
		at("repeat", repeat, func(p *fault.PhaseSpec) *int { return &p.Repeat }, "How often it happens."),
		at("listener_faults", faults, func(p *fault.PhaseSpec) *[]fault.ListenerFaultSpec { return &p.Listeners }, "Faults of listeners in this phase; names, or \"*\" for all others."),
		at("limits", limits, func(p *fault.PhaseSpec) *[]fault.LimitSpec { return &p.Limits }, "Asked after the plan's own."),
		at("rules", rules, func(p *fault.PhaseSpec) *[]fault.RuleSpec { return &p.Rules }, "Asked after the plan's own."),
		nested,
	).named("phase")).starting([]fault.PhaseSpec{}) // an empty group is not no group
	return phases
}
