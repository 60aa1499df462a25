package client

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// simplestBody says what a message must look like after DATA and after BDAT, by the shortest way that there is.
func simplestBody(message string) (wire, plain string) {
	plain = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(message)
	if plain != "" && !strings.HasSuffix(plain, "\r\n") {
		plain += "\r\n"
	}
	wire = strings.TrimPrefix(strings.ReplaceAll("\r\n"+plain, "\r\n.", "\r\n.."), "\r\n")
	return wire + ".\r\n", plain
}

// capture is a server in memory that accepts everything and keeps what came after DATA, or behind BDAT's sizes.
type capture struct {
	net.Conn // nil: only what is overridden is called
	pending  []byte
	extra    string // EHLO lines
	inBody   bool
	body     bytes.Buffer
	in       bytes.Buffer
	chunk    int // octets of a chunk that are still to come
	chunks   int
}

func (c *capture) Write(p []byte) (int, error) {
	c.in.Write(p)
	for {
		switch {
		case c.chunk > 0:
			n := min(c.chunk, c.in.Len())
			c.body.Write(c.in.Next(n))
			if c.chunk -= n; c.chunk > 0 {
				return len(p), nil
			}
			c.pending = append(c.pending, "250 2.0.0 ok\r\n"...)
			continue
		case c.inBody:
			if text := c.in.Bytes(); !bytes.HasPrefix(text, finalDot) && !bytes.Contains(text, []byte("\r\n.\r\n")) {
				return len(p), nil
			}
			end := 0
			if !bytes.HasPrefix(c.in.Bytes(), finalDot) {
				end = bytes.Index(c.in.Bytes(), []byte("\r\n.\r\n")) + 2
			}
			c.body.Write(c.in.Next(end + len(finalDot)))
			c.inBody = false
			c.pending = append(c.pending, "250 2.0.0 ok\r\n"...)
			continue
		}
		line, err := c.in.ReadBytes('\n')
		if err != nil {
			c.in.Write(line)
			return len(p), nil
		}
		switch words := strings.Fields(string(line)); words[0] {
		case "EHLO":
			c.pending = append(c.pending, "250-mx\r\n"+c.extra+"250 8BITMIME\r\n"...)
		case "DATA":
			c.pending = append(c.pending, "354 go\r\n"...)
			c.inBody = true
		case "BDAT":
			c.chunks++
			for _, digit := range words[1] {
				c.chunk = c.chunk*10 + int(digit-'0')
			}
			if c.chunk == 0 {
				c.pending = append(c.pending, "250 2.0.0 ok\r\n"...)
			}
		case "MAIL", "RCPT":
			c.pending = append(c.pending, "250 2.1.0 ok\r\n"...)
		default:
			c.pending = append(c.pending, "500 5.5.1 a command out of the message\r\n"...)
		}
	}
}

func (c *capture) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pending)
	c.pending = append(c.pending[:0], c.pending[n:]...)
	return n, nil
}

func (c *capture) Close() error                { return nil }
func (c *capture) SetDeadline(time.Time) error { return nil }

// sendTo sends one message through a client to a capture, and returns it with the result's code.
func sendTo(t *testing.T, extra string, chunk int, header string, body *Body) (*capture, int) {
	t.Helper()
	server := &capture{pending: []byte("220 mx\r\n"), extra: extra}
	cfg := Config{Dialer: pipeDialer{server}, Timeouts: AllTimeouts(time.Minute), Now: time.Now, ChunkSize: chunk}
	var greeting Greeting
	conn, err := Connect(context.Background(), &cfg, nobody{}, &greeting)
	if err != nil {
		t.Fatal(err)
	}
	var result Result
	if err := conn.Send(context.Background(), &Message{From: "a@src.test", To: []string{"b@dst.test"}, Header: []byte(header), Body: body}, &result); err != nil {
		t.Fatal(err)
	}
	return server, int(result.Recipients[0].Reply.Code)
}

// FuzzBody cuts a message into pieces anywhere, empty ones between them, writes it into storage that held another one, and compares what
// a server gets by DATA and by BDAT in chunks of any size with the simplest way to say it.
func FuzzBody(f *testing.F) {
	f.Add("{{x}}.\r\nMAIL FROM:<a@evil.test>\r\n", uint64(0), uint16(1))
	for _, message := range []string{"", ".", "..", "\r", "\n", "\r\n", "a\r\n.\r\nb", "a\r.\n.\r\n..", ".\r\n", "a\r\r\n\n\r.b\r", "x\n.", "é\r\n.é", "\r\n.\r\n.\r\n"} {
		f.Add(message, uint64(0), uint16(3))
		f.Add(message, ^uint64(0), uint16(1))
		f.Add(message, uint64(0xaaaa), uint16(2))
	}
	f.Fuzz(func(t *testing.T, message string, cuts uint64, chunk uint16) {
		wire, plain := simplestBody(message)
		var body Body
		dirty := body.Overwrite()
		dirty.WriteString(".what\r\n.was here before\r")
		dirty.End()
		_ = body.Plain() // what is kept of it must go too

		w := body.Overwrite()
		from := 0
		for i := range len(message) {
			if cuts>>(i%64)&1 == 0 {
				continue
			}
			w.WriteString(message[from:i])
			w.WriteString("")
			w.Write(nil)
			from = i
		}
		w.Write([]byte(message[from:]))
		w.End()
		for name, b := range map[string]*Body{"in pieces": &body, "in one": NewBody([]byte(message))} {
			if got := string(b.Wire()); got != wire {
				t.Fatalf("%s: %q goes out as\n%q, expected\n%q", name, message, got, wire)
			}
			if got := string(b.Plain()); got != plain || b.Size() != len(plain) {
				t.Fatalf("%s: %q is plainly\n%q of size %d, expected\n%q", name, message, got, b.Size(), plain)
			}
			if eight := strings.ContainsFunc(message, func(r rune) bool { return r >= 0x80 }); b.EightBit() != eight {
				t.Fatalf("%s: eight bit is %v", name, b.EightBit())
			}
		}
		const header = "X-Storm-Id: 1\r\n"
		server, code := sendTo(t, "", 0, header, &body)
		if got := server.body.String(); got != header+wire || server.in.Len() != 0 || code != 250 {
			t.Fatalf("%q arrives by DATA as %q, then %q; reply %d", message, got, server.in.String(), code)
		}
		size := int(chunk%32) + 1
		for _, extra := range []string{"250-CHUNKING\r\n", "250-CHUNKING\r\n250-PIPELINING\r\n"} {
			server, code = sendTo(t, extra, size, header, &body)
			if got := server.body.String(); got != header+plain || server.in.Len() != 0 || code != 250 {
				t.Fatalf("%q arrives by BDAT as %q, then %q; reply %d", message, got, server.in.String(), code)
			}
			if want := (len(header+plain) + size - 1) / size; server.chunks != want {
				t.Fatalf("%d octets in chunks of %d: %d chunks, expected %d", len(header+plain), size, server.chunks, want)
			}
		}
	})
}
