package plan

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestOddsAreMet sends messages through plans, deciding stage by stage as a client would meet it, and compares what becomes of them
// with the chances that Explain prints.
func TestOddsAreMet(t *testing.T) {
	const messages = 20_000
	start := time.Unix(0, 0)
	for _, c := range []struct{ name, text string }{
		{"independent recipients", `
rules:
  - {stage: connect, outcomes: [{weight: 19}, {reply: 421}]}
  - {stage: mail, outcomes: [{weight: 18}, {reply: 451}, {reply: 550}]}
  - {stage: rcpt, outcomes: [{weight: 14}, {weight: 2, reply: 450}, {weight: 2, reply: 550}, {reply: 421}, {close: rst}]}
  - {stage: data, outcomes: [{weight: 18}, {reply: 451}, {reply: 554}]}
  - {stage: message, outcomes: [{weight: 16}, {reply: 452}, {reply: 554}, {close: fin, delivery: keep}, {malformed: no-code}]}`},
		{"recipients that share a draw", `
rules:
  - {stage: rcpt, key: message, outcomes: [{weight: 6}, {weight: 2, reply: 450}, {weight: 1, reply: 550}, {weight: 1, reply: 421}]}
  - {stage: message, outcomes: [{weight: 3}, {weight: 1, reply: 554}]}`},
		{"half of a phase's rules", `
phases:
  - name: p
    duration: 1s
    ramp: {from: 0.5, to: 0.5}
    rules:
      - {stage: rcpt, key: message, outcomes: [{weight: 1}, {weight: 1, reply: 450}, {weight: 1, reply: 550}]}
      - {stage: message, reply: 451}`},
	} {
		f, err := Parse("x.yaml", []byte("version: 1\nseed: 11"+c.text))
		if err != nil {
			t.Fatal(err)
		}
		v := f.Plan.View(start, start)
		for _, n := range []int{1, 3, 5} {
			chances := newAtlas(f.Plan).traffic(v.Phase(), fault.Match{})
			chances.share = 0.5
			want := chances.of(n)
			var got fate
			for i := range messages {
				switch send(v, i, n) {
				case passes:
					got.accepted++
				case bounces:
					got.bounced++
				default:
					got.deferred++
				}
			}
			if sum := want.accepted + want.deferred + want.bounced; math.Abs(sum-1) > 1e-12 {
				t.Errorf("%s, %d recipients: chances sum to %v", c.name, n, sum)
			}
			for _, x := range []struct {
				name      string
				got, want float64
			}{{"accepted", got.accepted, want.accepted}, {"deferred", got.deferred, want.deferred}, {"bounced", got.bounced, want.bounced}} {
				// Five standard deviations of a binomial count; the seed is fixed.
				if share := x.got / messages; math.Abs(share-x.want) > 5*math.Sqrt(x.want*(1-x.want)/messages) {
					t.Errorf("%s, %d recipients: %.4f were %s, want %.4f", c.name, n, share, x.name, x.want)
				}
			}
		}
	}
}

// send sends one message, alone on its connection, and returns what became of it.
func send(v *fault.View, i, n int) effect {
	sender := fmt.Appendf(nil, "s%d@example.com", i)
	o := fault.Occurrence{ConnN: uint64(i + 1), Sender: sender, MailN: 1, MessageN: 1}
	meet := func(s smtp.Stage) smtp.Code {
		o.Stage = s
		d := v.Decide(&o)
		switch {
		case d.Chosen == nil:
			return fault.PlainCode(s)
		case d.Chosen.Unsent() || d.Chosen.Malformed != fault.MalformedNone:
			return 421 // the client gives up the connection
		}
		return d.Chosen.Code
	}
	for _, s := range []smtp.Stage{smtp.StageConnect, smtp.StageEhlo, smtp.StageMail} {
		if code := meet(s); code >= 500 {
			return bounces
		} else if code >= 400 {
			return defers
		}
	}
	bounced, accepted := false, 0
	for r := range n {
		o.Recipient, o.RcptN = fmt.Appendf(nil, "r%d@example.org", r), 1
		switch code := meet(smtp.StageRcpt); {
		case code == 421 && bounced:
			return bounces
		case code == 421:
			return defers
		case code >= 500:
			bounced = true
		case code < 300:
			accepted++
			o.RecipientsHash += fault.HashRecipient(o.Recipient)
		}
	}
	o.Recipient, o.RcptN, o.MaxRcptN = nil, 0, 1
	final := smtp.Code(450)
	if accepted > 0 {
		if final = meet(smtp.StageData); final == 354 {
			final = meet(smtp.StageMessage)
		}
	}
	switch {
	case bounced || final >= 500:
		return bounces
	case final < 300 && accepted == n:
		return passes
	}
	return defers
}
