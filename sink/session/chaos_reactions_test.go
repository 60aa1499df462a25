package session_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// drawWords draws the text of a reply, perhaps with fields that are known at the stage.
func drawWords(t *rapid.T, stage smtp.Stage) []string {
	words := []string{"own words", "{{client}} at {{date}}", "{{hostname}}{{hostname}}"}
	if stage != smtp.StageConnect && stage != smtp.StagePregreet {
		words = append(words, "{{client}} of {{helo}}")
	}
	switch stage {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage:
		words = append(words, "from <{{sender}}>")
		if stage != smtp.StageMail {
			words = append(words, "queued as {{queue_id}} for {{recipient}}, {{local_part}}")
		}
	}
	return rapid.SliceOfN(rapid.SampledFrom(words), 1, 3).Draw(t, "words")
}

// drawRaw draws a reply's own octets. They are no reply if that may be so.
func drawRaw(t *rapid.T, o *fault.OutcomeSpec, broken bool) {
	code := rapid.SampledFrom([]smtp.Code{250, 354, 421, 450, 550}).Draw(t, "raw code")
	whole := fmt.Sprintf("%d-own\r\n%[1]d words\r\n", code)
	o.Code, o.Raw = 0, []byte(whole)
	if broken {
		o.Code = code
		o.Raw = []byte(rapid.SampledFrom([]string{"", "x", "\r\n", "199 no code\r\n", "\xff\xfe\r\n", "250 no end", whole + whole, whole[:9]}).Draw(t, "octets"))
	}
}

// drawPlain draws the plan's own words for plain replies.
func drawPlain(t *rapid.T) (plain []fault.PlainSpec) {
	for _, stage := range []smtp.Stage{smtp.StageConnect, smtp.StageMail, smtp.StageRcpt, smtp.StageMessage, smtp.StageRset, smtp.StageQuit} {
		if rapid.IntRange(0, 5).Draw(t, "plain") == 0 {
			plain = append(plain, fault.PlainSpec{Stage: stage, NoEnhanced: rapid.Bool().Draw(t, "no enhanced code"), Text: drawWords(t, stage)})
		}
	}
	return plain
}

var reactionScopes = []fault.Scope{
	fault.ScopeClient, fault.ScopeNetwork, fault.ScopeConnection, fault.ScopeHelo, fault.ScopeSender, fault.ScopeSenderDomain, fault.ScopeRecipient, fault.ScopeRecipientDomain,
	fault.ScopeAll, fault.ScopeClient | fault.ScopeSenderDomain, fault.ScopeConnection | fault.ScopeRecipient, fault.NetworkScope(16, 32) | fault.ScopeHelo,
}

// stagesOf returns stages at which a key of the scope is known.
func stagesOf(of fault.Scope) []smtp.Stage {
	all := []smtp.Stage{
		smtp.StageConnect, smtp.StageEhlo, smtp.StageMail, smtp.StageRcpt, smtp.StageRcpt, smtp.StageData, smtp.StageMessage, smtp.StageRset, smtp.StageNoop, smtp.StageUnknown,
	}
	return slices.DeleteFunc(all, func(s smtp.Stage) bool { return of.KnownAt(s) != nil })
}

