package sink_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestCaptureOctetForOctet: what clients send is what is kept, in every way that SMTP has to send it, and a message that is refused is kept
// with its reply.
func TestCaptureOctetForOctet(t *testing.T) {
	const dots = "Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n.\r\n"
	eightBit := "Subject: gr\xc3\xbc\xc3\x9fe\r\n\r\n\xff\xfe\x80 and NUL \x00\r\n"
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithCapture(), sinktest.WithPlan(`version: 1
rules:
  - {name: full, stage: message, match: {recipient: full@recipient.test}, reply: {code: 452, enhanced: 4.2.2, text: over quota}}
  - {name: lost, stage: message, match: {recipient: lost@recipient.test}, close: rst, delivery: keep}`))
		c := greeted(t, server)
		for _, octets := range []string{dots, eightBit, "", ".\r\n"} {
			if reply := c.mail("a@sender.test", "data@recipient.test", stuffed(octets)); !strings.HasPrefix(reply, "250 ") {
				t.Fatal(reply)
			}
		}
		// RFC 3030: any octets, also what would be the end of DATA, in chunks that end anywhere
		binary := "Subject: binary\n\n\r\n.\r\n" + string(bytes.Repeat([]byte{0, '\r', '\n', '.'}, 3000))
		c.command("MAIL FROM:<a@sender.test> BODY=BINARYMIME ENVID=e1", "250 ")
		c.command("RCPT TO:<bdat@recipient.test> ORCPT=rfc822;x@y.test", "250 ")
		for rest := []byte(binary); len(rest) > 0; {
			n := min(5000, len(rest))
			last := ""
			if n == len(rest) {
				last = " LAST"
			}
			c.send(fmt.Sprintf("BDAT %d%s\r\n%s", n, last, rest[:n]))
			c.expect("250 ")
			rest = rest[n:]
		}
		if reply := c.mail("a@sender.test", "Full@Recipient.Test", stuffed(dots)); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply) // the local part is another one
		}
		c.send("MAIL FROM:<a@sender.test>\r\n")
		c.expect("250 ")
		for _, r := range []string{"full", "other"} {
			c.command("RCPT TO:<"+r+"@recipient.test>", "250 ")
		}
		c.command("DATA", "354 ")
		c.send("Message-ID: <m@sender.test>\r\n\r\nlong\r\n.\r\n")
		c.expect("452 ")
		c.command("MAIL FROM:<a@sender.test>", "250 ") // and what never comes to its end is no message
		c.command("RCPT TO:<half@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send("half a mess")
		c.reset()
		lost := greeted(t, server)
		lost.command("MAIL FROM:<>", "250 ")
		lost.command("RCPT TO:<lost@recipient.test>", "250 ")
		lost.command("DATA", "354 ")
		lost.send("lost\r\n.\r\n")
		lost.expectReset()

		sinktest.WaitMessages(t, server, capture.Query{Recipient: "lost@RECIPIENT.test"}, 1)
		got := sinktest.Messages(t, server)
		want := []string{dots, eightBit, "", ".\r\n", binary, dots, "Message-ID: <m@sender.test>\r\n\r\nlong\r\n", "lost\r\n"}
		if len(got) != len(want) {
			t.Fatalf("%d messages are kept, want %d: %+v", len(got), len(want), got)
		}
		for i := range want {
			if string(got[i].Octets) != want[i] || got[i].Size != int64(len(want[i])) || got[i].Cut {
				t.Errorf("message %d: kept is %.200q (size %d, cut %v), sent was %.200q", i, got[i].Octets, got[i].Size, got[i].Cut, want[i])
			}
		}
		if m := got[4]; m.Token != "e1" || m.Recipients[0].ORCPT != "rfc822;x@y.test" || m.Recipients[0].Code != 250 || !m.Recipients[0].ReplySent {
			t.Errorf("by chunks: %+v", m.Message)
		}
		refused := sinktest.Messages(t, server, capture.Query{Code: "4xx", Outcome: capture.Refused})
		if len(refused) != 1 || len(refused[0].Recipients) != 2 || refused[0].MessageID != "<m@sender.test>" {
			t.Fatalf("refused: %+v", refused)
		}
		for _, r := range refused[0].Recipients {
			if r.Code != 452 || r.Enhanced.String() != "4.2.2" || r.Text != "over quota" || r.Cause != "rule:full" || r.Delivered || !r.ReplySent {
				t.Errorf("refused: %+v", r)
			}
		}
		if r := got[7].Recipients[0]; !r.Delivered || r.ReplySent || r.Fault == "" || r.Code != 250 {
			t.Errorf("delivered, and its client was not told: %+v", r)
		}
		if subject := got[1].Header(t).Get("Subject"); subject != "gr\xc3\xbc\xc3\x9fe" {
			t.Errorf("the subject is %q", subject)
		}
	})
}

