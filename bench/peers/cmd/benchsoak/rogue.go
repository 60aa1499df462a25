package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// A rogue is a client that misbehaves in one way: it opens a connection, does its worst, and goes.
type rogue struct {
	name string
	run  func(s *soaking, d *dialogue, random *rand.Rand)
}

// rogues are all of them. Those that send a message to its end claim it.
var rogues = []rogue{
	{"slow", slow}, {"half-closed", halfClosed}, {"reset", reset}, {"garbage", garbage}, {"TLS garbage", tlsGarbage}, {"oversized lines", oversized},
	{"pipelined junk", junk}, {"silent", silent}, {"many recipients", crowd}, {"chunks", chunks}, {"never reads", unread}, {"AUTH junk", authJunk},
	{"other protocols", otherProtocol}, {"body without end", endless},
}

// misbehave has one client after the other misbehave, in turn, until the context ends.
func (s *soaking) misbehave(ctx context.Context, worker int) {
	random := rand.New(rand.NewPCG(s.options.seed, 1000+uint64(worker))) // #nosec G115 G404 -- no secret
	for n := worker; ctx.Err() == nil; n++ {
		d, err := s.dial()
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		i := n % len(rogues)
		rogues[i].run(s, d, random)
		_ = d.conn.Close()
		s.misbehaved[i].Add(1)
		pause(ctx, time.Duration(random.IntN(100))*time.Millisecond)
	}
}

// drain reads until the other side closes, or for so long.
func (d *dialogue) drain(wait time.Duration) {
	_ = d.conn.SetReadDeadline(time.Now().Add(wait))
	_, _ = io.Copy(io.Discard, d.in)
}

// whole is a transaction in one piece, as a blind pipeliner sends it. No line of the body is a command, in case it is taken for one.
func (l *letter) whole() string {
	return "EHLO rogue.soak.test\r\nMAIL FROM:<" + l.claim.Sender + ">\r\nRCPT TO:<" + l.to[0] + ">\r\nDATA\r\n" + l.wire + ".\r\n"
}

// blind reads the replies to a whole transaction and claims what they say.
func (l *letter) blind(d *dialogue, sent time.Time) {
	// greeting, EHLO, MAIL, RCPT, DATA, message
	for _, want := range [...]int{220, 250, 250, 250, 354, 250} {
		code, err := d.reply()
		if err == nil && code == want {
			continue
		}
		if err != nil || code < 400 {
			break
		}
		// A refusal of what comes before is one of the message, unless it speaks of the connection.
		if want == 220 || code == 421 {
			break
		}
		l.say(l.to[0], reconcile.AckNo, code, sent)
		return
	}
	l.say(l.to[0], reconcile.AckUnknown, 0, sent)
}

func (l *letter) only() *letter {
	l.to = l.to[:1]
	return l
}

func slow(s *soaking, d *dialogue, random *rand.Rand) {
	l, sent := s.claims.compose(random).only(), time.Now()
	text := l.whole()
	for len(text) > 0 {
		n := min(len(text), 1+len(text)/200)
		if d.write(text[:n]) != nil {
			break
		}
		text = text[n:]
		time.Sleep(5 * time.Millisecond)
	}
	l.blind(d, sent)
}

func halfClosed(s *soaking, d *dialogue, random *rand.Rand) {
	l, sent := s.claims.compose(random).only(), time.Now()
	_ = d.write(l.whole())
	_ = d.conn.(*net.TCPConn).CloseWrite()
	l.blind(d, sent)
	d.drain(patience)
}

// reset goes by RST at any point of a transaction, also behind its end with nothing read.
func reset(s *soaking, d *dialogue, random *rand.Rand) {
	l := s.claims.compose(random).only()
	text := l.whole()
	if n := random.IntN(2 * len(text)); n < len(text) {
		text = text[:n]
	}
	l.say(l.to[0], reconcile.AckUnknown, 0, time.Now())
	_ = d.write(text)
	if random.IntN(2) == 0 {
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	}
	d.reset()
}

func garbage(_ *soaking, d *dialogue, random *rand.Rand) {
	if random.IntN(2) == 0 {
		_ = d.write("EHLO rogue.soak.test\r\n")
	}
	_ = d.write(noise(random, 1+random.IntN(8<<10)))
	d.drain(time.Second)
}

func noise(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32()) // #nosec G115 -- its last octet
	}
	return string(b)
}

func tlsGarbage(_ *soaking, d *dialogue, random *rand.Rand) {
	if random.IntN(3) == 0 { // a ClientHello where none is due
		_ = d.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise(random, 512))
		d.drain(time.Second)
		return
	}
	if d.greet(false) != nil {
		return
	}
	if code, err := d.ask("STARTTLS"); err != nil || code != 220 {
		return
	}
	switch random.IntN(3) {
	case 0:
		_ = d.write(noise(random, 1+random.IntN(2000)))
	case 1: // the beginning of a record that never ends
		_ = d.write("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + noise(random, 300))
	}
	d.drain(500 * time.Millisecond)
}

