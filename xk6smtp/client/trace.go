package client

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Speaker says whose line of a transcript it is.
type Speaker string

// The speakers.
const (
	SpeakerClient Speaker = "client"
	SpeakerServer Speaker = "server"
	SpeakerNote   Speaker = "note" // what happened besides: a handshake
)

// TraceEntry is a line of the dialogue, or a body.
type TraceEntry struct {
	// At is when a command was about to be written, or when the last byte of a reply had been read.
	At      time.Time
	Speaker Speaker
	// Text has no line end, and can be shown on a terminal (see smtp.Visible). Credentials are replaced by "***", and of a body no more than its
	// first octets and its size are there, with "\n" between the lines.
	Text string
}

const (
	masked = "***"
	// maxTracedBody is how much of a body is shown.
	maxTracedBody = 200
)

// note adds an entry if somebody wants it.
func (c *Conn) note(text string) {
	if c.cfg.Trace != nil {
		c.cfg.Trace(TraceEntry{c.cfg.Now(), SpeakerNote, smtp.Visible(text)})
	}
}

// traceCommands adds the commands of one write.
func (c *Conn) traceCommands(commands []byte) {
	if c.cfg.Trace == nil {
		return
	}
	now := c.cfg.Now()
	for line := range bytes.Lines(commands) {
		c.cfg.Trace(TraceEntry{now, SpeakerClient, visibleLine(line)})
	}
}

// visibleLine is a line as a transcript shows it.
func visibleLine(line []byte) string { return smtp.Visible(strings.TrimRight(string(line), "\r\n")) }

// traceOctets adds octets of which nobody says what they are: lines that may be commands, or a part of a body.
func (c *Conn) traceOctets(octets []byte) {
	if c.cfg.Trace == nil {
		return
	}
	var shown []byte
	for line := range bytes.Lines(octets) {
		text := strings.TrimRight(string(line), "\r\n")
		visible := c.byHand.show(text, len(text) < len(line))
		if c.challenged {
			visible = masked
		}
		if len(shown) <= maxTracedBody {
			shown = append(append(shown, visible...), line[len(text):]...)
		}
	}
	c.showBody(shown, len(octets))
}

// maskedLine is a line that a caller wrote, without what it tells of credentials: the response of AUTH, and whatever answers a 334.
func (c *Conn) maskedLine(line string) string {
	if c.challenged {
		return masked
	}
	return c.byHand.show(line, true)
}

// traceBody adds a body that is made of parts.
func (c *Conn) traceBody(parts ...[]byte) {
	if c.cfg.Trace == nil {
		return
	}
	size := 0
	var shown []byte
	for _, part := range parts {
		size += len(part)
		shown = append(shown, part[:min(len(part), maxTracedBody-len(shown))]...)
	}
	c.showBody(shown, size)
}

// showBody adds the begin of a body of so many octets.
func (c *Conn) showBody(begin []byte, size int) {
	cut := len(begin) > maxTracedBody || size > len(begin)
	begin = begin[:min(len(begin), maxTracedBody)]
	for len(begin) > 0 && cut && !utf8.RuneStart(begin[len(begin)-1]) { // not within a character
		begin = begin[:len(begin)-1]
	}
	var lines []string
	for line := range bytes.Lines(bytes.TrimRight(begin, "\r\n")) {
		lines = append(lines, visibleLine(line))
	}
	if cut {
		lines = append(lines, fmt.Sprintf("[... %d octets in all]", size))
	}
	c.cfg.Trace(TraceEntry{c.cfg.Now(), SpeakerClient, strings.Join(lines, "\n")})
}

// traceReply adds the reply that was just read, as it came.
func (c *Conn) traceReply() {
	if c.cfg.Trace == nil {
		return
	}
	reply := c.parser.Reply()
	for line := range bytes.Lines(reply.Append(nil, true)) {
		c.cfg.Trace(TraceEntry{c.readAt, SpeakerServer, visibleLine(line)})
	}
}
