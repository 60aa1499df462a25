package plan

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// recipientCounts are the sizes of message that Explain computes the chances of.
var recipientCounts = [...]int{1, 5, 50}

// Explain writes a plan in words: its listeners and limits; for the time outside of phases and for each phase the rules of each
// stage, the resulting probabilities per reply code, and the compounded chance that a message with 1, 5 or 50 recipients is
// accepted, deferred or bounced at its first attempt; what breaks replay; and what looks like a mistake. Errors are those of w.
func Explain(w io.Writer, f *File, serving Serving) error {
	e := explainer{plan: f.Plan, serving: serving}
	e.head(f)
	e.reactions()
	for _, phase := range f.Plan.Phases() {
		e.period(phaseWords(phase), phase)
	}
	e.period(map[bool]string{true: "always", false: "outside of these phases"}[len(f.Plan.Phases()) == 0], nil)
	e.assumptions()
	e.list("replay", e.replay(), "the same mail meets the same outcomes again, however many connections it comes over")
	e.list("memory", keeps(f.Plan), "it needs none")
	e.list("warnings", e.warnings(), "none")
	_, err := io.WriteString(w, fold(e.text.String()))
	return err
}

// fold breaks the lines that are longer than a terminal is wide; what goes on below is indented deeper than where it began.
func fold(all string) string {
	var b strings.Builder
	for line := range strings.Lines(all) {
		line = strings.TrimRight(line, " \n")
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if utf8.RuneCountInString(line) > text.Columns {
			deeper := indent + "  "
			line = indent + text.Wrap(line, text.Columns-len(deeper), "")
			line = strings.ReplaceAll(line, "\n", "\n"+deeper)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

type explainer struct {
	plan    *fault.Plan
	serving Serving
	text    bytes.Buffer
}

// printf adds text; what a plan's author wrote into a name does not steer the terminal of who reads it.
func (e *explainer) printf(format string, args ...any) {
	e.text.WriteString(smtp.VisibleLines(fmt.Sprintf(format, args...)))
}

func (e *explainer) head(f *File) {
	name := f.Plan.Name()
	if name == "" {
		name = "(without a name)"
	}
	e.printf("plan %s, from %s, seed %d\n", name, f.Name, f.Plan.Seed())
	if d := f.Plan.Description(); d != "" {
		e.printf("  %s\n", strings.Join(strings.Fields(d), " "))
	}
	for _, l := range f.Plan.Listeners() {
		protocol, tls := "SMTP", ""
		if l.LMTP {
			protocol = "LMTP"
		}
		if l.ImplicitTLS {
			tls = " with implicit TLS"
		}
		if l.Proxied {
			tls += " behind a proxy"
		}
		if l.DSN {
			tls += ", for notifications"
		}
		if words := serviceWords(&l.Service); words != "" {
			tls += "; " + words
		}
		e.printf("listener %s: %s on %s%s\n", l.Name, protocol, l.Address, tls)
	}
	for s := range smtp.NumStages {
		if r := f.Plan.PlainReply(smtp.Stage(s)); r != fault.Plain(smtp.Stage(s)) {
			e.printf("plain reply at %v: %v\n", smtp.Stage(s), r)
		}
	}
	if phases := f.Plan.Phases(); len(phases) > 0 {
		e.printf("storm: starts by %s", map[bool]string{true: "the first connection", false: "the clock"}[f.Plan.Start().Kind == fault.StartFirstConnection])
		if at := f.Plan.Start().At; !at.IsZero() {
			e.printf(" at %s", f.Plan.Start())
		}
		if f.Plan.Restart() {
			e.printf(", anew when this plan replaces another")
		}
		e.printf("\n")
	}
}

func phaseWords(p *fault.Phase) string {
	words := fmt.Sprintf("phase %q, %v", p.Name, p.Duration)
	if p.Times > 1 {
		words += fmt.Sprintf(", %d times", p.Times)
	}
	if p.Ramp != nil {
		words += fmt.Sprintf(", its rules apply to %s of the occurrences at its beginning and to %s at its end", percent(p.Ramp.From), percent(p.Ramp.To))
	}
	return words
}

// period explains a phase, or the time outside of phases.
func (e *explainer) period(title string, phase *fault.Phase) {
	e.printf("\n%s\n", title)
	limits, rules, faults := e.plan.AllLimits(), e.plan.OwnRules(), e.plan.View(zeroTime, zeroTime)
	limits = slices.DeleteFunc(slices.Clone(limits), func(l *fault.Limit) bool {
		return l.Phase != "" && (phase == nil || l.Phase != phase.Name)
	})
	if phase != nil {
		rules = slices.Concat(rules, phase.Rules)
		faults = phase.View(0)
	}
	for _, name := range faults.FaultyListeners() {
		e.printf("  listener %s: %v\n", name, faults.ListenerFault(name))
	}
	for _, l := range limits {
		e.limit(l)
	}
	for s := range smtp.NumStages {
		e.stage(smtp.Stage(s), rules)
	}
	if len(limits) == 0 && len(rules) == 0 {
		e.printf("  every stage gives its plain reply\n")
	}
	for _, t := range allTraffic(e.plan, e.serving, phase) {
		e.kind(t)
	}
}

func (e *explainer) limit(l *fault.Limit) {
	e.printf("  limit %q: %s; beyond: %s", l.Name, limitWords(l), codeWords(l.Reply))
	if !l.Match.IsZero() {
		e.printf("; for %s", matchWords(&l.Match))
	}
	for i := range l.Except {
		e.printf("; not for %s", matchWords(&l.Except[i]))
	}
	e.printf("\n")
}

// stage explains the rules of one stage.
func (e *explainer) stage(s smtp.Stage, rules []*fault.Rule) {
	titled := false
	for _, r := range rules {
		if r.Stage != s {
			continue
		}
		if !titled {
			e.printf("  %s\n", stageWords(s))
			titled = true
		}
		e.rule(r)
	}
}

// stageWords says when a stage occurs, where its name alone doesn't.
func stageWords(s smtp.Stage) string {
	if s == smtp.StagePregreet {
		return "pregreet: a client that talks while its greeting is held back"
	}
	return s.String()
}

func (e *explainer) rule(r *fault.Rule) {
	e.printf("    %q for %s\n", r.Name, ruleWords(r))
}

// ruleWords says for whom a rule is, and what it does.
func ruleWords(r *fault.Rule) string {
	who := "everybody"
	if !r.Match.IsZero() {
		who = matchWords(&r.Match)
	}
	for i := range r.Except {
		who += "; not for " + matchWords(&r.Except[i])
	}
	delay := &r.Outcomes[0].Delay
	shared := len(r.Outcomes) > 1 && !delay.IsZero()
	for i := range r.Outcomes {
		shared = shared && reflect.DeepEqual(r.Outcomes[i].Delay, *delay)
	}
	var outcomes []string
	for i := range r.Outcomes {
		words := outcomeWords(r.Stage, &r.Outcomes[i], shared)
		if len(r.Outcomes) > 1 {
			words = percent(r.Outcomes[i].Probability) + " " + words
		}
		outcomes = append(outcomes, words)
	}
	words := who + ": " + strings.Join(outcomes, "; ")
	if shared {
		words += "; each late by " + delayWords(delay)
	}
	if r.Key != fault.KeyAttempt {
		words += fmt.Sprintf("; one draw per %v", r.Key)
	}
	return words
}

// kind explains what one kind of mail meets.
func (e *explainer) kind(t *traffic) {
	title := t.mail()
	if t.when != "" {
		title += ", at the " + t.when
	}
	e.printf("  %s\n", title)
	stages := text.Table{Indent: "    "}
	for s := range smtp.NumStages {
		if codes := t.codes(smtp.Stage(s)); codes != "" {
			stages.Row(smtp.Stage(s), codes)
		}
	}
	chances := text.Table{Indent: "    "}
	chances.Row("recipients", "accepted by all", "deferred", "bounced by any")
	for i, f := range t.of(recipientCounts[:]...) {
		chances.Row(recipientCounts[i], percent(f.accepted), percent(f.deferred), percent(f.bounced))
	}
	e.text.WriteString(stages.String() + chances.String())
}

// codes says the probability of each reply code at a stage; empty when no rule speaks.
func (t *traffic) codes(s smtp.Stage) string {
	odds := t.odds(s)
	names := slices.Sorted(maps.Keys(odds))
	return strings.Join(texts(names, func(name string) string { return percent(odds[name]) + " " + name }), ", ")
}

func (e *explainer) assumptions() {
	e.printf(`
These chances are exact for a first attempt of one message alone on the client's
first connection, without STARTTLS and AUTH, whose recipients are of one domain,
come at once, and are drawn independently (or together, where a rule says so).
Its body is within all limits of size, and longer than what faults in a body
wait for. Buckets are full, quotas are unused, and greylists have seen nothing.
A lost connection, a reply that is missing or malformed, and 421 count as
deferred. A client whose EHLO is refused by 5yz says HELO. Mail with a condition
is an example of it, whatever else that meets.
Triggers and retries are not in the chances.
`)
	if len(e.plan.Reactions()) > 0 {
		e.printf(`Of reactions only those hold that begin at first sight, and none begins
meanwhile.
`)
	}
}

func (e *explainer) list(title string, lines []string, none string) {
	e.printf("\n%s\n", title)
	if len(lines) == 0 {
		lines = []string{none}
	}
	for _, line := range lines {
		e.printf("  %s\n", line)
	}
}
