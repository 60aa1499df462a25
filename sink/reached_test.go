package sink_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// A connection beyond the most that there may be waits ungreeted until another has ended, whichever listener it came to, and TLS or not.
func TestConnectionsBeyondTheMostWait(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listeners: [{name: one, address: \"127.0.0.1:0\"}, {name: two, address: \"127.0.0.1:0\"}]", func(cfg *sink.Config) {
			cfg.Listeners, cfg.Bounds.Connections, cfg.TLS.Offer = nil, 2, sink.TLSOfferAlways
		})
		first := greeted(t, server.Server)
		first.command("STARTTLS", "220 ")
		if err := first.secure(trusting(t, server.Server)); err != nil {
			t.Fatal(err)
		}
		first.command("NOOP", "250 ")
		second := dial(t, server.Server, "two")
		second.expect("220 ")
		third, fourth := dial(t, server.Server, "one"), dial(t, server.Server, "two")
		held := eventually(t, server.Server, "accepting has stopped", func(s *sink.Stats) bool { return s.Net.AcceptsHeld > 0 })
		if held.Connections != 2 || held.Open != 2 || held.Net.AcceptPauses != 0 {
			t.Errorf("%d connections, %d open, %d pauses: want 2, 2 and none", held.Connections, held.Open, held.Net.AcceptPauses)
		}
		third.expectSilence(50 * time.Millisecond)
		fourth.expectSilence(50 * time.Millisecond)
		first.quit() // TLS, which a goroutine has in either driver
		second.reset()
		third.expect("220 ")
		fourth.expect("220 ")
		third.quit()
		fourth.quit()
		eventually(t, server.Server, "all have ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == 4 && s.Net.Closed == 4 })
	})
}

// Hundreds of clients at a sink with room for three get through one after the other, however they leave, and no room is lost.
func TestRoomsOfConnectionsAreGivenBack(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		const clients, each = 8, 40
		server := faulty(t, kind, "rules: [{name: some, stage: connect, outcomes: [{weight: 3}, {weight: 1, close: rst}, {weight: 1, reply: 421}]}]", func(cfg *sink.Config) {
			cfg.Bounds.Connections, cfg.Loops = 3, 2
		})
		done := make(chan struct{}, clients)
		for n := range clients {
			go func() {
				for i := range each {
					conn, err := net.Dial("tcp", server.Addr("").String())
					if err != nil { // reset already
						continue
					}
					_ = conn.SetDeadline(time.Now().Add(patience))
					in := bufio.NewReader(conn)
					line, _ := in.ReadString('\n') // a greeting, a refusal or a reset
					if strings.HasPrefix(line, "220 ") && (n+i)%2 == 0 {
						_, _ = conn.Write([]byte("QUIT\r\n"))
						_, _ = io.Copy(io.Discard, in)
					}
					_ = conn.Close()
				}
				done <- struct{}{}
			}()
		}
		for range clients {
			<-done
		}
		eventually(t, server.Server, "all have ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == clients*each })
		var all []*rawClient
		for range 3 { // all rooms are there
			all = append(all, held(t, server.Server))
		}
		for _, c := range all {
			c.quit()
		}
	})
}

// held returns a connection that was greeted, whatever the others meet.
func held(t *testing.T, server *sink.Server) *rawClient {
	t.Helper()
	for range 100 {
		conn, err := net.Dial("tcp", server.Addr("").String())
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		c := &rawClient{t, conn, bufio.NewReader(conn)}
		if line, _ := c.in.ReadString('\n'); strings.HasPrefix(line, "220 ") {
			return c
		}
		_ = conn.Close()
	}
	t.Fatal("nobody is greeted")
	return nil
}

