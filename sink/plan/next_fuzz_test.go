package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// FuzzParseNext: whoever may ask for outcomes may ask for anything. What is accepted can be met; the rest is one line.
func FuzzParseNext(f *testing.F) {
	for _, seed := range []string{`{"stage": "rcpt", "match": {"recipient": "x@a.test"}, "outcome": {"reply": {"code": 550, "text": ["a", "b"]}, "delay": "uniform(1s,2s)"}, "times": 2, "ttl": "5s"}`,
		`{stage: message, outcome: {close: rst, delivery: keep}}`, `{stage: connect, outcome: {silence: true}, ttl: 24h}`, `{stage: data, outcome: {bandwidth: {in: 100B/s}}}`, `{stage: data, outcome: {body: {after: 1KiB, close: fin}}, id: a}`, "stage: &a rcpt\noutcome: *a", `{}`, `[]`, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		next, err := plan.ParseNext("body", data)
		if err == nil {
			_, err = fault.NewNext(next.NextSpec)
		}
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		if next.Times < 1 || next.Times > fault.MaxNextTimes || next.TTL < 0 || next.TTL > 1000*time.Hour {
			t.Errorf("%q: %d times, for %v", data, next.Times, next.TTL)
		}
	})
}