// stuffed puts a dot before each line that begins with one, as RFC 5321 section 4.5.2 has it.
func stuffed(message string) string {
	if strings.HasPrefix(message, ".") {
		message = "." + message
	}
	return strings.ReplaceAll(message, "\r\n.", "\r\n..")
}

// TestCaptureInLMTP: each recipient has a reply of his own.
func TestCaptureInLMTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithCapture(), sinktest.With(func(cfg *sink.Config) {
			cfg.Listeners = []sink.Listener{{Name: "l", Address: "127.0.0.1:0", LMTP: true}}
		}), sinktest.WithPlan("version: 1\nrules: [{name: r, stage: message, match: {recipient: b@recipient.test}, reply: 550}]"))
		c := dial(t, server, "l")
		c.expect("220 ")
		c.command("LHLO client.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		for _, r := range []string{"a", "b", "c"} {
			c.command("RCPT TO:<"+r+"@recipient.test>", "250 ")
		}
		c.command("DATA", "354 ")
		c.send("text\r\n.\r\n")
		for _, code := range []string{"250 ", "550 ", "250 "} {
			c.expect(code)
		}
		var codes []string
		for _, m := range sinktest.Messages(t, server) {
			for _, r := range m.Recipients {
				codes = append(codes, fmt.Sprint(r.Address, " ", r.Code, " ", r.Delivered))
			}
		}
		if got, want := fmt.Sprint(codes), "[a@recipient.test 250 true b@recipient.test 550 false c@recipient.test 250 true]"; got != want {
			t.Errorf("kept is %s, want %s", got, want)
		}
	})
}

// TestCaptureOfRealClients: a message is there as soon as a client that others wrote has its reply.
func TestCaptureOfRealClients(t *testing.T) {
	for _, client := range realClients {
		t.Run(client.name, func(t *testing.T) {
			server := sinktest.Start(t, sinktest.WithCapture())
			host, port, err := net.SplitHostPort(server.Addr("").String())
			if err != nil {
				t.Fatal(err)
			}
			if _, delivered := client.deliver(t, host, port); !delivered {
				t.Fatal("the client has not delivered its message")
			}
			got := sinktest.Messages(t, server, capture.Query{Recipient: "b@recipient.test", Sender: "a@sender.test", Outcome: capture.Delivered})
			if len(got) != 1 || got[0].Header(t).Get("From") == "" || got[0].Size != int64(len(got[0].Octets)) {
				t.Errorf("kept are %+v", got)
			}
			if client.name == "smtplib" || client.name == "curl" { // these send what they are given
				const sent = "From: a@sender.test\r\nTo: b@recipient.test\r\nSubject: test\r\n\r\nbody\r\n"
				if string(got[0].Octets) != sent {
					t.Errorf("kept is %q, sent was %q", got[0].Octets, sent)
				}
			}
		})
	}
}

