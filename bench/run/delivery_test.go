package run

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var sent = time.UnixMilli(1735689600123)

// attempt is one attempt of message n at the sink, some time after it was sent: a final reply of that code.
func attempt(n int, code smtp.Code, after time.Duration) *session.Attempt {
	return &session.Attempt{
		Sender:    fmt.Appendf(nil, "s+run-%d-t%d@src.bench.test", n, sent.UnixMilli()),
		Recipient: fmt.Appendf(nil, "r%d@dst.bench.test", n),
		End:       sent.Add(after),
		Ending:    session.EndReply,
		Code:      code,
		Delivered: code.Class() == 2,
		ReplySent: true,
	}
}

func TestTrackerClassifiesEachPairOnce(t *testing.T) {
	tr := newTracker()
	for _, a := range []*session.Attempt{
		attempt(1, 250, time.Second), // at once
		attempt(2, 450, time.Second), // after two deferrals
		attempt(2, 451, 2*time.Second),
		attempt(2, 250, 4*time.Second),
		attempt(3, 250, time.Second), // twice
		attempt(3, 250, time.Second),
		attempt(4, 550, time.Second), // bounced
		attempt(5, 450, time.Second), // only ever deferred: still open
		attempt(6, 550, time.Second), // refused, tried again nevertheless, and delivered
		attempt(6, 250, time.Second),
		{Recipient: []byte("s+run-4@src.bench.test"), Ending: session.EndReply, Code: 250, Delivered: true}, // its notification
	} {
		tr.Attempt(a)
	}
	if delivered, bounced := tr.settled(); delivered != 4 || bounced != 1 {
		t.Errorf("settled: %d delivered, %d bounced; want 4 and 1", delivered, bounced)
	}
	d, warnings := tr.delivery(8, 7) // 7 never showed up at the sink
	want := result.Delivery{
		Sent: 8, Accepted: 7, DeliveredOnce: 3, Duplicated: 1, Bounced: 1, Undelivered: 2,
		Attempts: []result.AttemptCount{{Attempts: 1, Messages: 3}, {Attempts: 2, Messages: 2}, {Attempts: 3, Messages: 1}},
	}
	latency := d.Latency
	d.Latency = nil
	if !reflect.DeepEqual(*d, want) {
		t.Errorf("delivery is %+v\nwant %+v", *d, want)
	}
	if got := latency.Summary(); got.Count != 4 || got.Min != 1000 || got.Max != 4000 {
		t.Errorf("latency of first deliveries: %+v, want 4 of 1 to 4 s", got)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "null sender") {
		t.Errorf("warnings %q, want one of the notification", warnings)
	}
}

func TestTrackerNeverClaimsALoss(t *testing.T) {
	tr := newTracker()
	tr.Attempt(attempt(1, 250, time.Second))
	tr.Attempt(attempt(2, 250, time.Second))
	d, warnings := tr.delivery(2, 1) // the client lost one reply of the agent
	if d.Accepted != 2 || d.DeliveredOnce != 2 || d.Undelivered != 0 {
		t.Errorf("delivery is %+v, want 2 accepted and delivered", d)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "saw no acceptance") {
		t.Errorf("warnings %q, want one of the missed acceptance", warnings)
	}
}

func TestSentAt(t *testing.T) {
	for _, tt := range []struct {
		sender string
		ok     bool
	}{
		{"s+run-1-t1735689600123@src.bench.test", true},
		{"s+run-1@src.bench.test", false},
		{"s-t@src.bench.test", false},
		{"s-t173568960012x@src.bench.test", false},
		{"s-t17356896001234@src.bench.test", false},
		{"s@t-t1735689600123", false},
		{"", false},
	} {
		got, ok := sentAt([]byte(tt.sender))
		if ok != tt.ok || (ok && !got.Equal(sent)) {
			t.Errorf("sentAt(%q) = %v, %v; want %v", tt.sender, got, ok, tt.ok)
		}
	}
}
