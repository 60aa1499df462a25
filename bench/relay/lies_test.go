package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

const calm = "version: 1"

// refusing refuses whom its word names, and defers others once.
const refusing = `version: 1
rules:
  - {name: refuse, stage: rcpt, match: {recipient: "*@no.test"}, reply: 550/5.1.1}
  - {name: soon, stage: mail, match: {sender: "*@slow.test"}, outcomes: [{}, {reply: 451/4.3.0}]}
  - {name: later, stage: rcpt, match: {recipient: "*@slow.test", attempt: 1}, reply: 451/4.3.0}
`

// TestLies: each lie alone is named by the judge, with its exact count.
func TestLies(t *testing.T) {
	lie := func(kind relay.Kind, count, of int) []relay.Lie {
		return []relay.Lie{{Kind: kind, Count: count, Of: of}}
	}
	for _, test := range []struct {
		name  string
		plan  string
		lies  []relay.Lie
		mails []mail
		want  string
	}{
		{"none", refusing, nil, append(append(to("yes", 100), to("no", 50)...), to("slow", 50)...), "150 delivered, 50 refused, exit 0"},
		{"16 of 1,000 lost", calm, lie(relay.Lose, 16, 1000), to("r", 1000), "984 delivered, 16 lost, fault lost 16, exit 1"},
		{"copied to strangers", calm, lie(relay.Copy, 8, 200), to("r", 200), "200 delivered, fault misrouted 8, exit 1"},
		{"copied to strangers, bare", calm, lie(relay.CopyBare, 8, 200), to("r", 200), "200 delivered, fault misrouted 8, exit 1"},
		{"2 lost, and 2 others copied", calm, []relay.Lie{{relay.Lose, 2, 200}, {relay.Copy, 2, 200}}, to("r", 200), "198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"left without the reply", calm, lie(relay.HangUp, 8, 200), to("r", 200), "8 duplicated-ambiguous, 192 delivered, exit 0"},
		{"again after a 250", calm, lie(relay.Duplicate, 8, 200), to("r", 200), "8 duplicated, 192 delivered, fault duplicated 8, exit 1"},
		{"again 6 s after a 250", calm, lie(relay.DuplicateLate, 8, 200), to("r", 200), "8 duplicated, 192 delivered, fault duplicated 8, exit 1"},
		{"wrong recipient", calm, lie(relay.Misdeliver, 8, 200), to("r", 200), "192 delivered, 8 misdelivered, fault misdelivered 8, exit 1"},
		{"another message's recipient", calm, lie(relay.Cross, 8, 190), to("r", 200), "192 delivered, 8 misdelivered, fault misdelivered 8, exit 1"},
		{"another message's recipient, by sender", calm, lie(relay.Cross, 8, 190), bySender("src.test", to("r", 200)), "192 delivered, 8 misdelivered, fault misdelivered 8, exit 1"},
		{"body changed", calm, lie(relay.ChangeBody, 8, 200), to("r", 200), "8 delivered-altered, 192 delivered, fault delivered-altered 8, exit 1"},
		{"X-Storm-Id dropped", calm, lie(relay.DropStormID, 8, 200), to("r", 200), "200 delivered, fault header-lost 8, exit 1"},
		{"Message-ID dropped", calm, lie(relay.DropMessageID, 8, 200), to("r", 200), "200 delivered, fault header-lost 8, exit 1"},
		{"Message-ID rewritten", calm, lie(relay.RewriteMessageID, 8, 200), to("r", 200), "200 delivered, warning message-id-rewritten 8, exit 0"},
		{"contents swapped", calm, lie(relay.SwapContents, 8, 200), to("r", 200), "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"bodies swapped", calm, lie(relay.SwapBodies, 8, 200), to("r", 200), "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"5xx retried", refusing, lie(relay.RetryRefused, 38, 60), append(to("no", 80), to("yes", 20)...), "20 delivered, 80 refused, fault retried-after-refusal 38, exit 1"},
		{"retried too soon", refusing, lie(relay.RetrySoon, 4, 50), append(to("slow", 50), to("yes", 20)...), "70 delivered, fault retried-too-soon 4, exit 1"},
		{"retried too soon after MAIL", refusing, lie(relay.RetrySoon, 4, 15), bySender("slow.test", to("yes", 60)), "60 delivered, fault retried-too-soon 4, exit 1"},
		{"refused mail copied to strangers", refusing, lie(relay.Copy, 8, 50), to("no", 50), "50 refused, fault misrouted 8, exit 1"},
		{"refused mail to wrong recipients", refusing, lie(relay.Misdeliver, 8, 50), to("no", 50), "8 misdelivered, 42 refused, fault misdelivered 8, exit 1"},
		{"forged", refusing, lie(relay.ForgeDSN, 8, 100), append(to("no", 20), to("yes", 100)...), "100 delivered, 20 refused, fault dsn-forged 8, exit 1"},
		{"doubled", refusing, lie(relay.DoubleDSN, 51, 120), append(to("no", 120), to("yes", 20)...), "20 delivered, 120 refused, fault dsn-repeated 51, exit 1"},
		{"withheld", refusing, lie(relay.WithholdDSN, 50, 120), append(to("no", 120), to("yes", 20)...), "20 delivered, 120 refused, fault dsn-missing 50, exit 1"},
		{"many at once", refusing, []relay.Lie{
			{relay.Lose, 16, 500}, {relay.Copy, 3, 500}, {relay.CopyBare, 4, 500}, {relay.HangUp, 5, 500}, {relay.Misdeliver, 8, 500}, {relay.ChangeBody, 7, 500},
			{relay.DropStormID, 9, 500}, {relay.RewriteMessageID, 10, 500}, {relay.SwapContents, 8, 500}, {relay.SwapBodies, 6, 500},
			{relay.Duplicate, 11, 200}, {relay.DuplicateLate, 12, 200}, {relay.ForgeDSN, 13, 200},
		}, to("r", 500), "23 duplicated, 5 duplicated-ambiguous, 35 delivered-altered, 413 delivered, 8 misdelivered, 16 lost, fault lost 16, fault duplicated 23, " +
			"fault delivered-altered 35, fault misdelivered 8, fault misrouted 7, fault bodies-swapped 28, fault header-lost 9, fault dsn-forged 13, warning message-id-rewritten 10, exit 1"},
		{"refusals and deferrals, all lies about them", refusing, []relay.Lie{
			{relay.RetryRefused, 38, 150}, {relay.DoubleDSN, 51, 150}, {relay.WithholdDSN, 50, 150}, {relay.RetrySoon, 4, 40}, {relay.ForgeDSN, 8, 30},
		}, append(append(to("no", 150), to("slow", 40)...), to("yes", 30)...),
			"70 delivered, 150 refused, fault retried-after-refusal 38, fault retried-too-soon 4, fault dsn-missing 50, fault dsn-forged 8, fault dsn-repeated 51, exit 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, result := liar(t, test.plan, test.lies, test.mails)
			r.said(result, test.want)
		})
	}
}

