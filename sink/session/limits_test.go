package session_test

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// TestLimitsCountWhatMatches: what a limit is not for does not count towards it.
func TestLimitsCountWhatMatches(t *testing.T) {
	for _, tt := range []struct {
		name, plan string
		lines      []string
		want       string
	}{
		{"messages of a sender", "limits: [{name: few, kind: messages, max: 1, match: {sender: \"*@loud.test\"}, reply: 451}]",
			[]string{"MAIL FROM:<a@c.test>", "RSET", "MAIL FROM:<b@c.test>", "RSET", "MAIL FROM:<a@loud.test>", "RSET", "MAIL FROM:<a@c.test>", "RSET", "MAIL FROM:<b@loud.test>"},
			"220 250 250 250 250 250 250 250 250 250 451"},
		{"messages but of the null sender", "limits: [{name: few, kind: messages, max: 2, except: {sender: \"<>\"}, reply: 451}]",
			[]string{"MAIL FROM:<>", "RSET", "MAIL FROM:<a@c.test>", "RSET", "MAIL FROM:<>", "RSET", "MAIL FROM:<a@c.test>", "RSET", "MAIL FROM:<a@c.test>", "MAIL FROM:<>"},
			"220 250 250 250 250 250 250 250 250 250 451 250"},
		{"recipients of a domain", "limits: [{name: few, kind: recipients, max: 1, match: {recipient: \"*@few.test\"}}]",
			[]string{"MAIL FROM:<a@c.test>", "RCPT TO:<a@s.test>", "RCPT TO:<b@s.test>", "RCPT TO:<a@few.test>", "RCPT TO:<c@s.test>", "RCPT TO:<b@few.test>", "RSET",
				"MAIL FROM:<a@c.test>", "RCPT TO:<b@few.test>"},
			"220 250 250 250 250 250 250 452 250 250 250"},
		{"recipients but of a domain", "limits: [{name: few, kind: recipients, max: 1, except: {recipient: \"*@free.test\"}}]",
			[]string{"MAIL FROM:<a@c.test>", "RCPT TO:<a@free.test>", "RCPT TO:<b@free.test>", "RCPT TO:<a@s.test>", "RCPT TO:<c@free.test>", "RCPT TO:<b@s.test>"},
			"220 250 250 250 250 250 250 452"},
		{"recipients that were accepted", "limits: [{name: few, kind: recipients, max: 1, match: {recipient: \"*@few.test\"}}]\nrules: [{stage: rcpt, match: {recipient: bad@few.test}, reply: 550}]",
			[]string{"MAIL FROM:<a@c.test>", "RCPT TO:<bad@few.test>", "RCPT TO:<a@few.test>", "RCPT TO:<b@few.test>"},
			"220 250 250 550 250 452"},
		{"messages that no other limit refuses", "limits: [{name: few, kind: messages, max: 1, match: {sender: \"*@c.test\"}, reply: 451}, {name: small, kind: size, stage: mail, max: 100}]",
			[]string{"MAIL FROM:<a@c.test> SIZE=200", "MAIL FROM:<a@c.test>", "RSET", "MAIL FROM:<a@c.test>"},
			"220 250 552 250 250 451"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := newPlanned(t, session.Env{}, tt.plan)
			if got := say(t, p, append([]string{"EHLO c"}, tt.lines...)...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
