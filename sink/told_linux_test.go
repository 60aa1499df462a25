package sink_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// toldRows waits for the end and returns what the ledger says of replies, in order: "attempt MESSAGE RECIPIENT STAGE CODE", with "unsent" or
// "ambiguous"; "told MESSAGE TOLD"; "connection TOLD".
func (b *booked) toldRows() string {
	b.t.Helper()
	eventually(b.t, b.Server, "all connections have ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections > 0 })
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	var rows []string
	readLedger(b.t, b.path, func(row *event.Row) {
		switch row.Kind {
		case event.KindAttempt:
			a := &row.Attempt
			local, _, _ := strings.Cut(string(a.Recipient), "@")
			text := fmt.Sprintf("attempt %d %s %v %d", a.Message, local, a.Stage, a.Code)
			if !a.ReplySent && a.Code != 0 {
				text += " unsent"
			}
			if a.Ambiguous {
				text += " ambiguous"
			}
			rows = append(rows, text)
		case event.KindTold:
			rows = append(rows, fmt.Sprintf("told %d %v", row.Told.Message, row.Told.Told))
		case event.KindConnection:
			rows = append(rows, strings.TrimSpace(fmt.Sprintf("connection %v", row.Connection.Told)))
		}
	})
	return strings.Join(rows, ", ")
}

// toTheDot runs a transaction up to its final dot.
func (c *rawClient) toTheDot() {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	c.send(theMessage)
}

// pipelineQuit runs a transaction, with QUIT right behind the final dot.
func (c *rawClient) pipelineQuit() {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	c.send(theMessage + "QUIT\r\n")
}

// replyWaits waits until the reply has come, and leaves it unread.
func (c *rawClient) replyWaits() {
	c.t.Helper()
	if _, err := c.in.Peek(1); err != nil { // into this process's buffer: the kernel's is empty again
		c.t.Fatal(err)
	}
}

// unread waits until a reply was sent and lies in the kernel's buffer.
func (c *rawClient) unread(server *booked, replies uint64) {
	c.t.Helper()
	sent(c, server, replies)
	c.arrived()
}

// arrived waits until something lies in the kernel's buffer.
func (c *rawClient) arrived() {
	c.t.Helper()
	raw, err := c.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	failed := raw.Read(func(fd uintptr) bool { // again whenever the socket becomes readable, until the deadline of dial
		var arrived int
		arrived, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		return arrived > 0 || err != nil
	})
	if err := errors.Join(err, failed); err != nil {
		c.t.Fatalf("waiting for the reply: %v", err)
	}
}

// sent waits until the sink has handed over so many replies to messages.
func sent(c *rawClient, server *booked, replies uint64) {
	c.t.Helper()
	eventually(c.t, server.Server, "the reply was sent", func(s *sink.Stats) bool {
		return replyCount(s, "message", "250") == replies && inFlight(s) == ""
	})
}

// crossing is what only a link with a delay shows: the client acts while the reply is on its way.
func crossing() []toldCase {
	if os.Getenv(linkServer) == "" {
		return nil
	}
	return []toldCase{
		{"closed while the reply was on its way", "rules: []", func(c *rawClient, s *booked) {
			defer c.onItsWay(s)()
			_ = c.conn.Close()
		}, message1 + "connection untold"},
		{"QUIT while a late reply was on its way", late, func(c *rawClient, s *booked) {
			arrive := c.onItsWay(s)
			c.send("QUIT\r\n")
			eventually(c.t, s.Server, "QUIT was answered", func(s *sink.Stats) bool { return replyCount(s, "quit", "221") == 1 })
			arrive()
			c.expect("250 ")
			c.expect("221 ")
			c.expectEOF()
		}, message1 + "connection unknown"},
	}
}

// onItsWay sends a message whose reply the server has sent, and which stays on its way until the client calls arrive.
func (c *rawClient) onItsWay(s *booked) (arrive func()) {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	port := uint16(c.conn.LocalAddr().(*net.TCPAddr).Port)
	link.hold(port)
	c.send(theMessage)
	sent(c, s, 1)
	return func() { link.release(port) }
}

// toldCase is what a client does, and what the ledger says of what it knows.
type toldCase struct {
	name, plan string
	client     func(c *rawClient, server *booked)
	want       string
}

func (c *rawClient) closeWrite() {
	c.t.Helper()
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// kill gives the connection to a child and kills that.
func (c *rawClient) kill() {
	c.t.Helper()
	file, err := c.conn.(*net.TCPConn).File()
	if err != nil {
		c.t.Fatal(err)
	}
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		c.t.Fatal(err)
	}
	_ = file.Close()
	_ = c.conn.Close()
	_ = child.Process.Kill()
	_ = child.Wait()
}

// farewell is as long as a client that closes at once may take to do so on a busy machine.
const farewell = 5 * time.Second

const (
	late     = "rules: [{name: r, stage: message, delay: 400ms}]"
	message1 = "attempt 1 b message 250, "
)

// before has a client act between the decision on a late reply and its sending.
func (b *booked) before(stage, code string, act func()) {
	b.t.Helper()
	eventually(b.t, b.Server, "the reply was decided", func(s *sink.Stats) bool { return replyCount(s, stage, code) > 0 })
	act()
	if os.Getenv(linkServer) != "" {
		link.flush(b.t)
	}
	b.tooLate = !slices.ContainsFunc(b.Stats().InFlight(), func(r count.Reply) bool {
		return r.Stage.String() == stage && fmt.Sprint(uint16(r.Code)) == code && r.Unsent() == 1
	})
}

// inTime repeats what a client of a new sink does, and what is said of it, while before was too late, as it may be on a busy machine.
func inTime(t *testing.T, start func() *booked, client func(*booked), check func(*booked)) {
	t.Helper()
	for range 50 {
		server := start()
		if client(server); !server.tooLate {
			check(server)
			return
		}
	}
	t.Fatal("the client never came before the reply was sent")
}

// TestTold goes through the table of docs/reconciliation.md that says when a client knows a reply, with real sockets.
func TestTold(t *testing.T) {
	for _, test := range append(crossing(), []toldCase{
		{"reset before a late reply", late, func(c *rawClient, s *booked) { c.toTheDot(); s.before("message", "250", c.reset) },
			"attempt 1 b message 250 unsent, connection"},
		{"closed before a late reply", late, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", func() { _ = c.conn.Close() })
		}, message1 + "connection untold"},
		{"killed before a late reply", late, func(c *rawClient, s *booked) { c.toTheDot(); s.before("message", "250", c.kill) },
			message1 + "connection untold"},
		{"half-closed before a late reply, reading", late, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", c.closeWrite)
			c.expect("250 ")
			c.expectEOF()
		}, message1 + "connection unknown"},
		{"QUIT before a late reply", late, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", func() { c.send("QUIT\r\n") })
			c.expect("250 ")
			c.expect("221 ")
			c.expectEOF()
		}, message1 + "connection unknown"},
		{"late reply read, then QUIT", late, func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); c.quit() }, message1 + "connection told"},
		{"late reply read, then closed", late, func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); _ = c.conn.Close() }, message1 + "connection told"},
		{"read, then QUIT", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); c.quit() }, message1 + "connection told"},
		{"read, then closed", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); _ = c.conn.Close() }, message1 + "connection told"},
		{"read, then killed", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); c.kill() }, message1 + "connection told"},
		{"unread, then closed", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.unread(s, 1); _ = c.conn.Close() }, message1 + "connection unknown"},
		{"unread, then killed", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.unread(s, 1); c.kill() }, message1 + "connection unknown"},
		{"read, then reset", "rules: []", func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); c.reset() }, message1 + "connection unknown"},
		{"QUIT without reading, then gone", "rules: []", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.unread(s, 1)
			c.send("QUIT\r\n")
			eventually(c.t, s.Server, "QUIT was answered", func(s *sink.Stats) bool { return replyCount(s, "quit", "221") == 1 })
			_ = c.conn.Close()
		}, message1 + "connection unknown"},
		{"blind MAIL, then killed", "rules: []", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.unread(s, 1)
			c.send("MAIL FROM:<a@sender.test>\r\n")
			eventually(c.t, s.Server, "MAIL was answered", func(s *sink.Stats) bool { return replyCount(s, "mail", "250") == 2 })
			c.kill()
		}, message1 + "told 1 unknown, connection"},
		{"pipelined QUIT", "rules: []", func(c *rawClient, s *booked) {
			c.pipelineQuit()
			c.expect("250 ")
			c.expect("221 ")
			c.expectEOF()
		}, message1 + "connection unknown"},
		{"pipelined QUIT, the first reply read, then closed", "rules: []", func(c *rawClient, s *booked) {
			c.pipelineQuit()
			c.expect("250 ")
			_ = c.conn.Close()
		}, message1 + "told 1 told, connection"},
		{"pipelined QUIT, the first reply read, then killed", "rules: []", func(c *rawClient, s *booked) {
			c.pipelineQuit()
			c.expect("250 ")
			c.kill()
		}, message1 + "told 1 told, connection"},
		{"pipelined QUIT, unread, then closed", "rules: []", func(c *rawClient, s *booked) {
			c.pipelineQuit()
			c.arrived()
			_ = c.conn.Close()
		}, message1 + "connection unknown"},
		{"pipelined QUIT, unread, then killed", "rules: []", func(c *rawClient, s *booked) {
			c.pipelineQuit()
			c.arrived()
			c.kill()
		}, message1 + "connection unknown"},
		{"QUIT before a late reply that is read, then closed", late, func(c *rawClient, s *booked) {
			c.toTheDot()
			s.before("message", "250", func() { c.send("QUIT\r\n") })
			c.expect("250 ")
			_ = c.conn.Close()
		}, message1 + "told 1 told, connection"},
		{"pipelined past the dot, told by the next body", "rules: []", func(c *rawClient, s *booked) {
			const next = "MAIL FROM:<a@sender.test>\r\nRCPT TO:<c@recipient.test>\r\nDATA\r\n"
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send(theMessage + next)
			for _, want := range []string{"250 ", "250 ", "250 ", "354 "} {
				c.expect(want)
			}
			c.send(theMessage)
			c.expect("250 ")
			c.quit()
		}, message1 + "attempt 2 c message 250, connection told"},
		{"unread to the end of the sink", "rules: []", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.expect("250 ")
			if err := s.Close(); err != nil {
				c.t.Fatal(err)
			}
		}, message1 + "connection unknown"},
		{"late refusal, closed before", "rules: [{name: r, stage: rcpt, reply: 550, delay: 400ms}]", func(c *rawClient, s *booked) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n")
			s.before("rcpt", "550", func() { _ = c.conn.Close() })
		}, "attempt 1 b rcpt 550, connection untold"},
		{"behind a proxy", `listeners: [{name: p, address: "127.0.0.1:0", proxied: true}]`, func(c *rawClient, s *booked) { c.toTheDot(); c.expect("250 "); c.quit() },
			message1 + "connection unknown"},
		{"cut reply", "rules: [{name: r, stage: message, dribble: {octets: 4, every: 1m}}]", func(c *rawClient, s *booked) {
			c.toTheDot()
			c.replyWaits()
			c.reset()
		}, "attempt 1 b message 250 unsent ambiguous, connection"},
	}...) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
				t.Parallel()
				inTime(t, func() *booked { return faulty(t, kind, test.plan, func(cfg *sink.Config) { cfg.Farewell = farewell }) },
					func(server *booked) { test.client(greeted(t, server.Server), server) },
					func(server *booked) {
						if got := server.toldRows(); got != test.want {
							t.Errorf("the ledger says\n %s\nwant\n %s", got, test.want)
						}
					})
			})
		})
	}
}

