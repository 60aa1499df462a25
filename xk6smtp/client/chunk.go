package client

import (
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// fitsAWrite reports that the message may follow its RCPTs in the same write, as one chunk. In LMTP nobody knows before the replies to
// RCPT how many final replies there will be.
func (t *transaction) fitsAWrite() bool {
	c := t.conn
	return !c.cfg.LMTP && len(t.message.Header)+len(t.message.Body.Plain()) <= min(c.cfg.ChunkSize, maxCopied)
}

// wholeChunk writes the message as one chunk behind the commands that wait, in one write, and reads all replies (RFC 3030 section 2,
// RFC 2920 section 3.1): a message in one round trip. If no recipient is accepted the octets were sent in vain, but the server's
// refusal is due nevertheless, and after it the transaction that MAIL began is still open.
func (t *transaction) wholeChunk() *Error {
	c, res := t.conn, t.result
	header, plain := t.message.Header, t.message.Body.Plain()
	t.buf.B = strconv.AppendInt(append(t.buf.B, "BDAT "...), int64(len(header)+len(plain)), 10)
	t.buf.B = append(t.buf.B, " LAST\r\n"...)
	c.await(smtp.StageMessage)
	c.traceCommands(t.buf.B)
	c.traceBody(header, plain)
	t.buf.B = append(append(t.buf.B, header...), plain...)
	res.Octets = len(header) + len(plain)
	start := t.stamp()
	if err := c.write(t.buf.B); err != nil {
		return err
	}
	sent := c.cfg.Now()
	for len(c.awaited) > 1 {
		reply, err := c.next()
		if err != nil {
			return err
		}
		t.answer(reply)
	}
	if res.Accepted == 0 {
		c.awaited[0] = smtp.StageBdat // out of sequence: the reply is to the command, not to a message
	}
	reply, err := c.next()
	if err != nil || res.Accepted == 0 {
		return err
	}
	c.transaction = false
	reply.Text = c.text()
	res.finish(reply, true)
	res.Sending, res.Waiting = sent.Sub(start), c.readAt.Sub(sent)
	return nil
}

// chunks sends the message by BDAT and reads the replies (RFC 3030). Each chunk waits for the reply to the one before.
func (t *transaction) chunks() *Error {
	c, res := t.conn, t.result
	header, plain := t.message.Header, t.message.Body.Plain()
	start := c.cfg.Now()
	for {
		n := min(len(header)+len(plain), c.cfg.ChunkSize)
		fromHeader := min(n, len(header))
		fromPlain := n - fromHeader
		last := n == len(header)+len(plain)
		if err := t.writeChunk(header[:fromHeader], plain[:fromPlain], last); err != nil {
			return err
		}
		if last {
			return t.finals(start)
		}
		header, plain = header[fromHeader:], plain[fromPlain:]
		c.deadline = false
		reply, err := c.next()
		if err != nil {
			return err
		}
		if reply.Code.Class() != 2 {
			reply.Text = c.text()
			res.finish(reply, true)
			return nil
		}
	}
}

// writeChunk writes one BDAT command with its octets, in one write unless there are many.
func (t *transaction) writeChunk(header, plain []byte, last bool) *Error {
	c := t.conn
	t.buf.B = strconv.AppendInt(append(t.buf.B[:0], "BDAT "...), int64(len(header)+len(plain)), 10)
	if last {
		t.buf.B = append(t.buf.B, " LAST"...)
		t.awaitFinals()
	} else {
		c.await(smtp.StageBdat)
	}
	t.buf.B = append(t.buf.B, '\r', '\n')
	c.traceCommands(t.buf.B)
	c.traceBody(header, plain)
	copied := min(len(plain), maxCopied)
	t.buf.B = append(append(t.buf.B, header...), plain[:copied]...)
	t.result.Octets += len(header) + len(plain)
	if err := c.write(t.buf.B); err != nil || copied == len(plain) || c.broken != nil {
		return err
	}
	return c.write(plain[copied:])
}
