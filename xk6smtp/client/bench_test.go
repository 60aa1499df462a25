package client

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// canned is a server in memory that costs nothing: it answers each write with the replies that it is due.
type canned struct {
	net.Conn // nil: only what is overridden is called
	pending  []byte
	body     bool
}

var (
	dotEnd  = []byte("\r\n.\r\n")
	newline = []byte("\n")
)

func (c *canned) Write(p []byte) (int, error) {
	if c.body {
		if bytes.HasSuffix(p, dotEnd) {
			c.body = false
			c.pending = append(c.pending, "250 2.0.0 queued\r\n"...)
		}
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, newline)
		rest = after
		switch line[0] {
		case 'E':
			c.pending = append(c.pending, "250-mx.test\r\n250-PIPELINING\r\n250 SIZE\r\n"...)
		case 'D':
			c.pending = append(c.pending, "354 go on\r\n"...)
			c.body = true
		default:
			c.pending = append(c.pending, "250 2.1.0 ok\r\n"...)
		}
	}
	return len(p), nil
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pending)
	c.pending = append(c.pending[:0], c.pending[n:]...)
	return n, nil
}

func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }

// nobody is an Observer that does not listen.
type nobody struct{}

func (nobody) Reply(smtp.Stage, smtp.Code, smtp.Enhanced) {}
func (nobody) Lost(smtp.Stage, *Error)                    {}

func cannedConn(tb testing.TB, pipelining bool) *Conn {
	tb.Helper()
	cfg := &Config{
		Dialer: pipeDialer{&canned{pending: []byte("220 mx.test\r\n")}}, ForbidPipelining: !pipelining, Timeouts: AllTimeouts(time.Minute), Now: time.Now,
	}
	var greeting Greeting
	conn, err := Connect(context.Background(), cfg, nobody{}, &greeting)
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

func cannedMessage(size int) *Message {
	return &Message{
		From: "a@src.test", To: []string{"b@dst.test"}, Header: []byte("X-Storm-Id: 1\r\n"),
		Body: NewBody(bytes.Repeat([]byte("Sixty-two octets of text and two of line end, for sixty-four.\r\n"), size/64)),
	}
}

// BenchmarkSend is a message of 1 KiB through the client alone, under a context that can end; "floor" is what the same writes
// and reads cost without a client.
func BenchmarkSend(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, mode := range []struct {
		name       string
		pipelining bool
	}{{"stepwise", false}, {"pipelined", true}} {
		b.Run(mode.name, func(b *testing.B) {
			conn, message := cannedConn(b, mode.pipelining), cannedMessage(1024)
			var result Result
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Send(ctx, message, &result); err != nil || result.Recipients[0].Reply.Code != 250 {
					b.Fatal(err, result.Recipients)
				}
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		server, buf := &canned{}, make([]byte, readBuffer)
		body := append([]byte("X-Storm-Id: 1\r\n"), cannedMessage(1024).Body.Wire()...)
		b.ReportAllocs()
		for b.Loop() {
			for _, command := range [][]byte{[]byte("MAIL FROM:<a@src.test> SIZE=1039\r\nRCPT TO:<b@dst.test>\r\nDATA\r\n"), body} {
				if _, err := server.Write(command); err != nil {
					b.Fatal(err)
				}
				if _, err := server.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// TestSendAllocatesNothing holds the hot path, where one reply says what the last one said. A context that can end costs two allocations more, context.AfterFunc's.
func TestSendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop what they hold")
	}
	for _, pipelining := range []bool{false, true} {
		conn, message := cannedConn(t, pipelining), cannedMessage(1024)
		var result Result
		send := func() {
			if err := conn.Send(context.Background(), message, &result); err != nil {
				t.Fatal(err)
			}
		}
		send()
		if n := testing.AllocsPerRun(200, send); n > 0 {
			t.Errorf("pipelining %v: %v allocations per message, expected none", pipelining, n)
		}
	}
}