// drawWhen draws what a reaction counts: by stage, code, or who has decided.
func drawWhen(t *rapid.T, of fault.Scope, spec *fault.PlanSpec) (w fault.WhenSpec) {
	w.Stages = []smtp.Stage{rapid.SampledFrom(stagesOf(of)).Draw(t, "stage")}
	if rapid.IntRange(0, 2).Draw(t, "any stage") == 0 {
		w.Stages = nil
	}
	kinds := []string{"code"}
	if w.Stages != nil {
		kinds = append(kinds, "", "")
	}
	grey := slices.IndexFunc(spec.Limits, func(l fault.LimitSpec) bool { return l.Kind == fault.LimitGreylist })
	if grey >= 0 {
		kinds = append(kinds, "early")
	}
	if len(spec.Limits) > 0 {
		kinds = append(kinds, "limit")
	}
	if len(spec.Reactions) > 0 {
		kinds = append(kinds, "react")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "what counts") {
	case "code":
		w.Codes = []fault.CodePattern{rapid.SampledFrom([]fault.CodePattern{{Class: 2}, {Class: 4}, {Class: 5}, {Code: 250}, {Code: 550, Enhanced: smtp.Enhanced{Class: 5, Subject: 1, Detail: 1}}}).Draw(t, "code")}
	case "early":
		w.Stages, w.Early = []smtp.Stage{smtp.StageRcpt}, spec.Limits[grey].Name
	case "limit":
		w.Limit = spec.Limits[0].Name
		if w.Stages != nil && rapid.Bool().Draw(t, "whoever") {
			w.Limit = ""
		}
	case "react":
		w.React = spec.Reactions[0].Name
	}
	return w
}

