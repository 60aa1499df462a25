package client

import (
	"context"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

const (
	// maxPipelined is how many RCPTs go into one write. Their replies must fit the server's send buffer while nobody reads
	// them, or both sides wait for each other (RFC 2920 section 3.1).
	maxPipelined = 100
	// maxCopied is how much of a body is copied next to its header so that both leave in one write; the rest of a longer one is
	// written from where it is.
	maxCopied = 64 << 10
)

// Send sends one message and fills in res. A reply of any code is a result: the error is an *EnvelopeError if the message could
// not be sent at all, or the *Error that broke the dialogue; one with a *MissingExtensionError leaves the connection as it was. A 421 ends the connection and is a result too: it becomes the final
// reply of every recipient that had none.
func (c *Conn) Send(ctx context.Context, m *Message, res *Result) error {
	res.reset(len(m.To))
	needsUTF8, wrong := m.check()
	if wrong != nil {
		return wrong
	}
	if c.closed.Load() {
		return res.broke(c.refuse(smtp.StageMail))
	}
	if !c.cfg.Force8Bit {
		if err := c.capabilities.missing(m, needsUTF8); err != nil {
			lost := &Error{Phase: smtp.StageMail, Err: err}
			c.obs.Lost(lost.Phase, lost)
			return res.broke(lost)
		}
	}
	c.begin(ctx)
	defer c.end()

	t := transaction{conn: c, message: m, result: res, needsUTF8: needsUTF8, pipeline: c.capabilities.pipelining && !c.cfg.ForbidPipelining}
	t.buf = bytebufferpool.Get()
	defer bytebufferpool.Put(t.buf)
	err := t.run()
	if c.accepted = 0; c.transaction { // Data goes on with them
		c.accepted = res.Accepted
	}
	res.Pipelined = t.pipeline
	if err == nil || c.farewell.Code != 0 {
		if !res.Started.IsZero() {
			res.Duration = c.readAt.Sub(res.Started)
		}
		res.finish(c.farewell, false)
		return nil
	}
	return res.broke(err)
}

// broke leaves a trace of err at every recipient that has no final reply.
func (r *Result) broke(err *Error) error {
	r.finish(Reply{Phase: err.Phase}, false)
	return err
}

// transaction is one message on its way.
type transaction struct {
	conn     *Conn
	message  *Message
	result   *Result
	pipeline bool
	// needsUTF8 is what Message.check said.
	needsUTF8 bool
	buf       *bytebufferpool.ByteBuffer // commands that were not yet written; their phases are in conn.awaited

	rcptAt, dataAt time.Time // when the first RCPT and DATA were about to be written
	answered       int       // RCPTs that have their reply
	refused        bool      // MAIL was
	open           bool      // DATA was answered by 354
}

// run sends the commands, one by one or in groups, and the body.
func (t *transaction) run() *Error {
	c, m := t.conn, t.message
	if c.transaction {
		t.buf.B = append(t.buf.B, "RSET\r\n"...)
		if err := t.added(smtp.StageRset, !t.pipeline); err != nil || t.over() {
			return err
		}
	}
	t.buf.B = c.capabilities.appendMail(t.buf.B, m, t.needsUTF8)
	if err := t.added(smtp.StageMail, !t.pipeline); err != nil || t.over() {
		return err
	}
	chunked := c.cfg.ChunkSize > 0 && c.capabilities.chunking
	whole := chunked && t.pipeline && t.fitsAWrite()
	for i, to := range m.To {
		t.buf.B = c.capabilities.appendRcpt(t.buf.B, to, m.DSN)
		last := i+1 == len(m.To)
		full := (i+1)%maxPipelined == 0 && !last || chunked && last && !whole
		if err := t.added(smtp.StageRcpt, !t.pipeline || full); err != nil || t.over() {
			return err
		}
	}
	// Without pipelining it is known by now that nobody would get the message; RFC 5321 section 3.3 has DATA fail then.
	if t.answered == len(m.To) && t.result.Accepted == 0 {
		return nil
	}
	if whole {
		return t.wholeChunk()
	}
	if chunked {
		return t.chunks()
	}
	t.buf.B = append(t.buf.B, "DATA\r\n"...)
	if err := t.added(smtp.StageData, true); err != nil || c.farewell.Code != 0 || !t.open {
		return err
	}
	return t.body()
}

// over reports that no further command makes sense.
func (t *transaction) over() bool { return t.refused || t.conn.farewell.Code != 0 }

// added notes that a command was appended to buf, and with flush writes everything appended and reads the replies.
func (t *transaction) added(phase smtp.Stage, flush bool) *Error {
	c := t.conn
	c.await(phase)
	if !flush {
		return nil
	}
	t.stamp()
	c.traceCommands(t.buf.B)
	err := c.write(t.buf.B)
	t.buf.Reset()
	for err == nil && len(c.awaited) > 0 {
		var reply Reply
		if reply, err = c.next(); err == nil {
			t.answer(reply)
		}
	}
	return err
}

// stamp returns the time, at which the first octets of all that wait are about to be written.
func (t *transaction) stamp() time.Time {
	now := t.conn.cfg.Now()
	for _, phase := range t.conn.awaited {
		switch {
		case phase == smtp.StageMail:
			t.result.Started = now
		case phase == smtp.StageRcpt && t.rcptAt.IsZero():
			t.rcptAt = now
		case phase == smtp.StageData:
			t.dataAt = now
		}
	}
	return now
}

// answer takes the reply to one command; its text is still to be read.
func (t *transaction) answer(reply Reply) {
	c, res := t.conn, t.result
	positive := reply.Code.Class() == 2
	switch reply.Phase {
	case smtp.StageRset:
		c.transaction = c.transaction && !positive
	case smtp.StageMail:
		res.Mail = c.readAt.Sub(res.Started)
		c.transaction = positive
		if t.refused = !positive; t.refused {
			reply.Text = c.text()
			res.finish(reply, false)
		}
	case smtp.StageRcpt:
		rcpt := &res.Recipients[t.answered]
		t.answered++
		switch {
		case t.refused:
		case positive:
			rcpt.accepted = true
			res.Accepted++
		default:
			reply.Text = c.text()
			rcpt.Reply = reply
		}
		if t.answered == len(res.Recipients) {
			res.Rcpt = c.readAt.Sub(t.rcptAt)
		}
	case smtp.StageData:
		res.Data = c.readAt.Sub(t.dataAt)
		// Only 354 opens the body; any other reply, a positive one too, means that it isn't wanted.
		if t.open = reply.Code == 354; !t.open {
			reply.Text = c.text()
			res.finish(reply, true)
		}
	}
}

// body writes the message and reads the final reply. When no recipient was accepted it writes the final dot alone.
func (t *transaction) body() *Error {
	c, res := t.conn, t.result
	if c.cfg.LMTP && res.Accepted == 0 {
		// RFC 2033 section 4.2 wants 503 here. How many replies a server gives that has said 354 nobody knows.
		c.Close()
		return nil
	}
	t.awaitFinals()
	start := c.cfg.Now()
	var err *Error
	if res.Accepted == 0 {
		c.traceBody(finalDot)
		err = c.write(finalDot)
	} else {
		err = t.writeBody()
	}
	if err != nil {
		return err
	}
	return t.finals(start)
}

// awaitFinals notes the final replies that are due: one, or in LMTP one per accepted recipient (RFC 2033 section 4.2).
func (t *transaction) awaitFinals() {
	t.conn.await(smtp.StageMessage)
	if t.conn.cfg.LMTP {
		for range t.result.Accepted - 1 {
			t.conn.await(smtp.StageMessage)
		}
	}
}

// finals reads the final replies of a body that was begun at start.
func (t *transaction) finals(start time.Time) *Error {
	c, res := t.conn, t.result
	sent := c.cfg.Now()
	if sent.Sub(start) > time.Millisecond {
		c.deadline = false // the reply has the phase's whole limit
	}
	i := 0
	for len(c.awaited) > 0 {
		reply, err := c.next()
		if err != nil {
			return err
		}
		c.transaction = false
		if res.Accepted == 0 {
			return nil
		}
		reply.Text = c.text()
		if !c.cfg.LMTP {
			res.finish(reply, true)
			continue
		}
		for !res.Recipients[i].accepted {
			i++
		}
		res.Recipients[i].Reply = reply
		i++
	}
	res.Sending, res.Waiting = sent.Sub(start), c.readAt.Sub(sent)
	return nil
}

// writeBody writes header and body, in one write unless the message is long.
func (t *transaction) writeBody() *Error {
	c, m := t.conn, t.message
	wire := m.Body.wire
	t.result.Octets = len(m.Header) + len(wire)
	c.traceBody(m.Header, wire)
	if len(m.Header) == 0 {
		return c.write(wire)
	}
	n := min(len(wire), max(maxCopied-len(m.Header), 0))
	t.buf.B = append(append(t.buf.B[:0], m.Header...), wire[:n]...)
	if err := c.write(t.buf.B); err != nil || n == len(wire) || c.broken != nil {
		return err
	}
	return c.write(wire[n:])
}
