package session_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestDraws: what the session tells the plan at each stage is what the draws are made of: another session, or anybody who knows
// the facts, meets the same outcome.
func TestDraws(t *testing.T) {
	even := func(stage string, codes string) string { return "--reply " + stage + "=" + codes }
	client := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		stage  smtp.Stage
		flags  string
		before []string // %d is the number of the round
		last   string
		facts  func(round int, o *fault.Occurrence)
	}{
		{smtp.StageHelo, even("helo", "250:1,550:1"), nil, "HELO c.example", func(_ int, o *fault.Occurrence) { o.ConnN = 1 }},
		{smtp.StageNoop, even("noop", "250:1,451:1"), nil, "NOOP", func(round int, o *fault.Occurrence) { o.ConnN, o.Nth = 1, uint64(round)+1 }},
		{smtp.StageMail, even("mail", "250:1,451:1"), nil, "MAIL FROM:<a@c.example>", func(round int, o *fault.Occurrence) {
			o.Sender, o.MailN = []byte("a@c.example"), uint64(round)+1
		}},
		{smtp.StageRcpt, even("rcpt", "250:1,450:1"), []string{"MAIL FROM:<a@c.example>"}, "RCPT TO:<b@s.example>", func(round int, o *fault.Occurrence) {
			o.Sender, o.Recipient, o.RcptN = []byte("a@c.example"), []byte("b@s.example"), uint64(round)+1
		}},
		{smtp.StageData, even("data", "354:1,451:1"), []string{"MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<c%d@s.example>"}, "DATA", twoRecipients},
		{smtp.StageBdat, even("bdat", "250:1,451:1"), []string{"MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<c%d@s.example>"}, "BDAT 0", twoRecipients},
		{smtp.StageMessage, even("message", "250:1,451:1"),
			[]string{"MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<c%d@s.example>", "DATA"}, ".", twoRecipients},
	} {
		t.Run(tt.stage.String(), func(t *testing.T) {
			s := setup(t, append([]string{"--seed", "11"}, strings.Fields(tt.flags)...)...)
			p := sinktest.NewSessionConn(s, &session.Env{Attempts: counters{}})
			if tt.stage != smtp.StageHelo {
				say(t, p, "HELO c.example")
			}
			seen := map[string]int{}
			for round := range 40 {
				for _, line := range tt.before {
					if strings.Contains(line, "%d") {
						line = fmt.Sprintf(line, round)
					}
					say(t, p, line)
				}
				p.Output()
				got := say(t, p, tt.last)
				got = got[max(0, len(got)-3):]
				o := fault.Occurrence{Stage: tt.stage, Client: client, Helo: []byte("c.example"), Nth: 1}
				tt.facts(round, &o)
				d := s.Plan.View(time.Time{}, time.Time{}).Decide(&o)
				if want := fmt.Sprint(d.Rule.Outcomes[d.Outcome].Code); got != want {
					t.Errorf("round %d: got %s, want %s", round, got, want)
				}
				seen[got]++
				if got == "354" {
					say(t, p, ".")
				}
				say(t, p, "RSET")
			}
			if len(seen) != 2 && tt.stage != smtp.StageHelo { // a connection has one HELO's fate
				t.Errorf("only %v came in 40 rounds: this test shows nothing", seen)
			}
		})
	}
}

// twoRecipients is a transaction of a@c.example to b@s.example, to whom it is the n-th, and to a new recipient.
func twoRecipients(round int, o *fault.Occurrence) {
	o.Sender, o.Recipients, o.MaxRcptN = []byte("a@c.example"), 2, uint64(round)+1
	o.RecipientsHash = fault.HashRecipient([]byte("b@s.example")) + fault.HashRecipient(fmt.Appendf(nil, "c%d@s.example", round))
}
