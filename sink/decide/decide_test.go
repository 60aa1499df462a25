package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// client is a connection that counts what it is asked.
type client struct {
	occurrence fault.Occurrence
	described  int
	admit      map[string]bool // by limit: whether it grants
	log        []string
	levels     fault.Levels
	quiet      bool // nothing is written down
	next       fault.Decision
}

func (c *client) Describe(s smtp.Stage, outOfOrder bool) *fault.Occurrence {
	c.described++
	c.occurrence.Stage = s
	return &c.occurrence
}

func (c *client) Admit(l *fault.Limit, _ *fault.Occurrence) bool {
	if !c.quiet {
		c.log = append(c.log, "ask "+l.Name)
	}
	return c.admit[l.Name]
}

func (c *client) Return(l *fault.Limit, _ *fault.Occurrence) { c.log = append(c.log, "return "+l.Name) }

func (c *client) Next(*fault.Occurrence) (fault.Decision, bool) {
	c.log = append(c.log, "next")
	return c.next, c.next.Cause == fault.CauseNext
}

// decided returns the decision.
func decided(v *fault.View, p decide.Point, c *client) (d fault.Decision) {
	decide.Decide(&d, v, p, c)
	return d
}

// viewOf parses the keys of a plan after its version.
func viewOf(t testing.TB, text string) *fault.View {
	t.Helper()
	f, err := plan.Parse("test.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Plan.View(time.Time{}, time.Time{})
}

const everybodySpeaks = `
limits: [{name: grey, kind: greylist, delay: 1m, window: 1h}]
rules:
  - {name: drawn, stage: rcpt, reply: 450}
  - {name: early, stage: rcpt, match: {sequence: bad}, reply: 451}
  - {name: open, stage: data, outcomes: [{reply: 354}, {reply: 554}]}`

// TestOrder: the first that speaks decides.
func TestOrder(t *testing.T) {
	tooBig := &smtp.Reply{Code: 552}
	badSequence := &smtp.Reply{Code: 503}
	nobody := &smtp.Reply{Code: 554}
	ask := &fault.Switch{Reply: &smtp.Reply{Code: 421}}
	v := viewOf(t, everybodySpeaks)
	for _, tt := range []struct {
		name    string
		view    *fault.View
		point   decide.Point
		granted bool
		cause   fault.Cause
		code    smtp.Code // 0: the plain reply
	}{
		{"a protocol error goes before all", v, decide.Point{Stage: smtp.StageRcpt, Error: tooBig, Switch: ask}, true, fault.CauseProtocol, 552},
		{"rules for commands out of order go before that error", v, decide.Point{Stage: smtp.StageRcpt, Error: badSequence}, true, fault.CauseRule, 451},
		{"where there are any", v, decide.Point{Stage: smtp.StageMail, Error: badSequence}, true, fault.CauseProtocol, 503},
		{"a limit goes before a trigger", v, decide.Point{Stage: smtp.StageRcpt, Switch: ask}, false, fault.CauseLimit, 451},
		{"a trigger goes before a rule", v, decide.Point{Stage: smtp.StageRcpt, Switch: ask}, true, fault.CauseTrigger, 421},
		{"a trigger goes before what was asked for the next", v, decide.Point{Stage: smtp.StageRcpt, Switch: ask, Next: true}, true, fault.CauseTrigger, 421},
		{"a limit goes before that", v, decide.Point{Stage: smtp.StageRcpt, Next: true}, false, fault.CauseLimit, 451},
		{"a protocol error, too", v, decide.Point{Stage: smtp.StageRcpt, Error: tooBig, Next: true}, true, fault.CauseProtocol, 552},
		{"it goes before a rule", v, decide.Point{Stage: smtp.StageRcpt, Next: true}, true, fault.CauseNext, 559},
		{"and needs no plan", nil, decide.Point{Stage: smtp.StageRcpt, Next: true}, true, fault.CauseNext, 559},
		{"a rule goes before the plain reply", v, decide.Point{Stage: smtp.StageRcpt}, true, fault.CauseRule, 450},
		{"the plain reply", v, decide.Point{Stage: smtp.StageMail}, true, fault.CausePlain, 0},
		{"no plan", nil, decide.Point{Stage: smtp.StageRcpt}, true, fault.CausePlain, 0},
		{"a rule that opens a body nobody gets", viewOf(t, "rules: [{stage: data, outcomes: [{reply: 355}]}]"),
			decide.Point{Stage: smtp.StageData, Error: nobody, NoRecipients: true}, true, fault.CauseRule, 355},
		{"a rule that opens none", viewOf(t, "rules: [{stage: data, reply: 451}]"),
			decide.Point{Stage: smtp.StageData, Error: nobody, NoRecipients: true}, true, fault.CauseProtocol, 554},
	} {
		c := &client{admit: map[string]bool{"grey": tt.granted}, next: fault.Decision{Cause: fault.CauseNext, Reply: &smtp.Reply{Code: 559}}}
		d := decided(tt.view, tt.point, c)
		var code smtp.Code
		if d.Reply != nil {
			code = d.Reply.Code
		}
		if d.Cause != tt.cause || code != tt.code {
			t.Errorf("%s: %d by %v, want %d by %v", tt.name, code, d.Cause, tt.code, tt.cause)
		}
	}
}

// TestNobodyIsAskedInVain: where nobody can speak, nothing is asked about the connection.
func TestNobodyIsAskedInVain(t *testing.T) {
	c := &client{}
	decided(viewOf(t, everybodySpeaks), decide.Point{Stage: smtp.StageMail}, c)
	decided(viewOf(t, everybodySpeaks), decide.Point{Stage: smtp.StageMail, Error: &smtp.Reply{Code: 503}}, c)
	if c.described != 0 || len(c.log) != 0 {
		t.Errorf("%d times described, asked %q; want nothing", c.described, c.log)
	}
}

// TestNoLimitIsChargedForAnother: limits are asked in file order until one refuses, and then none has counted.
func TestNoLimitIsChargedForAnother(t *testing.T) {
	v := viewOf(t, `limits:
- {name: pace, kind: rate, rate: 100/s}
- {name: others, kind: rate, rate: 1/s, match: {recipient: "*@elsewhere.test"}}
- {name: dom, kind: rate, scope: recipient-domain, rate: 30/s}
- {name: last, kind: rate, rate: 1/s}`)
	c := &client{admit: map[string]bool{"pace": true, "last": true}}
	c.occurrence.Recipient = []byte("b@recipient.test")
	if d := decided(v, decide.Point{Stage: smtp.StageRcpt}, c); d.Limit == nil || d.Limit.Name != "dom" {
		t.Errorf("decided %+v, want a refusal by dom", d)
	}
	if got, want := fmt.Sprint(c.log), "[ask pace ask dom return pace]"; got != want {
		t.Errorf("the connection was told %s, want %s", got, want)
	}
}

// TestSpreadIsWhatDecideDraws: the shares are those of the decisions over many keys, also of a phase whose rules apply to some only.
func TestSpreadIsWhatDecideDraws(t *testing.T) {
	f, err := plan.Parse("test.yaml", []byte(`version: 1
seed: 7
phases:
  - name: p
    duration: 1s
    ramp: {from: 0.4, to: 0.4}
    rules: [{stage: rcpt, outcomes: [{weight: 6}, {weight: 3, reply: 450}, {weight: 1, reply: 550}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	v := f.Plan.Phases()[0].Reaching(0.4)
	c := &client{}
	shares := decide.Spread(v, decide.Point{Stage: smtp.StageRcpt}, c)
	const draws = 20_000
	drawn, sum := make([]float64, len(shares)), 0.0
	for i := range draws {
		c.occurrence = fault.Occurrence{Sender: fmt.Appendf(nil, "s%d@c.test", i), Recipient: []byte("b@r.test"), RcptN: 1}
		d := decided(v, decide.Point{Stage: smtp.StageRcpt}, c)
		for j := range shares {
			if shares[j].Rule == d.Rule && shares[j].Chosen == d.Chosen {
				drawn[j]++
			}
		}
	}
	expected := make([]float64, len(shares))
	for j := range shares {
		sum += shares[j].Probability
		expected[j] = shares[j].Probability * draws
	}
	if len(shares) != 4 || sum < 1-1e-9 || sum > 1+1e-9 {
		t.Fatalf("%d shares that add up to %v, want 4 and 1", len(shares), sum)
	}
	if _, p := fit.ChiSquare(drawn, expected); p < 0.001 {
		t.Errorf("drawn %v, expected %v: p = %v", drawn, expected, p)
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	v := viewOf(t, everybodySpeaks)
	c := &client{admit: map[string]bool{"grey": true}, quiet: true}
	c.occurrence.Sender, c.occurrence.Recipient = []byte("a@sender.test"), []byte("b@recipient.test")
	badSequence := &smtp.Reply{Code: 503}
	if n := testing.AllocsPerRun(1000, func() {
		decided(v, decide.Point{Stage: smtp.StageRcpt}, c)
		decided(v, decide.Point{Stage: smtp.StageMail}, c)
		decided(v, decide.Point{Stage: smtp.StageRcpt, Error: badSequence}, c)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
