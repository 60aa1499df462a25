package client

import (
	"bytes"
	"fmt"
	"strings"
	"time"
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
	// Text has no line end. Credentials are replaced by "***", and of a body no more than its first octets and its size are there.
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
		c.cfg.Trace(TraceEntry{c.cfg.Now(), SpeakerNote, text})
	}
}

// traceCommands adds the commands of one write.
func (c *Conn) traceCommands(commands []byte) {
	if c.cfg.Trace == nil {
		return
	}
	now := c.cfg.Now()
	for line := range bytes.Lines(commands) {
		c.cfg.Trace(TraceEntry{now, SpeakerClient, strings.TrimRight(string(line), "\r\n")})
	}
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
	text := string(shown)
	if size > len(shown) {
		text = strings.TrimRight(text, "\r\n") + fmt.Sprintf("\n[... %d octets in all]", size)
	}
	c.cfg.Trace(TraceEntry{c.cfg.Now(), SpeakerClient, strings.TrimRight(text, "\r\n")})
}

// traceReply adds the reply that was just read, as it came.
func (c *Conn) traceReply() {
	if c.cfg.Trace == nil {
		return
	}
	reply := c.parser.Reply()
	for line := range bytes.Lines(reply.Append(nil, true)) {
		c.cfg.Trace(TraceEntry{c.readAt, SpeakerServer, strings.TrimRight(string(line), "\r\n")})
	}
}
