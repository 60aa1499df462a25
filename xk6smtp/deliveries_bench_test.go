package xk6smtp

import (
	"strconv"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// BenchmarkDeliveries is what a message costs the judge of an embedded sink: two claims, and its rows.
func BenchmarkDeliveries(b *testing.B) {
	d := newDeliveries()
	message := event.Row{Kind: event.KindMessage, Message: event.Message{Conn: 1, Headers: true, Hashed: true, Body: 1, Size: 10}}
	attempt := row(1, "", "", 1, accepted(""))
	claim := reconcile.Claim{Run: "run", HasSender: true, Hashed: true, Body: 1, Size: 10}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		id := "run-" + strconv.Itoa(n)
		claim.Token, claim.StormID, claim.MessageID, claim.Sender, claim.Recipient, claim.Ack = id, id, "<"+id+"@src.test>", "s+"+id+"@src.test", id+"@dst.test", reconcile.AckUnknown
		d.claim(&claim)
		message.Message.Message, message.Message.StormID, message.Message.MessageID = uint64(n), []byte(id), []byte(claim.MessageID)
		attempt.Attempt.Message, attempt.Attempt.Sender, attempt.Attempt.Token, attempt.Attempt.Recipient = uint64(n), []byte(claim.Sender), []byte(claim.Sender), []byte(claim.Recipient)
		d.Row(&message)
		d.Row(attempt)
		claim.Ack = reconcile.AckYes
		d.claim(&claim)
	}
}
