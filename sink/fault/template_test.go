package fault

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestQueueID pins the ids: a run that is repeated names the same messages.
func TestQueueID(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.1")
	if id := QueueID(7, client, 1, 1); id != QueueID(7, netip.MustParseAddr("::ffff:192.0.2.1"), 1, 1) {
		t.Error("an address has another id when it is mapped into IPv6")
	}
	seen := map[uint64]bool{}
	for seed := range uint64(3) {
		for connection := range uint64(30) {
			for message := range uint64(30) {
				for _, c := range []netip.Addr{client, netip.MustParseAddr("2001:db8::1"), {}} {
					seen[QueueID(seed, c, connection, message)] = true
				}
			}
		}
	}
	if len(seen) != 3*30*30*3 {
		t.Errorf("%d ids of %d messages", len(seen), 3*30*30*3)
	}
	if id := string(smtp.AppendQueueID(nil, QueueID(7, client, 2, 3))); id != goldenQueueID {
		t.Errorf("the id is %s, want %s", id, goldenQueueID)
	}
}

const goldenQueueID = "FABD08242B4D8374"

func TestTemplatesAtStages(t *testing.T) {
	for _, test := range []struct {
		stage smtp.Stage
		text  string
		want  string // in the error; empty: none
	}{
		{smtp.StageConnect, "{{client}} {{date}} {{queue_id}} {{hostname}}", ""},
		{smtp.StageConnect, "{{helo}}", "{{helo}} is not known yet at stage connect (known at: helo ehlo"},
		{smtp.StageEhlo, "{{helo}}", ""},
		{smtp.StageMail, "{{sender}}", ""},
		{smtp.StageMail, "{{recipient}}", "{{recipient}} is not known yet at stage mail (known at: rcpt data bdat message)"},
		{smtp.StageRset, "{{sender}}", "{{sender}} is not known yet at stage rset (known at: mail rcpt data bdat message send soml saml)"},
		{smtp.StageMessage, "{{recipient}} {{local_part}}", ""},
		{smtp.StageRcpt, "{{rcpt}}", "unknown template {{rcpt}} (valid: {{queue_id}} "},
	} {
		spec := PlanSpec{Rules: []RuleSpec{{Stage: test.stage, Outcomes: []OutcomeSpec{{Weight: 1, Code: 550, Text: []string{test.text}}}}}}
		p, err := NewPlan(spec)
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%v %q: error is %v, want %q", test.stage, test.text, err, test.want)
		case err == nil && p.Needs().QueueIDs != strings.Contains(test.text, "queue_id"):
			t.Errorf("%v %q: the plan needs queue ids: %v", test.stage, test.text, p.Needs().QueueIDs)
		}
	}
}

func TestPlainWords(t *testing.T) {
	for _, test := range []struct {
		spec PlainSpec
		want string
	}{
		{PlainSpec{Stage: smtp.StageStartTLS, Text: []string{"x"}}, "plain.starttls: what it says depends on what is offered (want a rule)"},
		{PlainSpec{Stage: smtp.StageMessage}, "plain.message: no text (want at least one line)"},
		{PlainSpec{Stage: smtp.StageMail, Text: []string{"{{recipient}}"}}, "plain.mail: {{recipient}} is not known yet at stage mail (known at: rcpt data bdat message)"},
		{PlainSpec{Stage: smtp.StageMail, Enhanced: smtp.Enhanced{Class: 5}, Text: []string{"x"}}, "plain.mail: enhanced status code 5.0.0 contradicts reply code 250: its class must be 2"},
	} {
		if _, err := NewPlan(PlanSpec{Plain: []PlainSpec{test.spec}}); err == nil || err.Error() != test.want {
			t.Errorf("error is %v\n want %s", err, test.want)
		}
	}
	p := mustPlan(t, PlanSpec{Plain: []PlainSpec{{Stage: smtp.StageMessage, NoEnhanced: true, Text: []string{"OK id={{queue_id}}"}}}})
	if r := p.PlainReply(smtp.StageMessage); r.String() != "250 OK id={{queue_id}}" || !p.Needs().QueueIDs {
		t.Errorf("the plain reply is %v, queue ids are needed: %v", r, p.Needs().QueueIDs)
	}
	if r := p.PlainReply(smtp.StageRcpt); r != Plain(smtp.StageRcpt) {
		t.Errorf("the plain reply at rcpt is %v", r)
	}
}
