package xk6smtp

import (
	"cmp"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// outcome is what a message's replies mean under the expected ones.
type outcome struct {
	ok                            bool
	reply                         client.Reply // the one that decided; Code 0 when a recipient has none
	expected, unexpected          int          // recipients
	mail, rcpt, data, messageCode phaseCode
}

// phaseCode is the code that the replies of one phase have in common.
type phaseCode struct {
	code  smtp.Code
	mixed bool
}

// code returns what the replies of a phase said in this operation.
func (c *collector) code(phase smtp.Stage) phaseCode {
	var p phaseCode
	for _, r := range c.replies {
		if r.phase != phase {
			continue
		}
		if p.code != 0 && p.code != r.code {
			p.mixed = true
		}
		p.code = r.code
	}
	return p
}

// judge compares every recipient's final reply with the expected ones.
func judge(res *client.Result, expected *expectedReplies, c *collector) outcome {
	o := outcome{
		mail:        c.code(smtp.StageMail),
		rcpt:        c.code(smtp.StageRcpt),
		data:        c.code(smtp.StageData),
		messageCode: c.code(smtp.StageMessage),
	}
	for i := range res.Recipients {
		reply := res.Recipients[i].Reply
		if expected.match(reply) {
			o.expected++
			continue
		}
		if o.unexpected == 0 {
			o.reply = reply
		}
		o.unexpected++
	}
	o.ok = o.unexpected == 0
	if o.ok {
		o.reply = res.Recipients[0].Reply
	}
	return o
}

// runSend sends a message, and connects first if need be. idDomain is that of the message's own sender, wire has the envelope that it is sent with; values fill
// its fields, nil for the defaults.
func (c *smtpClient) runSend(op *operation, m *message, idDomain string, values []string, wire client.Message, options *sendOptions) answer {
	c.handLed.reset()
	fresh := c.module.root.tokens.next()
	now := time.Now()
	if values != nil {
		wire.Body = &c.filled
		wire.UTF8 = m.template.fill(wire.Body, values)
	}
	token, isFresh := m.token(wire.Body, fresh)
	c.header = m.appendHeader(c.header[:0], idDomain, fresh, isFresh, c.date.at(now))
	wire.Header = c.header
	expected := options.expected
	if expected == nil {
		expected = c.options.expected
	}
	if options.dsn != nil {
		dsn := options.dsn.DSN
		if options.dsn.envIDIsToken {
			dsn.EnvID = token
		}
		wire.DSN = &dsn
	}
	claims := c.claims()
	if claims {
		claim := c.claimMessage(m, wire.Body, token, fresh, idDomain)
		if claim.Sender = wire.From; wire.DSN != nil {
			claim.Notify = wire.DSN.Notify
			claim.Token = cmp.Or(wire.DSN.EnvID, token)
		}
		c.claimBefore(wire.To)
	}
	conn, err := c.ensure(op)
	if err != nil {
		c.result.Abandon(len(wire.To), err)
	} else {
		err = conn.Send(op.ctx, &wire, &c.result)
		c.sent++
	}
	if claims {
		c.claimAfter(wire.To, c.result.Recipients)
		if err == nil && conn.InTransaction() {
			c.handLed.takeOver(&wire, c.result.Recipients)
		}
	}
	o := judge(&c.result, expected, &c.collector)
	blocked := client.NotMeasured
	if !c.result.Started.IsZero() {
		blocked = c.result.Started.Sub(op.called)
	}
	op.batch.message(&c.result, blocked, &o)
	if err != nil && c.result.Duration == client.NotMeasured {
		op.batch.unanswered(err, c.result.Started, time.Now())
	}
	res := c.newSendResult(wire.To, token, blocked, &o, expected, err)
	if conn != nil {
		c.release(op, conn)
	}
	return res
}

// newSendResult copies what the script gets: the client's own result is overwritten by the next message.
func (c *smtpClient) newSendResult(to []string, token string, blocked time.Duration, o *outcome, expected *expectedReplies, err error) *sendResult {
	t := &c.result.Timings
	res := &sendResult{
		Token:     token,
		Pipelined: c.result.Pipelined,
		Timings: sendTimings{
			millis(blocked), millis(t.Mail), millis(t.Rcpt), millis(t.Data), millis(t.Sending), millis(t.Waiting), millis(t.Duration),
		},
	}
	if res.Recipients = res.one[:]; len(to) != 1 {
		res.Recipients = make([]recipientResult, len(to))
	}
	if o.reply.Code != 0 {
		res.setReply(o.reply, o.ok)
		res.addCause(err)
	} else {
		res.setFailure(o.reply.Phase, err)
	}
	for i := range res.Recipients {
		reply := c.result.Recipients[i].Reply
		enhanced := res.EnhancedCode // that of the reply which decided: most often it is the only one
		if o.reply.Code == 0 || reply.Enhanced != o.reply.Enhanced {
			enhanced = reply.Enhanced.String()
		}
		res.Recipients[i] = recipientResult{
			Address:      to[i],
			OK:           expected.match(reply),
			Code:         int(reply.Code),
			EnhancedCode: enhanced,
			Phase:        reply.Phase.String(),
			Text:         reply.Text,
		}
	}
	return res
}