// TestToldLMTP: a client that leaves between two late replies knows the first, and certainly not the second.
func TestToldLMTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		inTime(t, func() *booked {
			return faulty(t, kind, late, func(cfg *sink.Config) { cfg.Listeners[0].LMTP = true })
		}, func(server *booked) {
			c := dial(t, server.Server, "")
			c.expect("220 ")
			c.command("LHLO client.test", "250-")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("RCPT TO:<c@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send(theMessage)
			c.expect("250 ")
			server.before("message", "250", func() { _ = c.conn.Close() })
		}, func(server *booked) {
			want := "attempt 1 b message 250, told 1 told, attempt 1 c message 250, connection untold"
			if got := server.toldRows(); got != want {
				t.Errorf("the ledger says\n %s\nwant\n %s", got, want)
			}
		})
	})
}

// TestToldOverTLS: the octets that TLS carries tell; its end doesn't.
func TestToldOverTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for name, test := range map[string]struct {
			client func(c *rawClient)
			want   string
		}{
			"QUIT":   {func(c *rawClient) { c.command("QUIT", "221 ") }, message1 + "connection told"},
			"closed": {func(c *rawClient) { _ = c.conn.Close() }, message1 + "connection unknown"},
		} {
			t.Run(name, func(t *testing.T) {
				server := faulty(t, kind, "rules: []", func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways })
				c := greeted(t, server.Server)
				c.command("STARTTLS", "220 ")
				if err := c.secure(&tls.Config{InsecureSkipVerify: true}); err != nil { // #nosec G402 -- a test's client
					t.Fatal(err)
				}
				c.command("EHLO client.test", "250-")
				c.toTheDot()
				c.expect("250 ")
				test.client(c)
				if got := server.toldRows(); got != test.want {
					t.Errorf("the ledger says\n %s\nwant\n %s", got, test.want)
				}
			})
		}
	})
}
