package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// neighbour starts a well-behaved client that delivers message after message beside whatever a test does, and checks at the end
// of the test that it never noticed anything. All connections share one event loop.
func neighbour(t *testing.T, server *sink.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	delivered := 0
	conn, err := net.DialTimeout("tcp", server.Addr("").String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer conn.Close()
		for ctx.Err() == nil && delivered < 1_000_000 {
			if err := politely(conn, delivered == 0); err != nil {
				done <- err
				return
			}
			delivered++
		}
		done <- nil
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the well-behaved neighbour noticed after %d messages: %v", delivered, err)
		}
		if delivered == 0 {
			t.Error("the well-behaved neighbour delivered nothing")
		}
	})
}

// politely delivers one message, each step within a second.
func politely(conn net.Conn, first bool) error {
	buf := make([]byte, 4096)
	step := func(send, want string) error {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, send); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if err == nil && !bytes.HasPrefix(buf[:n], []byte(want)) {
			err = fmt.Errorf("got %q, want %s", buf[:n], want)
		}
		return err
	}
	if first {
		if err := errors.Join(step("", "220"), step("EHLO neighbour.test\r\n", "250")); err != nil {
			return err
		}
	}
	return errors.Join(
		step("MAIL FROM:<a@neighbour.test>\r\n", "250"), step("RCPT TO:<b@neighbour.test>\r\n", "250"),
		step("DATA\r\n", "354"), step("body\r\n.\r\n", "250"),
	)
}

const hostileMaxSize = 64 << 10

func TestHostileClients(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, c *rawClient)
	}{
		{"a line without end", func(t *testing.T, c *rawClient) {
			go func() { _, _ = io.Copy(c.conn, io.LimitReader(endless('A'), 8<<20)) }() // until the sink has had enough
			c.expect("500 5.5.2 ")
			c.expectClosed()
		}},
		{"NUL, bare LF and bare CR in commands", func(t *testing.T, c *rawClient) {
			c.command("NO\x00OP", "500 5.5.2 ")
			c.send("NOOP\n")
			c.expect("500 5.5.2 ")
			c.command("NOOP\rRSET", "500 5.5.2 ")
			c.command("NOOP", "250 ")
		}},
		{"a line that is too long, then a good one", func(t *testing.T, c *rawClient) {
			c.command("NOOP "+strings.Repeat("x", 600), "500 5.5.2 ")
			c.command("NOOP", "250 ")
		}},
		{"10,000 recipients in one burst", func(t *testing.T, c *rawClient) {
			const recipients, limit = 10_000, session.DefaultMaxRecipients
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			go func() {
				var burst strings.Builder
				for i := range recipients {
					fmt.Fprintf(&burst, "RCPT TO:<r%d@recipient.test>\r\n", i)
				}
				_, _ = io.WriteString(c.conn, burst.String()) // the replies say whether it arrived
			}()
			for i := range recipients {
				want := "250 2.1.5 "
				if i >= limit {
					want = "452 4.5.3 "
				}
				c.expect(want)
			}
			c.command("DATA", "354 ")
			c.send("body\r\n.\r\n")
			c.expect("250 ")
		}},
		{"a message over SIZE, announced", func(t *testing.T, c *rawClient) {
			c.command(fmt.Sprintf("MAIL FROM:<a@sender.test> SIZE=%d", hostileMaxSize+1), "552 5.3.4 ")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
		}},
		{"a message over SIZE, not announced", func(t *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			line := strings.Repeat("x", 998) + "\r\n"
			for range 20 * hostileMaxSize / len(line) {
				c.send(line)
			}
			c.send(".\r\n")
			c.expect("552 5.3.4 ")
			c.deliver("a@sender.test", "b@recipient.test")
		}},
		{"bare LF in a body", func(t *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send("one\n.\nMAIL FROM:<smuggled@sender.test>\r\n.\r\n")
			c.expect("554 5.6.0 ")
			c.command("NOOP", "250 ")
		}},
		{"8-bit octets without 8BITMIME", func(t *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send("Gr\xc3\xbc\xdfe\r\n.\r\n")
			c.expect("250 ")
		}},
		{"pipelining past QUIT", func(t *testing.T, c *rawClient) {
			c.send("QUIT\r\n" + strings.Repeat("NOOP\r\n", 5000))
			c.expect("221 ")
			c.expectEOF()
		}},
		{"a client that never reads", func(t *testing.T, c *rawClient) {
			if err := c.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			const most = 64 << 20
			sent, err := io.Copy(c.conn, io.LimitReader(endless('\n'), most))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("sent %d octets of bad commands without reading a reply, error %v; want to be stopped by TCP", sent, err)
			}
		}},
		{"a reset in mid-message", func(t *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send("half a li")
			if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			_ = c.conn.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
				server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.MaxSize = hostileMaxSize }))
				neighbour(t, server)
				before := heap()
				test.do(t, greeted(t, server))
				if grown := int64(heap()) - int64(before); grown > 16<<20 {
					t.Errorf("the heap grew by %d octets", grown)
				}
			})
		})
	}
}

// heap returns the octets in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// endless is a reader of one octet, again and again.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// expectClosed checks that the connection ends, be it by a reset: the client was still sending.
func (c *rawClient) expectClosed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	var timeout net.Error
	if len(rest) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("got %.100q and error %v, want the end of the connection", rest, err)
	}
}

func TestBareLFCanBeAccepted(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.BareLF = session.BareLFAccept }))
		c := greeted(t, server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send("one\n.\ntwo\r\n.\r\n")
		c.expect("250 ")
	})
}
