package fault

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestDialogueHolds(t *testing.T) {
	for _, c := range []struct {
		d    Dialogue
		o    Occurrence
		want bool
	}{
		{Dialogue{}, Occurrence{}, true},
		{Dialogue{Mechanisms: []string{"NTLM", "external"}}, Occurrence{Mechanism: []byte("External")}, true},
		{Dialogue{Mechanisms: []string{"NTLM"}}, Occurrence{Mechanism: []byte("NTLM2")}, false},
		{Dialogue{Mechanisms: []string{"NTLM"}}, Occurrence{}, false},
		{Dialogue{Steps: Range{2, 3}}, Occurrence{AuthStep: 3}, true},
		{Dialogue{Steps: Range{2, 3}}, Occurrence{AuthStep: 1}, false},
		{Dialogue{Parameters: []string{"PRDR"}}, Occurrence{Parameters: []byte("SIZE=1 prdr")}, true},
		{Dialogue{Parameters: []string{"PRDR"}}, Occurrence{Parameters: []byte("PRDRX")}, false},
		{Dialogue{Parameters: []string{"PRDR"}}, Occurrence{Parameters: []byte("PRDR=1")}, false},
		{Dialogue{Parameters: []string{"BODY=7BIT", "auth=*"}}, Occurrence{Parameters: []byte("BODY=8BITMIME AUTH=<>")}, true},
		{Dialogue{Parameters: []string{"SIZE=?"}}, Occurrence{Parameters: []byte("SIZE=12")}, false},
	} {
		m := Match{Dialogue: c.d}
		if holds := newMatcher(&m); holds.holdsAll(&c.o) != c.want {
			t.Errorf("%+v with %q %d %q holds: %v", c.d, c.o.Mechanism, c.o.AuthStep, c.o.Parameters, !c.want)
		}
		if m.IsZero() != (c.d.isZero()) {
			t.Errorf("%+v is no condition: %v", c.d, m.IsZero())
		}
		if !m.IsZero() {
			o := Occurrence{}
			m.Example(&o, nil)
			if matcher := newMatcher(&Match{Dialogue: Dialogue{Parameters: c.d.Parameters}}); !matcher.holdsAll(&o) {
				t.Errorf("the example of %+v is %q", c.d, o.Parameters)
			}
		}
	}
}

func TestDialogueErrors(t *testing.T) {
	for _, c := range []struct {
		stage smtp.Stage
		d     Dialogue
		want  string
	}{
		{smtp.StageMail, Dialogue{Mechanisms: []string{"PLAIN"}}, "match.mechanism: not known at stage mail (known at: auth)"},
		{smtp.StageMail, Dialogue{Steps: Range{1, 1}}, "match.step: not known at stage mail (known at: auth)"},
		{smtp.StageEhlo, Dialogue{Parameters: []string{"PRDR"}}, "match.parameter: not known yet at stage ehlo (known at: mail rcpt data bdat message)"},
		{smtp.StageAuth, Dialogue{Steps: Range{3, 1}}, "match.step: empty range 3-1 (want the lower bound first)"},
		{smtp.StageAuth, Dialogue{Mechanisms: []string{"SCRAM*"}}, `match.mechanism: invalid mechanism "SCRAM*" (want 1 to 20 letters, digits, - and _, such as NTLM)`},
		{smtp.StageMail, Dialogue{Parameters: []string{"*"}}, `match.parameter: invalid parameter "*" (want a keyword, with = and its value where it has one, such as PRDR or AUTH=*)`},
		{smtp.StageMail, Dialogue{Parameters: []string{"=x"}}, `match.parameter: invalid parameter "=x"`},
	} {
		_, err := NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: c.stage, Match: Match{Dialogue: c.d}}}})
		if err == nil || !strings.HasPrefix(err.Error(), "rule 1: "+c.want) {
			t.Errorf("%v %+v: error is %v, want %s", c.stage, c.d, err, c.want)
		}
	}
	if _, err := NewNext(NextSpec{ID: "x", Stage: smtp.StageAuth, Times: 1, Match: Match{Dialogue: Dialogue{Steps: Range{1, 1}}}}); err == nil || !strings.Contains(err.Error(), "noted only where a plan matches on them") {
		t.Errorf("the error of an outcome that was asked for is %v", err)
	}
}
