package sinktest

import (
	"context"
	"net/mail"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
)

// Message is a message that the sink has taken, with what it was answered.
type Message struct {
	capture.Message
	Octets []byte // as the client sent them, dots unstuffed, without the final dot
}

// Header parses the header of the message. One that can't be parsed fails the test.
func (m *Message) Header(t testing.TB) mail.Header {
	t.Helper()
	header, err := capture.ParseHeader(m.Octets)
	if err != nil {
		t.Fatalf("sinktest: the header of message %s: %v", m.ID, err)
	}
	return header
}

// WithCapture has the sink keep the last messages in memory: 16 MiB of them, at most capture.DefaultCount.
//
//	server := sinktest.Start(t, sinktest.WithCapture())
//	// the program under test sends
//	for _, m := range sinktest.Messages(t, server, capture.Query{Recipient: "bob@example.org"}) {
//		t.Log(m.Header(t).Get("Subject"), m.Recipients[0].Code)
//	}
func WithCapture() Option {
	return With(func(cfg *sink.Config) { cfg.Capture = sink.CaptureConfig{Memory: true, Octets: 16 << 20} })
}

// Messages returns the messages that the sink has captured, the oldest first: all, or those that a query means. A message is there before its
// client has the reply, unless it waits for none.
func Messages(t testing.TB, server *sink.Server, query ...capture.Query) []Message {
	t.Helper()
	var q capture.Query
	if len(query) > 0 {
		q = query[0]
	}
	store := captured(t, server)
	var out []Message
	for _, m := range store.List(q) {
		known, octets, err := store.Get(m.ID)
		if err == nil { // else it has had to make room meanwhile
			out = append(out, Message{known, octets})
		}
	}
	return out
}

// WaitMessages returns the messages that the query means once there are n or more. It fails the test when they don't come within 30 seconds.
func WaitMessages(t testing.TB, server *sink.Server, query capture.Query, n int) []Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := captured(t, server).Wait(ctx, query, func(m []capture.Message) bool { return len(m) >= n })
	if err != nil {
		t.Fatalf("sinktest: %d messages were wanted: %v", n, err)
	}
	return Messages(t, server, query)
}

func captured(t testing.TB, server *sink.Server) *capture.Store {
	t.Helper()
	store := server.Captured()
	if store == nil {
		t.Fatal("sinktest: this sink captures no messages: start it with WithCapture")
	}
	return store
}
