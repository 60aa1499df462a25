package sink_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// parsePlan parses the keys of a plan after its version.
func parsePlan(t testing.TB, text string) *plan.File {
	t.Helper()
	file, err := plan.Parse("test.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// booked is a sink with a ledger.
type booked struct {
	*sink.Server
	t    *testing.T
	path string
}

// faulty starts a sink with a plan and a ledger.
func faulty(t *testing.T, kind sink.DriverKind, text string, change func(*sink.Config)) *booked {
	t.Helper()
	b := &booked{t: t, path: filepath.Join(t.TempDir(), "ledger.jsonl")}
	file := parsePlan(t, text)
	b.Server = sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) {
		cfg.Plan, cfg.PlanHash = file.Plan, file.SHA256
		cfg.Ledger = sink.LedgerConfig{Path: b.path, Durability: ledger.None}
		if len(file.Plan.Listeners()) == 0 {
			cfg.Listeners = []sink.Listener{{Name: "test", Address: "127.0.0.1:0"}}
		}
		if change != nil {
			change(cfg)
		}
	}))
	return b
}

// rows waits until all connections have ended, closes the sink, and says what the ledger holds, a line for each row:
//
//	attempt RECIPIENT STAGE CODE ENDING CAUSE [FAULT] [delivered] [sent]
//	transaction SENDER STAGE CODE ENDING CAUSE [FAULT] [sent]
//	connection REASON [FAULT]
func (b *booked) rows() []string {
	b.t.Helper()
	eventually(b.t, b.Server, "all connections have ended", func(s *sink.Stats) bool { return s.Open == 0 })
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	return ledgerRows(b.t, b.path)
}

func ledgerRows(t *testing.T, path string) []string {
	t.Helper()
	var lines []string
	readLedger(t, path, func(row *ledger.Row) {
		var words []string
		add := func(is bool, word string) {
			if is && word != "" {
				words = append(words, word)
			}
		}
		switch row.Kind {
		case ledger.KindAttempt:
			a := &row.Attempt
			words = []string{"attempt", string(a.Recipient), a.Stage.String(), fmt.Sprint(uint16(a.Code)), a.Ending.String()}
			add(true, a.Cause)
			add(true, a.Fault)
			add(a.Delivered, "delivered")
			add(a.ReplySent, "sent")
			add(a.Ambiguous, "ambiguous")
		case ledger.KindTransaction:
			x := &row.Transaction
			words = []string{"transaction", string(x.Sender), x.Stage.String(), fmt.Sprint(uint16(x.Code)), x.Ending.String()}
			add(true, x.Cause)
			add(true, x.Fault)
			add(x.ReplySent, "sent")
		case ledger.KindConnection:
			words = []string{"connection", row.Connection.Reason}
			add(true, row.Connection.Fault)
		default:
			return
		}
		lines = append(lines, strings.Join(words, " "))
	})
	return lines
}

func readLedger(t *testing.T, path string, each func(*ledger.Row)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := ledger.NewReader(file, path)
	var row ledger.Row
	for {
		if err := reader.Read(&row); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		each(&row)
	}
}

// envelope says everything up to the reply to RCPT, which it returns.
func (c *rawClient) envelope() string {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.send("RCPT TO:<b@recipient.test>\r\n")
	return c.reply()
}

const theMessage = "Subject: test\r\n\r\nbody\r\n.\r\n"

// message says everything up to the end of the body.
func (c *rawClient) message() {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	c.send(theMessage)
}

// expectReset checks that the connection is reset now, without a further word.
func (c *rawClient) expectReset() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		c.t.Fatalf("got %.100q and error %v, want a reset", rest, err)
	}
}

// expectSilence checks that nothing comes for a while, nor the end.
func (c *rawClient) expectSilence(d time.Duration) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		c.t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q and error %v, want silence", b, err)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

// raw reads everything up to the end of the connection.
func (c *rawClient) rest() (string, error) {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	return string(rest), err
}

// faultCase is a fault, what a client meets of it, and what the ledger says.
type faultCase struct {
	name   string
	plan   string
	config func(*sink.Config)
	client func(c *rawClient)
	rows   []string
}