func oversized(_ *soaking, d *dialogue, random *rand.Rand) {
	long := strings.Repeat("x", 1<<(8+random.IntN(10)))
	for _, line := range []string{"EHLO " + long, "EHLO rogue.soak.test", "MAIL FROM:<" + long + "@junk.test>", "MAIL FROM:<rogue@junk.test>", "RCPT TO:<" + long + "@junk.test>",
		"RCPT TO:<a@junk.test>", "DATA", "X-Long: " + long + strings.Repeat("\r\n "+long, 3) + "\r\n\r\n" + long + "\r\n."} {
		if d.write(line+"\r\n") != nil {
			break
		}
	}
	d.drain(300 * time.Millisecond)
}

func junk(_ *soaking, d *dialogue, random *rand.Rand) {
	words := []string{"NOOP", "RSET", "VRFY a", "EXPN b", "HELP", "FROB", "MAIL FROM:<rogue@junk.test>", "RCPT TO:<a@junk.test>", "EHLO rogue", "AUTH", "BDAT 0", "", "\x00", "MAIL FROM:<", "DATA x"}
	var b strings.Builder
	for range 2000 {
		b.WriteString(words[random.IntN(len(words))])
		b.WriteString("\r\n")
	}
	go func() { _ = d.write(b.String()) }()
	if random.IntN(2) == 0 {
		d.drain(time.Second)
		return
	}
	time.Sleep(100 * time.Millisecond)
}

// silent says nothing, until the sink has had enough, or for a while.
func silent(_ *soaking, d *dialogue, random *rand.Rand) {
	d.drain(time.Duration(500+random.IntN(2)*6000) * time.Millisecond)
}

func crowd(_ *soaking, d *dialogue, _ *rand.Rand) {
	if d.greet(false) != nil {
		return
	}
	var b strings.Builder
	b.WriteString("MAIL FROM:<rogue@junk.test>\r\n")
	for i := range 300 {
		fmt.Fprintf(&b, "RCPT TO:<crowd%d@d%d.junk.test>\r\n", i, i)
	}
	b.WriteString("RSET\r\nQUIT\r\n")
	go func() { _ = d.write(b.String()) }()
	d.drain(3 * time.Second)
}

func chunks(_ *soaking, d *dialogue, random *rand.Rand) {
	if d.greet(false) != nil {
		return
	}
	sizes := []string{"BDAT 100000000000", "BDAT 99999999999999999999", "BDAT -1", "BDAT 10 LAST", "BDAT 4096", "BDAT 0 LAST", "BDAT 500000"}
	_ = d.write("MAIL FROM:<rogue@junk.test>\r\nRCPT TO:<a@junk.test>\r\n" + sizes[random.IntN(len(sizes))] + "\r\n" + strings.Repeat("y", random.IntN(5000)))
	d.drain(300 * time.Millisecond)
}

// unread asks for much and reads nothing, until the sink's output can't be got rid of.
func unread(_ *soaking, d *dialogue, random *rand.Rand) {
	_ = d.conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = d.conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(d.conn, strings.Repeat("EHLO rogue\r\nHELP\r\n", 20_000))
	if random.IntN(2) == 0 {
		d.reset()
	}
}

func authJunk(_ *soaking, d *dialogue, random *rand.Rand) {
	if d.greet(false) != nil {
		return
	}
	for _, line := range []string{"AUTH PLAIN AHVzZXIAd3Jvbmc=", "AUTH PLAIN =", "AUTH LOGIN", noise(random, 40), "*", "AUTH CRAM-MD5", "dXNlciA=", "AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YQ==", "AUTH NONE"} {
		if _, err := d.ask(line); err != nil {
			return
		}
	}
}

func otherProtocol(_ *soaking, d *dialogue, random *rand.Rand) {
	_ = d.write([]string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-x\r\n", "\x00\x00\x00\x10abc", "OPTIONS sip:x SIP/2.0\r\n\r\n"}[random.IntN(4)])
	d.drain(time.Second)
}

// endless sends a body until it is too long, or the sink has had enough.
func endless(_ *soaking, d *dialogue, random *rand.Rand) {
	if d.greet(false) != nil || d.write("MAIL FROM:<rogue@junk.test>\r\nRCPT TO:<a@junk.test>\r\nDATA\r\n") != nil {
		return
	}
	part := strings.Repeat("A line of a body that has no end.\r\n", 1000)
	for range random.IntN(60) {
		if d.write(part) != nil {
			return
		}
	}
	if random.IntN(2) == 0 {
		_ = d.write(".\r\n")
		d.drain(time.Second)
	}
}
