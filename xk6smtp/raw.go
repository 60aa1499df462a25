package xk6smtp

import (
	"context"

	"github.com/grafana/sobek"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// rawOptions is what raw takes beside the line.
type rawOptions struct {
	reply    bool
	phase    smtp.Stage
	hasPhase bool
}

// jsRaw is raw in its three forms: raw(line) writes a line and reads a reply, raw(octets, {reply: false}) only writes, raw(null) only reads.
func (c *smtpClient) jsRaw(call sobek.FunctionCall) sobek.Value {
	return c.start("raw", nil, func() (func(*operation) answer, error) {
		o := rawOptions{reply: true, phase: smtp.StageUnknown}
		if err := parseInto(c.module.vu.Runtime(), "raw", call.Argument(1), &o, rawParsers); err != nil {
			return nil, err
		}
		switch v := call.Argument(0); {
		case !o.reply && o.hasPhase:
			return nil, &optionError{"raw", "phase", "is the reply's, and with reply: false none is read"}
		case !o.reply:
			octets, err := c.argument("raw", "octets", v).bytes()
			return func(op *operation) answer { return c.runWrite(op, octets) }, err
		case sobek.IsNull(v):
			return func(op *operation) answer { return c.runRead(op, o.phase) }, nil
		default:
			line, err := c.lineArgument("raw", "line", "", v)
			if !o.hasPhase {
				o.phase = smtp.ParseCommand([]byte(line)).Verb.Stage()
			}
			return func(op *operation) answer { return c.runLine(op, o.phase, line) }, err
		}
	})
}

var rawParsers = map[string]func(*rawOptions, option) error{
	"reply": func(o *rawOptions, v option) (err error) {
		o.reply, err = v.bool()
		return err
	},
	"phase": func(o *rawOptions, v option) error {
		name, err := v.string()
		if err == nil {
			o.phase, err = smtp.ParseStage(name)
		}
		if o.hasPhase = true; err != nil {
			return v.fail("a phase such as \"rcpt\" or \"message\"")
		}
		return nil
	},
}

// runWrite writes octets as they are. On a connection whose greeting was not read it leaves that so.
func (c *smtpClient) runWrite(op *operation, octets []byte) answer {
	op.byHand = true
	res := &replyResult{OK: true, Phase: smtp.StageUnknown.String()}
	conn, err := c.ensure(op)
	if err == nil {
		err = conn.Write(op.ctx, octets)
		c.release(op, conn)
	}
	if err != nil {
		res.setFailure(smtp.StageUnknown, err)
	}
	return res
}

// runRead reads one reply. Without a connection it opens one, whose greeting that is. It feeds no trend: when the reply's command was sent the
// script knows.
func (c *smtpClient) runRead(op *operation, phase smtp.Stage) answer {
	op.byHand, op.dialOnly = true, true
	res := &replyResult{}
	conn, err := c.ensure(op)
	if err != nil {
		res.setFailure(phase, err)
		return res
	}
	greeting := conn.Ungreeted()
	reply, err := conn.Read(op.ctx, phase)
	c.release(op, conn)
	c.fillReply(res, phase, reply, err)
	if greeting {
		op.batch.greeted(res.OK)
	}
	return res
}

// runLine sends a line as it is and reads one reply.
func (c *smtpClient) runLine(op *operation, phase smtp.Stage, line string) answer {
	op.byHand = true
	return c.runCommand(op, phase, func(conn *client.Conn, ctx context.Context) (client.Reply, error) {
		reply, err := conn.RawIn(ctx, phase, line)
		c.noteLine(line, reply)
		return reply, err
	})
}
