package client

import (
	"errors"
	"io"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reply reads the reply to the first awaited command, with its text.
func (c *Conn) reply() (Reply, *Error) {
	reply, err := c.next()
	if err == nil {
		reply.Text = c.text()
	}
	return reply, err
}

// next reads the reply to the first awaited command and reports it. Its text can be had from c.text until the next call.
func (c *Conn) next() (Reply, *Error) {
	phase := c.awaited[0]
	for {
		n, done, err := c.parser.Feed(c.buf[c.r:c.w])
		c.r += n
		if err == nil && !done {
			err = c.fill(phase)
		}
		if err != nil {
			return Reply{}, c.fail(err)
		}
		if done {
			break
		}
	}
	copy(c.awaited, c.awaited[1:])
	c.awaited = c.awaited[:len(c.awaited)-1]
	reply := Reply{Phase: phase, Code: c.parser.Code()}
	switch {
	case !withoutEnhanced(phase):
		reply.Enhanced = c.parser.Enhanced()
		c.obs.Reply(phase, reply.Code, reply.Enhanced)
	case reply.Code >= 400: // RFC 2034 section 4 knows no such code here, and many servers give one with a refusal nevertheless
		reply.Enhanced = c.parser.Enhanced()
		fallthrough
	default:
		c.obs.Reply(phase, reply.Code, smtp.Enhanced{})
	}
	c.challenged = reply.Code == 334
	c.traceReply()
	c.astray = c.astray || outOfPlace(phase, reply.Code)
	if reply.Code == 421 && c.farewell.Code == 0 {
		c.farewell = reply
		c.farewell.Text = c.text()
	}
	return reply, nil
}

// outOfPlace reports a reply that no server which is in step gives: 2xx to DATA, which wants 354 or a refusal, and an intermediate reply to a
// command that has nothing to follow it (RFC 5321 section 4.3.2).
func outOfPlace(phase smtp.Stage, code smtp.Code) bool {
	switch code.Class() {
	case 2:
		return phase == smtp.StageData
	case 3:
		return phase != smtp.StageData && phase != smtp.StageAuth && phase != smtp.StageUnknown
	}
	return false
}

// text returns the text of the reply that was read last.
func (c *Conn) text() string {
	if c.parser.NumLines() == 1 {
		if line := c.parser.Line(0); string(line) != c.lastText {
			c.lastText = string(line)
		}
		return c.lastText
	}
	var text strings.Builder
	for i := range c.parser.NumLines() {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.Write(c.parser.Line(i))
	}
	return text.String()
}

// fill reads more of the reply to phase from the connection.
func (c *Conn) fill(phase smtp.Stage) error {
	if !c.deadline || c.armed != phase {
		if err := c.arm(phase); err != nil {
			return err
		}
	}
	c.r, c.w = 0, 0
	for {
		n, err := c.net.Read(c.buf)
		switch {
		case n > 0:
			c.w = n
			c.readAt = c.cfg.Now()
			return nil
		case errors.Is(err, io.EOF):
			return ErrConnectionClosed
		case !c.resumes(err):
			return err
		}
	}
}
