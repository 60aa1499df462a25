package client

import (
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

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
			res.settle(reply, true)
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