const pipelinedNoise = "NOOP\r\nNOOP\r\nRSET\r\nNOOP\r\n" // unread when the sink closes

var faultCases = []faultCase{
	{name: "reply", plan: "rules: [{name: r, stage: rcpt, reply: {code: 550, enhanced: 5.1.1, text: [No such user, Try elsewhere]}}]",
		client: func(c *rawClient) {
			if got, want := c.envelope(), "550-5.1.1 No such user\r\n550 5.1.1 Try elsewhere\r\n"; got != want {
				c.t.Errorf("got %q, want %q", got, want)
			}
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rcpt 550 reply rule:r sent", "connection quit"}},
	{name: "delay", plan: "rules: [{name: r, stage: rcpt, delay: 80ms}]",
		client: func(c *rawClient) {
			began := time.Now()
			c.envelope()
			if took := time.Since(began); took < 80*time.Millisecond {
				c.t.Errorf("the reply to RCPT took %v, want 80ms at least", took)
			}
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rset 0 abandoned", "connection quit"}},
	{name: "silence, until the client goes", plan: "rules: [{name: r, stage: rcpt, silence: true}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectSilence(30 * time.Millisecond)
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r silence", "connection fault silence"}},
	{name: "silence, until the sink has enough", plan: "rules: [{name: r, stage: mail, silence: true}]",
		config: func(cfg *sink.Config) { cfg.MaxHold = 50 * time.Millisecond },
		client: func(c *rawClient) {
			c.send("MAIL FROM:<a@sender.test>\r\n" + pipelinedNoise)
			c.expectEOF()
		},
		rows: []string{"transaction a@sender.test mail 250 lost rule:r silence", "connection fault silence"}},
	{name: "dribble", plan: "rules: [{name: r, stage: mail, reply: 451, dribble: {octets: 2, every: 3ms}}]",
		client: func(c *rawClient) {
			began := time.Now()
			c.send("MAIL FROM:<a@sender.test>\r\nNOOP\r\n")
			got := c.expect("451 4.")
			if took, least := time.Since(began), time.Duration((len(got)-1)/2)*3*time.Millisecond; took < least {
				c.t.Errorf("a reply of %d octets took %v, want %v at least", len(got), took, least)
			}
			c.expect("250 ") // not before
			c.quit()
		},
		rows: []string{"transaction a@sender.test mail 451 reply rule:r dribble sent", "connection quit"}},
	{name: "split", plan: "rules: [{name: r, stage: mail, reply: 451, split: {packets: 3, pause: 20ms}}]",
		client: func(c *rawClient) {
			began := time.Now()
			c.send("MAIL FROM:<a@sender.test>\r\n")
			first := make([]byte, 512)
			n, err := c.in.Read(first)
			if err != nil || strings.Contains(string(first[:n]), "\n") {
				c.t.Errorf("the first packet is %q (%v), want a part of the reply", first[:n], err)
			}
			if _, err := c.in.ReadString('\n'); err != nil || time.Since(began) < 40*time.Millisecond {
				c.t.Errorf("the end came after %v (%v), want two pauses of 20ms", time.Since(began), err)
			}
			c.quit()
		},
		rows: []string{"transaction a@sender.test mail 451 reply rule:r split sent", "connection quit"}},
	{name: "capability missing", plan: "rules: [{name: r, stage: ehlo, missing: [PIPELINING, SIZE]}]",
		client: func(c *rawClient) {
			got := c.command("EHLO again.test", "250-")
			if strings.Contains(got, "PIPELINING") || strings.Contains(got, "SIZE") || !strings.Contains(got, "8BITMIME") {
				c.t.Errorf("the reply to EHLO is %q, want it without PIPELINING and SIZE alone", got)
			}
			c.quit()
		},
		rows: []string{"connection quit"}},
	{name: "FIN before the reply", plan: "rules: [{name: r, stage: rcpt, close: fin}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r fin-before", "connection fault fin-before"}},
	{name: "FIN after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: fin, when: after}}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("450 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r fin-after sent", "connection fault fin-after"}},
	{name: "RST before the reply", plan: "rules: [{name: r, stage: rcpt, close: rst}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectReset()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r rst-before", "connection fault rst-before"}},
	{name: "RST after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: rst, when: after}}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("450 ") // the reset does not destroy it
			c.expectReset()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r rst-after sent", "connection fault rst-after"}},
	{name: "half-close before the reply", plan: "rules: [{name: r, stage: rcpt, close: half}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expectEOF()
			c.send(strings.Repeat("NOOP\r\n", 50_000)) // far more than any buffer: somebody reads it
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 250 lost rule:r half-before", "connection fault half-before"}},
	{name: "half-close after the reply", plan: "rules: [{name: r, stage: rcpt, reply: 450, close: {mode: half, when: after}}]",
		client: func(c *rawClient) {
			if got := c.envelope(); !strings.HasPrefix(got, "450 ") {
				c.t.Errorf("got %q, want 450", got)
			}
			c.expectEOF()
			c.send(pipelinedNoise)
			_ = c.conn.Close()
		},
		rows: []string{"attempt b@recipient.test rcpt 450 reply rule:r half-after sent", "connection fault half-after"}},
	{name: "421 closes", plan: "rules: [{name: r, stage: rcpt, reply: 421}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.send("RCPT TO:<b@recipient.test>\r\n" + pipelinedNoise)
			c.expect("421 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test rcpt 421 reply rule:r sent", "connection reply"}},
	{name: "FIN in the body", plan: "rules: [{name: r, stage: data, body: {after: 5, close: fin}}]",
		client: func(c *rawClient) { c.message(); c.expectEOF() },
		rows:   []string{"attempt b@recipient.test message 0 lost body-fin", "connection fault body-fin"}},
	{name: "RST in the body", plan: "rules: [{name: r, stage: data, body: {after: 5, close: rst}}]",
		client: func(c *rawClient) { c.message(); c.expectReset() },
		rows:   []string{"attempt b@recipient.test message 0 lost body-rst", "connection fault body-rst"}},
	{name: "the lost reply after the dot", plan: "rules: [{name: r, stage: message, close: fin, delivery: keep}]",
		client: func(c *rawClient) { c.message(); c.expectEOF() },
		rows:   []string{"attempt b@recipient.test message 250 lost rule:r fin-before+keep delivered", "connection fault fin-before+keep"}},
	{name: "a message that vanishes", plan: "rules: [{name: r, stage: message, delivery: discard}]",
		client: func(c *rawClient) { c.message(); c.expect("250 "); c.quit() },
		rows:   []string{"attempt b@recipient.test message 250 reply rule:r discard sent", "connection quit"}},
	{name: "no banner", plan: "listener_faults: {\"*\": no-banner}",
		config: func(cfg *sink.Config) { cfg.MaxHold = 50 * time.Millisecond },
		client: nil,
		rows:   []string{"connection fault no-banner"}},
	{name: "an address trigger", plan: "rules: []",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<550-5.1.1+b@recipient.test>", "550 5.1.1 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send("X-Storm-Reply: 452 4.2.2\r\n" + theMessage)
			c.expect("452 4.2.2 ")
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 ") {
				c.t.Errorf("the switch leaks to the next message: %q", got)
			}
			c.quit()
		},
		rows: []string{"attempt 550-5.1.1+b@recipient.test rcpt 550 reply trigger sent", "attempt b@recipient.test message 452 reply trigger sent",
			"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit"}},
	{name: "triggers off", plan: "rules: []", config: func(cfg *sink.Config) { cfg.NoTriggers = true },
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<550-5.1.1+b@recipient.test>", "250 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt 550-5.1.1+b@recipient.test rset 0 abandoned", "connection quit"}},
	{name: "a rate", plan: "limits: [{name: pace, kind: rate, rate: 1/h, burst: 2}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<1@recipient.test>", "250 ")
			c.command("RCPT TO:<2@recipient.test>", "250 ")
			c.command("RCPT TO:<3@recipient.test>", "451 4.7.1 ")
			c.command("DATA", "354 ")
			c.send(theMessage)
			c.expect("250 ")
			c.quit()
		},
		rows: []string{"attempt 3@recipient.test rcpt 451 reply limit:pace sent", "attempt 1@recipient.test message 250 reply plain delivered sent",
			"attempt 2@recipient.test message 250 reply plain delivered sent", "connection quit"}},
	{name: "messages per connection", plan: "limits: [{name: few, kind: messages, max: 1}]",
		client: func(c *rawClient) {
			c.deliver("a@sender.test", "b@recipient.test")
			c.command("MAIL FROM:<a@sender.test>", "421 4.7.0 ")
			c.expectEOF()
		},
		rows: []string{"attempt b@recipient.test message 250 reply plain delivered sent", "transaction a@sender.test mail 421 reply limit:few sent", "connection reply"}},
	{name: "recipients per transaction", plan: "limits: [{name: few, kind: recipients, max: 1}]",
		client: func(c *rawClient) {
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<1@recipient.test>", "250 ")
			c.command("RCPT TO:<2@recipient.test>", "452 4.5.3 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt 2@recipient.test rcpt 452 reply limit:few sent", "attempt 1@recipient.test rset 0 abandoned", "connection quit"}},
	{name: "size", plan: "limits: [{name: small, kind: size, max: 10}]",
		client: func(c *rawClient) { c.message(); c.expect("552 5.3.4 "); c.quit() },
		rows:   []string{"attempt b@recipient.test message 552 reply limit:small sent", "connection quit"}},
	{name: "greylist", plan: "limits: [{name: grey, kind: greylist, delay: 40ms, window: 1h}]",
		client: func(c *rawClient) {
			if got := c.envelope(); !strings.HasPrefix(got, "451 4.7.1 ") {
				c.t.Errorf("the first attempt got %q, want 451", got)
			}
			c.expectSilence(50 * time.Millisecond)
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("RSET", "250 ")
			c.quit()
		},
		rows: []string{"attempt b@recipient.test rcpt 451 reply limit:grey sent", "attempt b@recipient.test rset 0 abandoned", "connection quit"}},
}

func TestFaults(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, test := range faultCases {
			t.Run(test.name, func(t *testing.T) {
				server := faulty(t, kind, test.plan, test.config)
				if test.client == nil { // it is not greeted
					dial(t, server.Server, "").expectEOF()
				} else {
					c := greeted(t, server.Server)
					test.client(c)
					_ = c.conn.Close() // or the sink would wait for it
				}
				if got := server.rows(); !slices.Equal(got, test.rows) {
					t.Errorf("the ledger says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.rows, "\n\t"))
				}
			})
		}
	})
}

func TestMalformedReplies(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for how, fits := range map[string]func(reply string) bool{
			"bad-code": func(s string) bool { return !isDigits(s[:3]) && strings.HasSuffix(s, "\r\n") },
			"no-code": func(s string) bool {
				return !isDigits(s[:1]) && strings.HasSuffix(s, "\r\n") || strings.HasPrefix(s, "4.")
			},
			"missing-crlf": func(s string) bool { return strings.HasPrefix(s, "450 ") && !strings.Contains(s, "\n") },
			"over-long":    func(s string) bool { return strings.HasPrefix(s, "450 ") && len(s) > 4096 },
			"wrong-code":   func(s string) bool { return strings.HasPrefix(s, "354 ") },
			"mixed-codes": func(s string) bool {
				return len(strings.Split(s, "\r\n")) > 2 && s[:3] != strings.Split(s, "\r\n")[1][:3]
			},
		} {
			t.Run(how, func(t *testing.T) {
				server := faulty(t, kind, "rules: [{name: r, stage: rcpt, reply: 450, malformed: "+how+", close: {mode: fin, when: after}}]", nil)
				c := greeted(t, server.Server)
				c.command("MAIL FROM:<a@sender.test>", "250 ")
				c.send("RCPT TO:<b@recipient.test>\r\n")
				if got, err := c.rest(); err != nil || len(got) < 3 || !fits(got) {
					t.Errorf("the reply is %.100q (%v), want it %s", got, err, how)
				}
				_ = c.conn.Close()
				got := server.rows()
				if len(got) == 0 || !strings.Contains(got[0], " malformed-"+how+"+fin-after sent") {
					t.Errorf("the ledger says %q, want malformed-%s", got, how)
				}
			})
		}
	})
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Concurrent connections are counted per client, and given back when a connection ends, however it does.
func TestConcurrentConnections(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "limits: [{name: crowd, kind: concurrency, max: 2}]", nil)
		one, two := greeted(t, server.Server), greeted(t, server.Server)
		third := dial(t, server.Server, "")
		third.expect("421 ")
		third.expectEOF()
		_ = third.conn.Close()
		one.quit()
		if err := two.conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = two.conn.Close() // by a reset
		eventually(t, server.Server, "both are gone", func(s *sink.Stats) bool { return s.Open == 0 && s.Limits.Open == 0 })
		again := greeted(t, server.Server)
		greeted(t, server.Server).quit()
		again.quit()
		server.rows()
	})
}

