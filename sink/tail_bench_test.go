package sink_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// BenchmarkTail is what the rows of one delivered message cost the sink when the control API is on: that of the message and that of its
// attempt.
func BenchmarkTail(b *testing.B) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	rows := []event.Row{
		{Kind: event.KindMessage, Message: event.Message{Conn: 12, Message: 7, Time: at, Headers: true, StormID: []byte("run-1/12/7"), MessageID: []byte("<20260102.7@load.test>"), Hashed: true, Body: 0x1234567890abcdef, Size: 1024}},
		{Kind: event.KindAttempt, Attempt: event.Attempt{
			Conn: 12, Listener: "mx", Client: netip.MustParseAddrPort("127.0.0.1:40000"), Time: at, End: at, Message: 7, Mail: at, Handed: at,
			Sender: []byte("a@load.test"), Recipient: []byte("r7@d7.test"), N: 1, Stage: smtp.StageMessage, Code: 250, Enhanced: smtp.Enhanced{Class: 2, Subject: 0, Detail: 0},
			Text: "Ok", Cause: "plain", Delivered: true, ReplySent: true, Size: 1024,
		}},
	}
	tail := sink.NewTail(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range rows {
			tail.Row(&rows[i])
		}
	}
}