// bySender has each message known by a sender of its own, in a domain that plans match.
func bySender(domain string, mails []mail) []mail {
	for i := range mails {
		mails[i].bySender, mails[i].domain = true, domain
	}
	return mails
}

// rough defers, loses replies and delays, but refuses nobody for good.
const rough = `version: 1
seed: 9
rules:
  - {name: sender, stage: mail, outcomes: [{weight: 90}, {weight: 10, reply: 451/4.3.0}]}
  - {name: recipient, stage: rcpt, outcomes: [{weight: 85}, {weight: 10, reply: 450/4.2.0}, {weight: 5, close: rst}]}
  - {name: content, stage: message, outcomes: [{weight: 70}, {weight: 10, reply: 451/4.3.0}, {weight: 10, close: fin, delivery: keep}, {weight: 10, delay: 50ms}]}
`

// TestLiesInAStorm: whatever faults the sink injects, and whatever names the messages, the judge finds each lie, and nothing that is none.
func TestLiesInAStorm(t *testing.T) {
	lies := []relay.Lie{
		{relay.Lose, 16, 400}, {relay.Copy, 5, 400}, {relay.CopyBare, 6, 400}, {relay.Misdeliver, 8, 400}, {relay.ChangeBody, 7, 400}, {relay.DropStormID, 9, 400},
		{relay.DropMessageID, 4, 400}, {relay.RewriteMessageID, 10, 400}, {relay.SwapContents, 8, 400}, {relay.SwapBodies, 6, 400},
		{relay.Duplicate, 11, 150}, {relay.ForgeDSN, 13, 150}, {relay.RetrySoon, 14, 60},
	}
	const want = "lost 16, duplicated 11, delivered-altered 35, misdelivered 8, misrouted 11, bodies-swapped 28, header-lost 13, retried-too-soon 14, dsn-forged 13, message-id-rewritten 10"
	byHeader := to("yes", 400)
	for i := range byHeader {
		byHeader[i].byHeader = true
	}
	for name, mails := range map[string][]mail{"by ENVID": to("yes", 400), "by sender": bySender("src.test", to("yes", 400)), "by header": byHeader} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lies, want := lies, want
			if name == "by header" { // a MAIL without ENVID, from the sender of all, is nobody's attempt
				lies, want = lies[:len(lies)-1], strings.Replace(want, "retried-too-soon 14, ", "", 1)
			}
			r, result := liar(t, rough, lies, mails)
			var got []string
			for _, f := range result.Findings {
				if f.Severity != reconcile.Information {
					got = append(got, fmt.Sprint(f.Kind, " ", f.Units))
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("found %s, want %s; all in all: %s", strings.Join(got, ", "), want, say(result))
			}
			r.told()
		})
	}
}
