package decide_test

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func (c *client) Stand(x *fault.StageReactions, o *fault.Occurrence) {
	o.Levels = &c.levels
}

func (c *client) Count(_ *fault.StageReactions, o *fault.Occurrence, counts fault.Counts) {
	c.log = append(c.log, fmt.Sprintf("count %v %b %b %b", o.Stage, counts.When, counts.Worse, counts.Back))
}

const treated = `
limits: [{name: pace, kind: rate, rate: 1/s}]
rules: [{stage: rcpt, reply: 450}, {name: marked, stage: mail, match: {standing: mark}, reply: 551}]
react:
  - {name: first, of: client, when: {stage: rcpt, code: 5xx}, then: {limits: [{name: own, kind: rate, rate: "halving(4/s,1/s)"}], rules: [{stage: rcpt, match: {level: 2-}, reply: 553}]}}
  - {name: second, of: client, when: {react: first}, then: {rules: [{stage: rcpt, reply: 421}]}}
  - {name: mark, of: client, when: {stage: mail}, worse: {stage: data, code: 354, after: 2}, back: {stage: mail, code: 551}}`

// TestTreatmentsAreAskedInOrder: between protocol errors and the plan's limits, in file order, limits first; who is refused is counted nowhere.
func TestTreatmentsAreAskedInOrder(t *testing.T) {
	v := viewOf(t, treated)
	tooBig := &smtp.Reply{Code: 552}
	for _, tt := range []struct {
		name    string
		levels  fault.Levels
		refused string // the limit that refuses
		point   decide.Point
		want    string
	}{
		{"nobody stands", fault.Levels{}, "", decide.Point{Stage: smtp.StageRcpt}, "rule 450 [ask pace]"},
		{"a treatment goes before limits", fault.Levels{1, 1}, "", decide.Point{Stage: smtp.StageRcpt}, "react:second 421 [ask own return own]"},
		{"in file order", fault.Levels{2, 1}, "", decide.Point{Stage: smtp.StageRcpt}, "react:first 553 [ask own return own count rcpt 11 11 0]"},
		{"limits before rules", fault.Levels{2, 1}, "own", decide.Point{Stage: smtp.StageRcpt}, "react:first 451 [ask own count rcpt 10 10 0]"},
		{"a limit of the plan refuses", fault.Levels{1}, "pace", decide.Point{Stage: smtp.StageRcpt}, "limit 451 [ask own ask pace return own]"},
		{"a protocol error goes before all", fault.Levels{2, 2}, "", decide.Point{Stage: smtp.StageRcpt, Error: tooBig}, "protocol 552 [count rcpt 1 1 0]"},
		{"a mark", fault.Levels{0, 0, 1}, "", decide.Point{Stage: smtp.StageMail}, "rule 551 [count mail 100 0 100]"},
		{"no mark", fault.Levels{}, "", decide.Point{Stage: smtp.StageMail}, "plain 0 [count mail 100 0 0]"},
		{"what makes it worse", fault.Levels{}, "", decide.Point{Stage: smtp.StageData}, "plain 0 [count data 0 100 0]"},
		{"what nobody counts", fault.Levels{}, "", decide.Point{Stage: smtp.StageNoop}, "plain 0 []"},
	} {
		c := &client{admit: map[string]bool{"own": tt.refused != "own", "pace": tt.refused != "pace"}, levels: tt.levels}
		var d fault.Decision
		o := decide.Decide(&d, v, tt.point, c)
		decide.React(&d, v, tt.point, c, o)
		code := smtp.Code(0)
		if d.Reply != nil {
			code = d.Reply.Code
		}
		by := d.Cause.String()
		if d.Reaction != nil {
			by += ":" + d.Reaction.Name
		}
		if got := fmt.Sprint(by, " ", code, " ", c.log); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestSpreadOfATreatment: what a treatment draws is told with its odds, and whose it is.
func TestSpreadOfATreatment(t *testing.T) {
	v := viewOf(t, `react: [{name: new, of: client, when: {stage: message}, after: 0, then: {rules: [{stage: rcpt, outcomes: [{weight: 3, reply: 450}, {weight: 1}]}]}}]`)
	shares := decide.Spread(v, decide.Point{Stage: smtp.StageRcpt}, &client{levels: fault.Levels{1}})
	if len(shares) != 2 || shares[0].Probability != 0.75 || shares[0].Cause != fault.CauseReact || shares[0].Reaction.Name != "new" || shares[0].Reply.Code != 450 {
		t.Errorf("the shares are %+v, want 450 in three quarters of the cases by react:new", shares)
	}
}

func TestTreatmentsDoNotAllocate(t *testing.T) {
	v := viewOf(t, treated)
	c := &client{admit: map[string]bool{"own": true, "pace": true}, quiet: true, levels: fault.Levels{2}}
	if n := testing.AllocsPerRun(1000, func() {
		c.log = c.log[:0]
		var d fault.Decision
		decide.React(&d, v, decide.Point{Stage: smtp.StageRset}, c, decide.Decide(&d, v, decide.Point{Stage: smtp.StageRset}, c))
		decided(v, decide.Point{Stage: smtp.StageMail}, c)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
