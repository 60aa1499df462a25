package session_test

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// An outcome that was asked for is used up by the reply that it makes, and by no other: whatever AUTH is about.
func TestNextOutcomesOfAuthAreMetWhereTheyAreUsedUp(t *testing.T) {
	const elsewhere = "version: 1\nrules:\n- {stage: auth, match: {client: 203.0.113.0/24}, reply: 454}\n"
	slow, err := fault.ParseDelay("1ms")
	if err != nil {
		t.Fatal(err)
	}
	late := fault.OutcomeSpec{Code: 535, Text: []string{"asked for"}}
	for _, tt := range []struct {
		name, plan string
		outcome    fault.OutcomeSpec
		lines      []string
		want       string
		left       int
	}{
		{"a delay for a mechanism that nobody knows", elsewhere, fault.OutcomeSpec{Delay: slow}, []string{"AUTH NTLM"}, "504", 1},
		{"a reply for a mechanism that nobody knows", elsewhere, fault.OutcomeSpec{Code: 454}, []string{"AUTH NTLM"}, "454", 0},
		{"a reply, where the plan has no rules for AUTH", "version: 1\n", fault.OutcomeSpec{Code: 454}, []string{"AUTH NTLM"}, "454", 0},
		{"a failure waits for the end", "version: 1\n", late, []string{"AUTH LOGIN", encode("ann"), encode("secret")}, "334 334 535", 0},
		{"a failure in the place of a success", "version: 1\n", late, []string{"AUTH PLAIN " + encode("\x00ann\x00secret")}, "535", 0},
		{"a client that gives up", elsewhere, late, []string{"AUTH LOGIN", "*"}, "334 501", 1},
		{"a response that is not base64", elsewhere, fault.OutcomeSpec{Delay: slow}, []string{"AUTH PLAIN !"}, "501", 1},
		{"a failure in the place of a response that is not base64", elsewhere, late, []string{"AUTH PLAIN !"}, "535", 0},
		{"a reply now", "version: 1\n", fault.OutcomeSpec{Code: 432}, []string{"AUTH LOGIN"}, "432", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, err := fault.NewNext(fault.NextSpec{ID: "x", Stage: smtp.StageAuth, Outcome: tt.outcome, Times: 1})
			if err != nil {
				t.Fatal(err)
			}
			asked := new(state.Next)
			if _, err := asked.Add(sinktest.Epoch, next, 0, false); err != nil {
				t.Fatal(err)
			}
			f, err := plan.Parse("plan.yaml", []byte(tt.plan))
			if err != nil {
				t.Fatal(err)
			}
			p := sinktest.NewSessionConn(setup(t, "--auth", "ann:secret"), &session.Env{Next: asked, Plans: sinktest.FixedPlan{Plan: f.Plan}})
			say(t, p, "EHLO c")
			if got := say(t, p, tt.lines...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if left := asked.List(p.Now)[0].Remaining; left != tt.left {
				t.Errorf("%d are left, want %d", left, tt.left)
			}
		})
	}
}

// Reactions see what AUTH was answered, once, whoever has decided it.
func TestReactionsSeeTheReplyToAuth(t *testing.T) {
	react := "version: 1\nreact:\n- {name: guesser, of: client, when: {stage: auth, code: 535}, after: 2, then: {rules: [{stage: noop, reply: 421}]}}\n"
	for _, tt := range []struct {
		name, rules string
		tries       int
		want        string
	}{
		{"one wrong password", "", 1, "250"},
		{"two wrong passwords", "", 2, "421"},
		{"one planned failure, of three replies", "rules: [{stage: auth, reply: 535}]\n", 1, "250"},
		{"two planned failures", "rules: [{stage: auth, reply: 535}]\n", 2, "421"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, react+tt.rules)
			w.env.Auth = setup(t, "--auth", "ann:secret").Auth
			w.connect("A")
			ask := func(line string) string {
				w.conns["A"].say(line + "\r\n")
				return w.conns["A"].reply()
			}
			w.conns["A"].reply()
			ask("EHLO c")
			for range tt.tries {
				for _, line := range []string{"AUTH LOGIN", encode("ann"), encode("wrong")} {
					ask(line)
				}
			}
			if got := ask("NOOP"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("NOOP got %s, want %s", got, tt.want)
			}
		})
	}
}
