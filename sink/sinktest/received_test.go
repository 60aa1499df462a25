package sinktest_test

import (
	"context"
	"errors"
	"net/smtp"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

func TestReceived(t *testing.T) {
	var received sinktest.Received
	server := sinktest.Start(t, sinktest.Record(&received), sinktest.WithFlags(fault.Flags{Replies: []string{"message=250:1"}}))
	const text = "Subject: two\r\n\r\n.dot\r\n"
	for range 2 {
		if err := smtp.SendMail(server.Addr("").String(), nil, "a@src.test", []string{"one@dst.test", "two@dst.test"}, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := received.WaitDelivered(t, 4); len(got) != 4 || got[0].Sender != "a@src.test" || got[0].Size != int64(len(text)) {
		t.Errorf("received %+v, want 4 of %d octets", got, len(text))
	}
	if got := received.Deliveries("two@dst.test"); len(got) != 2 || got[1].Recipient != "two@dst.test" {
		t.Errorf("of one recipient: %+v, want 2", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := received.Wait(ctx, func(all []sinktest.Attempt) bool { return len(all) > 4 })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "after 4 attempts") {
		t.Errorf("waiting for what does not come: %v", err)
	}
}