// drawTreatment draws the limits and rules of a treatment, some of which grow with the level.
func drawTreatment(t *rapid.T, name string, of fault.Scope, broken bool) *fault.TreatmentSpec {
	then := &fault.TreatmentSpec{}
	stages := stagesOf(of)
	stage := func() smtp.Stage { return rapid.SampledFrom(stages).Draw(t, "stage") }
	for range rapid.IntRange(1, 3).Draw(t, "rules") {
		r := drawRule(t, stage(), broken)
		if rapid.Bool().Draw(t, "level") {
			r.Match.Levels = fault.Range{From: 2}
		}
		if rapid.IntRange(0, 2).Draw(t, "grows") == 0 {
			a := time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond
			r.Outcomes[0].Delay = fault.Delay{Kind: rapid.SampledFrom([]fault.DelayKind{fault.DelayDoubling, fault.DelayPerLevel}).Draw(t, "growth"), A: a, B: 4 * a}
		}
		then.Rules = append(then.Rules, r)
	}
	grown := fault.Growth{Kind: fault.GrowthDoubling, First: 1, Bound: 8}
	for _, l := range []fault.LimitSpec{
		{Name: "pace", Kind: fault.LimitRate, Burst: 2, RateGrowth: fault.Growth{Kind: fault.GrowthHalving, First: 2, Bound: 0.25}},
		{Name: "quota", Kind: fault.LimitQuota, Per: 10 * time.Second, MaxGrowth: grown},
		{Name: "own quota", Kind: fault.LimitQuota, Scope: fault.ScopeConnection, Per: 5 * time.Second, MaxGrowth: grown},
	} {
		if rapid.IntRange(0, 2).Draw(t, "limit") == 0 {
			l.Name, l.HasStage, l.Stage = name+": "+l.Name, true, stage()
			switch l.Stage {
			case smtp.StageConnect:
				if (l.Scope | of).Has(fault.ScopeConnection) { // it has one greeting only
					continue
				}
			case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage:
			default: // nobody limits it
				continue
			}
			then.Limits = append(then.Limits, l)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "grey") == 0 {
		then.Limits = append(then.Limits, fault.LimitSpec{Name: name + ": grey", Kind: fault.LimitGreylist, Delay: time.Second, Window: time.Minute})
	}
	return then
}

// drawReactions adds reactions of all keys to a plan, and rules that go by their standings.
func drawReactions(t *rapid.T, spec *fault.PlanSpec, broken bool) {
	seconds := func(most int) time.Duration {
		return time.Duration(rapid.IntRange(1, most).Draw(t, "seconds")) * time.Second
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "reactions") {
		of := rapid.SampledFrom(reactionScopes).Draw(t, "of")
		r := fault.ReactionSpec{Name: fmt.Sprint("r", i), Of: of, When: drawWhen(t, of, spec), After: rapid.IntRange(0, 3).Draw(t, "after")}
		if r.After > 0 && rapid.Bool().Draw(t, "within") {
			r.Within = seconds(20)
		}
		for range rapid.IntRange(0, 3).Draw(t, "for") {
			r.For = append(r.For, seconds(30))
		}
		if rapid.Bool().Draw(t, "worse") {
			r.Worse = &fault.CountSpec{WhenSpec: drawWhen(t, of, spec), After: rapid.IntRange(1, 3).Draw(t, "worse after")}
		}
		if rapid.IntRange(0, 2).Draw(t, "back") == 0 {
			back := drawWhen(t, of, spec)
			r.Back = &back
		}
		if rapid.IntRange(0, 3).Draw(t, "pace") == 0 {
			r.Pace = seconds(5)
		}
		if rapid.IntRange(0, 3).Draw(t, "mark") > 0 {
			r.Then = drawTreatment(t, r.Name, of, broken)
		}
		spec.Reactions = append(spec.Reactions, r)
		if rapid.Bool().Draw(t, "rule of a standing") {
			rule := fault.RuleSpec{Name: "of " + r.Name, Stage: rapid.SampledFrom(stagesOf(of)).Draw(t, "stage"), Outcomes: []fault.OutcomeSpec{{Weight: 1, Code: 450}}}
			if stands := []string{r.Name}; rapid.Bool().Draw(t, "but these") {
				rule.Except = []fault.Match{{Standings: stands}}
			} else {
				rule.Match.Standings = stands
			}
			spec.Rules = append(spec.Rules, rule)
		}
	}
}

// Standing checks what must hold of the rows of a standing.
func (l *ledger) Standing(s *event.Standing, _ session.Origin) {
	who := fmt.Sprintf("%s %x", s.React, s.Fingerprint)
	last, known := l.standings[who]
	switch {
	case s.From > fault.MaxLevel || s.To > fault.MaxLevel || s.From == s.To && s.To != fault.MaxLevel:
		l.t.Fatalf("a standing that has not changed: %+v", s)
	case (s.To == 0) && !s.Until.IsZero(), !s.Until.IsZero() && !s.Until.After(s.Time.Add(-time.Microsecond)):
		l.t.Fatalf("a standing that ends before it begins: %+v", s)
	case known && !s.Time.After(last.Time):
		l.t.Fatalf("a standing changes before it did: %+v after %+v", s, last)
	case s.From != 0 && (!known || last.To != s.From), s.From == 0 && known && last.To != 0 && (last.Until.IsZero() || last.Until.After(s.Time)):
		l.t.Fatalf("a standing that was another: %+v after %+v", s, last)
	case s.Conn == 0 || s.Reason == "":
		l.t.Fatalf("nobody knows why: %+v", s)
	}
	l.standings[who] = *s
	l.changes = append(l.changes, *s)
}

// checkStandings holds what the rows would restore to what there is.
func (l *ledger) checkStandings(plan *fault.Plan, have *state.Standings, now time.Time) {
	for _, r := range have.Stats() {
		if r.Evictions > 0 {
			return
		}
	}
	passing := map[string]bool{}
	for _, r := range plan.Reactions() {
		passing[r.Name] = r.Of.Has(fault.ScopeConnection)
	}
	again := state.NewStandings(0)
	again.Use(now, plan)
	restoring := again.Restore(now)
	for i := range l.changes {
		restoring.Stand(&l.changes[i])
	}
	restoring.End()
	list := func(s *state.Standings) (all []string) {
		found, _, err := s.List(now, state.StandingQuery{})
		if err != nil {
			l.t.Fatal(err)
		}
		for _, x := range found {
			if passing[x.Reaction] {
				continue
			}
			length := "without end"
			if !x.Until.IsZero() {
				length = x.Until.Sub(x.Changed).Round(time.Millisecond).String()
			}
			if x.Level == fault.MaxLevel { // those that are prolonged are told of once a second
				x.Changed = x.Changed.Truncate(time.Second)
			}
			all = append(all, fmt.Sprintf("%s %q %d since %v for %s", x.Reaction, x.Key, x.Level, x.Changed, length))
		}
		return all
	}
	if got, want := list(again), list(have); !slices.Equal(got, want) {
		l.t.Fatalf("of %d rows %q are restored, and there are %q", len(l.changes), got, want)
	}
}
