package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// prdr starts a session that offers PRDR, and greets.
func prdr(t *testing.T, rules string, maxSize int64, r session.Recorder) *sinktest.SessionConn {
	t.Helper()
	f, err := plan.Parse("plan.yaml", []byte("version: 1\n"+rules+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t)
	s.Config.Service.PRDR, s.Config.MaxSize = true, maxSize
	p := sinktest.NewSessionConn(s, &session.Env{Plans: sinktest.FixedPlan{Plan: f.Plan}, Recorder: r})
	if err := p.Send([]byte("EHLO c\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Output()); !strings.Contains(got, "250-PRDR\r\n") {
		t.Errorf("EHLO says %q", got)
	}
	return p
}

// With PRDR each recipient gets a reply, by rules about him, and all of them one at the end.
func TestPRDR(t *testing.T) {
	for _, tt := range []struct {
		name, rules, params string
		maxSize             int64
		recipients          string
		want                string
		rows                string
	}{
		{"accepted", "", " PRDR", 0, "a b", "353 250 250 250", "250 250"},
		{"some refused", "rules: [{stage: message, match: {recipient: b@x.example}, reply: 550}, {stage: message, match: {recipient: c@x.example}, reply: 450}]", " SIZE=10 prdr", 0, "a b c", "353 250 550 450 250", "250 550 450"},
		{"all refused", "rules: [{stage: message, reply: 550}]", " PRDR", 0, "a b", "353 550 550 550", "550 550"},
		{"none yet", "rules: [{stage: message, match: {recipient: a@x.example}, reply: 550}, {stage: message, reply: 451}]", " PRDR", 0, "a b", "353 550 451 450", "550 451"},
		{"not asked for", "rules: [{stage: message, match: {recipient: b@x.example}, reply: 550}]", "", 0, "a b", "550", "550 550"},
		{"too big", "", " PRDR", 1, "a b", "353 552 552 550", "552 552"},
		{"closed behind the last", "rules: [{stage: message, match: {recipient: b@x.example}, reply: 421}]", " PRDR", 0, "a b", "353 250 421", "250 421"},
		{"nobody", "rules: [{stage: rcpt, reply: 550}, {stage: data, reply: 354}]", " PRDR", 0, "a", "554", "550"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rows attempts
			p := prdr(t, tt.rules, tt.maxSize, &rows)
			say(t, p, "MAIL FROM:<s@x.example>"+tt.params)
			for _, name := range strings.Fields(tt.recipients) {
				say(t, p, "RCPT TO:<"+name+"@x.example>")
			}
			say(t, p, "DATA")
			if got := say(t, p, "Subject: x", "", "x", "."); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := strings.Join(rows.codes, " "); got != tt.rows {
				t.Errorf("rows have %s, want %s", got, tt.rows)
			}
		})
	}
}

// The replies are drawn for each recipient.
func TestPRDRIsDrawnByRecipient(t *testing.T) {
	var runs [2][]string
	for run := range runs {
		p := prdr(t, "rules: [{stage: message, key: recipient, outcomes: [{weight: 1}, {weight: 1, reply: 550}]}]", 0, nil)
		say(t, p, "MAIL FROM:<s@x.example> PRDR")
		for i := range 40 {
			say(t, p, fmt.Sprintf("RCPT TO:<r%d@x.example>", i))
		}
		say(t, p, "DATA")
		runs[run] = strings.Fields(say(t, p, "."))
	}
	refused := 0
	for _, code := range runs[0][1:] {
		if code == "550" {
			refused++
		}
	}
	if len(runs[0]) != 42 || refused < 8 || refused > 32 || !slices.Equal(runs[0], runs[1]) {
		t.Errorf("%d replies, %d of them refusals, and again the same: %v", len(runs[0]), refused, slices.Equal(runs[0], runs[1]))
	}
}

// attempts notes the codes of the rows of attempts.
type attempts struct {
	verdicts
	codes []string
}

func (a *attempts) Attempt(row *session.Attempt) {
	a.codes = append(a.codes, fmt.Sprint(uint16(row.Code)))
}