// TestCaptureStaysBounded: a gigabyte goes through a mebibyte of memory, and what is kept of it says so.
func TestCaptureStaysBounded(t *testing.T) {
	const room, sent = 1 << 20, 1 << 30
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
		cfg.MaxSize, cfg.Capture = -1, sink.CaptureConfig{Memory: true, Octets: room}
	}))
	c := greeted(t, server)
	for range 100 {
		c.mail("a@sender.test", "before@recipient.test", strings.Repeat("x\r\n", 5000))
	}
	if s := server.Stats().Captures; s.Messages != 100 || s.Kept+s.Dropped != 100 || s.Dropped == 0 || s.Octets > room {
		t.Errorf("100 messages of 15,000 octets in %d: %+v", room, s)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<large@recipient.test>", "250 ")
	piece := bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890\r\n"), 1<<14) // 64 octets a line
	most := uint64(0)
	c.command("DATA", "354 ")
	for n := 0; n < sent; n += len(piece) {
		if _, err := c.conn.Write(piece); err != nil {
			t.Fatal(err)
		}
		most = max(most, server.Stats().Captures.Octets)
	}
	c.send(".\r\n")
	c.expect("250 ")
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4*room {
		t.Errorf("the heap has grown by %d octets", grown)
	}
	if most > room {
		t.Errorf("meanwhile the store has taken %d octets", most)
	}
	got := sinktest.Messages(t, server, capture.Query{Recipient: "large@recipient.test"})
	if len(got) != 1 || !got[0].Cut || got[0].Size < sent || len(got[0].Octets) == 0 || !bytes.HasPrefix(piece, got[0].Octets[:1000]) {
		t.Fatalf("of the large one, kept is %+v", got)
	}
	if s := server.Stats().Captures; s.Cut != 1 || s.Octets > room {
		t.Errorf("the counts are %+v", s)
	}
}

// TestCaptureOfManyAtOnce: whatever comes at the same time, each message keeps its own octets, and the bound holds.
func TestCaptureOfManyAtOnce(t *testing.T) {
	const conns, each, room = 16, 40, 256 << 10
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		dir := t.TempDir()
		for _, where := range []sink.CaptureConfig{{Memory: true, Octets: room}, {Dir: filepath.Join(dir, "mail"), Octets: room}} {
			server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.Capture, cfg.Loops = where, 2 }))
			var wg sync.WaitGroup
			for i := range conns {
				c := greeted(t, server)
				wg.Go(func() {
					for n := range each {
						name := fmt.Sprintf("%d-%d", i, n)
						text := strings.Repeat(name+"\r\n", 1+n*19)
						// not rawClient: a failure must not end this goroutine
						if _, err := fmt.Fprintf(c.conn, "MAIL FROM:<a@sender.test>\r\nRCPT TO:<%s@recipient.test>\r\nDATA\r\n", name); err != nil {
							t.Error(err)
							return
						}
						for _, want := range []string{"250 ", "250 ", "354 "} {
							if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
								t.Errorf("%q, %v", line, err)
								return
							}
						}
						if _, err := c.conn.Write([]byte(text + ".\r\n")); err != nil {
							t.Error(err)
							return
						}
						if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "250 ") {
							t.Errorf("%q, %v", line, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := server.Close(); err != nil { // all is written then
				t.Fatal(err)
			}
			stats := server.Stats().Captures
			if stats.Messages != conns*each || stats.Failed > 0 || stats.Dropped == 0 || stats.Kept+stats.Dropped != stats.Messages {
				t.Errorf("the counts are %+v", stats)
			}
			if stats.Octets > room || stats.Kept == 0 {
				t.Errorf("at the end: %+v", stats)
			}
			for _, m := range sinktest.Messages(t, server) {
				name, _, _ := strings.Cut(m.Recipients[0].Address, "@")
				if n := strings.Count(string(m.Octets), name+"\r\n"); !m.Cut && n*len(name+"\r\n") != len(m.Octets) || n == 0 {
					t.Errorf("the message to %s holds other octets: %.60q", name, m.Octets)
				}
			}
		}
		entries, err := os.ReadDir(filepath.Join(dir, "mail"))
		if err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		if total > room || len(entries) < 3 {
			t.Errorf("%d files of %d octets are left", len(entries), total)
		}
	})
}