// In LMTP each recipient has a reply of its own (RFC 2033 section 4.2).
func TestMixedRepliesOverLMTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		socket := filepath.Join(t.TempDir(), "lmtp")
		server := faulty(t, kind, "listeners: [{name: store, address: \"unix:"+socket+"\", protocol: lmtp}]\n"+
			"rules: [{name: full, stage: message, match: {recipient: full@recipient.test}, reply: 452}]", func(cfg *sink.Config) { cfg.Listeners = nil })
		c := dial(t, server.Server, "store")
		c.expect("220 ")
		c.command("LHLO client.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		for _, recipient := range []string{"one", "full", "two"} {
			c.command("RCPT TO:<"+recipient+"@recipient.test>", "250 ")
		}
		c.command("DATA", "354 ")
		c.send(theMessage)
		c.expect("250 ")
		c.expect("452 ")
		c.expect("250 ")
		c.quit()
		want := []string{"attempt one@recipient.test message 250 reply plain delivered sent", "attempt full@recipient.test message 452 reply rule:full sent",
			"attempt two@recipient.test message 250 reply plain delivered sent", "connection quit"}
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}

// A client that resets the connection while a reply is owed is noticed at once, not when the reply is due.
func TestResetWhileAReplyIsOwed(t *testing.T) {
	for _, test := range []struct{ name, plan, attempt, connection string }{
		{"delay", "rules: [{name: r, stage: rcpt, delay: 5m}]", "rcpt 250 lost rule:r", "error"},
		{"silence", "rules: [{name: r, stage: rcpt, silence: true}]", "rcpt 250 lost rule:r silence", "fault silence"},
		{"dribble", "rules: [{name: r, stage: rcpt, dribble: {octets: 1, every: 1m}}]", "rcpt 250 lost rule:r dribble", "error"},
		{"split", "rules: [{name: r, stage: rcpt, split: {packets: 2, pause: 1m}}]", "rcpt 250 lost rule:r split", "error"},
	} {
		eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, test.plan, nil)
				c := greeted(t, server.Server)
				c.command("MAIL FROM:<a@sender.test>", "250 ")
				c.send("RCPT TO:<b@recipient.test>\r\nNOOP\r\n")
				eventually(t, server.Server, "RCPT was read", func(s *sink.Stats) bool { return replyCount(s, "rcpt", "250") == 1 })
				c.reset()
				want := []string{"attempt b@recipient.test " + test.attempt, "connection " + test.connection}
				if got := server.rows(); !slices.Equal(got, want) {
					t.Errorf("the ledger says %q, want %q", got, want)
				}
			})
		})
	}
}

// A client that closes its sending side is owed the replies to what it has sent, delayed ones, too.
func TestHalfClosedClientGetsItsReplies(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: r, stage: message, delay: 80ms}]", nil)
		c := greeted(t, server.Server)
		c.send("MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nDATA\r\n" + theMessage + "NOOP\r\n")
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"250 ", "250 ", "354 ", "250 2.0.0 ", "250 2.0.0 "} {
			c.expect(want)
		}
		c.expectEOF()
		want := []string{"attempt b@recipient.test message 250 reply rule:r delivered sent", "connection eof"}
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}