// Each of these bounds is met by a client, at its own value: just within, and just beyond.
func TestBoundsAreReachedFromTheNetwork(t *testing.T) {
	line := func(octets int) string { return "NOOP " + strings.Repeat("x", octets-len("NOOP \r\n")) }
	for name, test := range map[string]struct {
		plan   string
		change func(*sink.Config)
		client func(t *testing.T, c *rawClient)
		so     func(*sink.Stats) string // what is wrong with the counts; "" for nothing
	}{
		"line, by default": {client: func(_ *testing.T, c *rawClient) {
			c.command(line(512), "250 ")
			c.command(line(513), "500 5.5.2 ")
			c.command("NOOP", "250 ")
		}},
		"line": {change: func(cfg *sink.Config) { cfg.Bounds.Line = 3000 }, client: func(_ *testing.T, c *rawClient) {
			c.command(line(3000), "250 ")
			c.command(line(3001), "500 5.5.2 ")
			long := "MAIL FROM:<a@" + strings.Repeat("x", 3000)
			c.command(long[:2990]+">", "250 ")
			c.command(long[:3000]+">", "500 5.5.2")
		}},
		"line of MAIL, by default": {client: func(_ *testing.T, c *rawClient) {
			long := "MAIL FROM:<a@" + strings.Repeat("x", 3000)
			c.command(long[:2040]+">", "250 ")
			c.command(long[:2048]+">", "500 5.5.2")
		}},
		"header": {plan: "rules: [{name: asked, stage: message, match: {header: {X-Ask: \"*\"}}, reply: 554}]",
			change: func(cfg *sink.Config) { cfg.Bounds.Header = 4 << 10 },
			client: func(t *testing.T, c *rawClient) {
				for fill, want := range map[int]string{3 << 10: "554 ", 4 << 10: "250 "} {
					if reply, _ := c.headed("Subject: " + strings.Repeat("x", fill) + "\r\nX-Ask: yes\r\n"); !strings.HasPrefix(reply, want) {
						t.Errorf("a field behind %d octets: %q, want %s", fill, reply, want)
					}
				}
			},
			so: func(s *sink.Stats) string {
				if s.Clients == nil || s.Clients.LongHeaders != 1 {
					return fmt.Sprintf("clients %+v: want one long header", s.Clients)
				}
				return ""
			}},
		"switches of a header": {client: func(t *testing.T, c *rawClient) {
			for before, want := range map[int]string{31: "550 5.7.1 Last", 32: "250 "} {
				if reply, _ := c.headed(strings.Repeat("X-Storm-Delay: 0s\r\n", before) + "X-Storm-Reply: 550 5.7.1 Last\r\n"); !strings.HasPrefix(reply, want) {
					t.Errorf("behind %d switches: %q, want %s", before, reply, want)
				}
			}
		}},
		"envelope": {change: func(cfg *sink.Config) { cfg.Bounds.Envelope, cfg.MaxRecipients = 64<<10, 10_000 }, client: func(t *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			taken := 0
			for {
				c.send(fmt.Sprintf("RCPT TO:<%d@recipient.test>\r\n", taken))
				if reply := c.reply(); strings.HasPrefix(reply, "452 4.5.3") {
					break
				} else if !strings.HasPrefix(reply, "250 ") || taken == 10_000 {
					t.Fatalf("recipient %d: %q", taken, reply)
				}
				taken++
			}
			if taken < 400 || taken > 64<<10/64 {
				t.Errorf("%d recipients in 64 KiB", taken)
			}
			c.command("DATA", "354 ")
			c.send(theMessage)
			c.expect("250 ")
		}},
		"chunk that is refused": {change: func(cfg *sink.Config) { cfg.MaxDiscard = 1000 }, client: func(_ *testing.T, c *rawClient) {
			c.send("BDAT 1000\r\n" + strings.Repeat("x", 1000))
			c.expect("503 ")
			c.send("BDAT 1001\r\n")
			c.expect("421 4.3.4")
			c.expectClosed()
		}},
		"domains": {change: func(cfg *sink.Config) { cfg.Bounds.Domains = 2 }, client: func(_ *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			for i := range 5 {
				c.command(fmt.Sprintf("RCPT TO:<b@%d.test>", i), "250 ")
			}
			c.command("RSET", "250 ")
		}, so: func(s *sink.Stats) string {
			if len(s.Destinations) != 3 || s.Destinations[0].Domain != count.Other || s.Destinations[0].Attempts.Total() != 3 || s.Folded.Attempts != 3 {
				return fmt.Sprintf("destinations %+v, %d folded: want two domains, and three attempts together", s.Destinations, s.Folded.Attempts)
			}
			return ""
		}},
		"kinds of replies that triggers ask for": {client: func(_ *testing.T, c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			for i := range 600 {
				c.command(fmt.Sprintf("RCPT TO:<550-5.7.%d+b@recipient.test>", i), "550 ")
			}
		}, so: func(s *sink.Stats) string {
			kinds := 0
			for _, r := range s.Replies {
				if strings.HasPrefix(r.Cause, "trigger") {
					kinds++
				}
			}
			if kinds != 513 || s.Folded.Replies != 600-512 {
				return fmt.Sprintf("%d kinds, %d folded: want 512 and one for the other 88", kinds, s.Folded.Replies)
			}
			return ""
		}},
		"attempts": {plan: "rules: [{stage: rcpt, match: {attempt: 1}, reply: 450}]", change: func(cfg *sink.Config) { cfg.StateMemory, cfg.MaxRecipients = 1<<20, 20_000 },
			client: func(_ *testing.T, c *rawClient) {
				c.command("MAIL FROM:<a@sender.test>", "250 ")
				for from := 0; from < 10_000; from += 100 {
					var burst strings.Builder
					for i := range 100 {
						fmt.Fprintf(&burst, "RCPT TO:<r%d@recipient.test>\r\n", from+i)
					}
					c.send(burst.String())
					for range 100 {
						c.expect("450 ")
					}
				}
			}, so: func(s *sink.Stats) string {
				if kept := s.Ordinals.Recipients + s.Ordinals.Connections + s.Ordinals.Mails; s.StateCapacity != 8192 || kept > 8192 || s.Ordinals.Evictions == 0 {
					return fmt.Sprintf("%d attempts are kept, %d forgotten; want at most 8192, and some", kept, s.Ordinals.Evictions)
				}
				return ""
			}},
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
				server := faulty(t, kind, test.plan, test.change)
				c := greeted(t, server.Server)
				test.client(t, c)
				_ = c.conn.Close()
				stats := eventually(t, server.Server, "the connection has ended", func(s *sink.Stats) bool { return s.Open == 0 })
				if test.so != nil {
					if wrong := test.so(stats); wrong != "" {
						t.Error(wrong)
					}
				}
			})
		})
	}
}
