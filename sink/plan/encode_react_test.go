package plan

import (
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func anyStage(t *rapid.T) smtp.Stage {
	return smtp.Stage(rapid.IntRange(0, smtp.NumStages-1).Draw(t, "stage"))
}

func anyLevels(t *rapid.T) fault.Range {
	from := rapid.Uint64Range(1, fault.MaxLevel).Draw(t, "level")
	return fault.Range{From: from, To: rapid.SampledFrom([]uint64{0, from, fault.MaxLevel}).Draw(t, "to")}
}

func anyWhen(t *rapid.T) fault.WhenSpec {
	w := fault.WhenSpec{
		Stages: several(t, "stages", anyStage), Rule: some(t, "rule", anyText), Limit: some(t, "limit", anyText), React: some(t, "react", anyText), Early: some(t, "early", anyText),
		Match: some(t, "match", anyMatch),
	}
	w.Codes = several(t, "codes", func(t *rapid.T) fault.CodePattern {
		return rapid.SampledFrom([]fault.CodePattern{{Class: 2}, {Class: 5}, {Code: 550}, {Code: 451, Enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 650}}}).Draw(t, "code")
	})
	return w
}

// anyTreatment draws limits and rules, of which values may grow.
func anyTreatment(t *rapid.T) *fault.TreatmentSpec {
	then := &fault.TreatmentSpec{Limits: several(t, "limits", anyLimit), Rules: several(t, "rules", anyRule)}
	for i := range then.Limits {
		if l := &then.Limits[i]; l.Kind == fault.LimitQuota && rapid.Bool().Draw(t, "grows") {
			l.Max, l.MaxGrowth = 0, fault.Growth{Kind: fault.GrowthDoubling, First: 7, Bound: float64(rapid.IntRange(7, 1<<40).Draw(t, "most"))}
		}
	}
	for i := range then.Rules {
		if r := &then.Rules[i]; rapid.Bool().Draw(t, "grows") {
			r.Delay = fault.Delay{Kind: fault.DelayHalving, A: time.Duration(rapid.IntRange(2000, 1<<40).Draw(t, "first")), B: 1500 * time.Nanosecond}
		}
	}
	return then
}

func anyReaction(t *rapid.T) fault.ReactionSpec {
	r := fault.ReactionSpec{
		Name: anyText(t), Of: anyScope(t), When: anyWhen(t), After: rapid.SampledFrom([]int{0, 1, 2, fault.MaxAfter}).Draw(t, "after"), Within: anyDuration(t),
		For: several(t, "for", anyDuration), Pace: anyDuration(t), Except: several(t, "except", anyMatch), Then: some(t, "then", anyTreatment),
	}
	if r.Of == 0 {
		r.Of = fault.ScopeAll
	}
	r.Worse = some(t, "worse", func(t *rapid.T) *fault.CountSpec {
		return &fault.CountSpec{WhenSpec: anyWhen(t), After: rapid.IntRange(1, 9).Draw(t, "after"), Within: anyDuration(t)}
	})
	r.Back = some(t, "back", func(t *rapid.T) *fault.WhenSpec { w := anyWhen(t); return &w })
	return r
}
