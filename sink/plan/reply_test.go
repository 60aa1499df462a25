package plan_test

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// TestWordsOfReplies: what may be written of a reply beside its code, what check says of it, and what the canonical form makes of it.
func TestWordsOfReplies(t *testing.T) {
	for _, c := range []struct{ rule, words, canonical string }{
		{"{stage: rcpt, reply: 550/none}", "everybody: 550\n", "{stage: rcpt, reply: 550/none}"},
		{"{stage: rcpt, reply: {code: 550, enhanced: none}}", "everybody: 550\n", "{stage: rcpt, reply: 550/none}"},
		{
			"{stage: rcpt, reply: {code: 550, text: 'Not {{recipient}} from {{client}}'}}", "everybody: 550 5.1.1 that names recipient, client",
			`{stage: rcpt, reply: {code: 550, text: "Not {{recipient}} from {{client}}"}}`,
		},
		{
			"{stage: rcpt, reply: {code: 551, enhanced: none, forward: '{{local_part}}@x'}}", "everybody: 551 that names local_part",
			`{stage: rcpt, reply: {code: 551, enhanced: none, text: "User not local; please try <{{local_part}}@x>"}}`,
		},
		{
			"{stage: rcpt, reply: {forward: b@new.example, code: 251}}", "everybody: 251 2.1.5\n",
			`{stage: rcpt, reply: {code: 251, text: "User not local; will forward to <b@new.example>"}}`,
		},
	} {
		f, err := plan.Parse("test.yaml", []byte(rules(c.rule)))
		if err != nil {
			t.Error(err)
			continue
		}
		if words := explained(t, "test.yaml", rules(c.rule)); !strings.Contains(words, c.words) {
			t.Errorf("%s: check says\n%s, want %s", c.rule, words, c.words)
		}
		if text := string(plan.Encode(f.Spec)); !strings.Contains(text, "  - "+c.canonical+"\n") {
			t.Errorf("%s: the canonical form is\n%s, want %s", c.rule, text, c.canonical)
		}
	}
}

func TestPlainWords(t *testing.T) {
	const text = "version: 1\nplain: {connect: \"mx.example ESMTP\", message: {enhanced: none, text: [Kept, \"OK id={{queue_id}}\"]}}\n"
	f, err := plan.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(plan.Encode(f.Spec)); got != "version: 1\nplain: {connect: mx.example ESMTP, message: {enhanced: none, text: [Kept, \"OK id={{queue_id}}\"]}}\n" {
		t.Errorf("the canonical form is\n%s", got)
	}
	words := explained(t, "test.yaml", text)
	for _, want := range []string{"plain reply at connect: 220 mx.example ESMTP\n", "plain reply at message: 250-Kept / 250 OK id={{queue_id}}\n"} {
		if !strings.Contains(words, want) {
			t.Errorf("check says\n%s, want %s", words, want)
		}
	}
}

func TestReplyWordErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{rules("{stage: rcpt, reply: {code: 550, text: '{{mailbox}}'}}"), "test.yaml:3:26: rules[0].reply: unknown template {{mailbox}} (valid: {{queue_id}} {{client}} {{helo}} {{hostname}} {{sender}} {{recipient}} {{local_part}} {{date}})"},
		{rules("{stage: mail, reply: {code: 550, text: '{{recipient}}'}}"), "test.yaml:3:26: rules[0].reply: {{recipient}} is not known yet at stage mail (known at: rcpt data bdat message)"},
		{rules("{stage: rcpt, reply: {code: 550, forward: a@b.example}}"), "test.yaml:3:47: rules[0].reply.forward: reply 550 names no other address (want 251 or 551)"},
		{rules("{stage: rcpt, reply: {code: 551, text: x, forward: a@b.example}}"), "test.yaml:3:56: rules[0].reply.forward: beside a text (want one of them)"},
		{rules("{stage: rcpt, reply: 550/some}"), `test.yaml:3:26: rules[0].reply: invalid enhanced status code "some"`},
		{"version: 1\nplain: {}", "test.yaml:2:8: plain: an empty mapping (want one from stages to the words of their plain replies)"},
		{"version: 1\nplain: {lunch: x}", `test.yaml:2:9: plain: unknown stage "lunch" (valid: connect`},
		{"version: 1\nplain: {auth: x}", "test.yaml:2:15: plain.auth: what it says depends on what is offered (want a rule)"},
		{"version: 1\nlimits: [{name: a, kind: messages, max: 1, reply: {code: 421, text: '{{recipient}}'}}]", "{{recipient}} is not known yet at stage mail"},
	} {
		if _, err := plan.Parse("test.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n error is %v\n want %s", c.text, err, c.want)
		}
	}
}

// TestLongRepliesAreWarnedOf: a plan may say more than clients must take, and check says that it does.
func TestLongRepliesAreWarnedOf(t *testing.T) {
	long := strings.Repeat("x", 600)
	for text, want := range map[string]string{
		rules("{stage: rcpt, reply: {code: 550, text: " + long + "}}"):                                    `rule "rule 1": a line of the reply has 612 octets, and clients must take no more than 512`,
		"version: 1\nplain: {message: " + long + "}":                                                      "plain reply at message: a line of the reply has 612 octets",
		"version: 1\nlimits: [{name: a, kind: messages, max: 1, reply: {code: 421, text: " + long + "}}]": `limit "a": a line of the reply has 612 octets`,
	} {
		if words := strings.Join(strings.Fields(explained(t, "test.yaml", text)), " "); !strings.Contains(words, want) {
			t.Errorf("check says\n%s, want %s", words, want)
		}
	}
}
