package xk6smtp

import (
	"cmp"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// handLed is the transaction that a script leads command by command: what its claims need, and what data and bdat alone don't know.
type handLed struct {
	open          bool // a MAIL was accepted
	sender, envID string
	recipients    []handRecipient
	chunks        event.Digest // of bdat
	eightBit      bool         // likewise
}

type handRecipient struct {
	address, notify string
	reply           client.Reply // to RCPT
}

// reset forgets the transaction: it is over.
func (h *handLed) reset() { *h = handLed{recipients: h.recipients[:0]} }

// takeOver notes the transaction that send has left open: commands by hand go on with it. The recipients whom RCPT refused aren't in it.
func (h *handLed) takeOver(wire *client.Message, recipients []client.Recipient) {
	h.open, h.sender = true, wire.From
	notify := ""
	if wire.DSN != nil {
		h.envID, notify = wire.DSN.EnvID, wire.DSN.Notify
	}
	for i := range recipients {
		if recipients[i].Reply.Phase != smtp.StageRcpt {
			h.recipients = append(h.recipients, handRecipient{wire.To[i], notify, client.Reply{Phase: smtp.StageRcpt, Code: 250}})
		}
	}
}

// noteEnvelope notes the reply to a MAIL or RCPT that a script wrote.
func (c *smtpClient) noteEnvelope(phase smtp.Stage, address string, params []string, reply client.Reply) {
	h := &c.handLed
	switch {
	case !c.claims():
	case phase == smtp.StageMail && reply.Code.Class() == 2:
		h.reset()
		h.open, h.sender = true, address
		if text, ok := smtp.DecodeXText(nil, []byte(param(params, "ENVID="))); ok {
			h.envID = string(text)
		}
	case phase == smtp.StageRcpt && h.open:
		h.recipients = append(h.recipients, handRecipient{address, param(params, "NOTIFY="), reply})
	}
}

// noteLine is noteEnvelope for a line as it went out. One that can't be read as MAIL or RCPT leaves the envelope as it was.
func (c *smtpClient) noteLine(line string, reply client.Reply) {
	command := smtp.ParseCommand([]byte(line))
	var mail smtp.MailArgs
	var rcpt smtp.RcptArgs
	switch phase := command.Verb.Stage(); {
	case phase == smtp.StageMail && smtp.ParseMail(command.Args, &mail) == nil:
		c.noteEnvelope(phase, string(mail.Path), strings.Fields(line), reply)
	case phase == smtp.StageRcpt && smtp.ParseRcpt(command.Args, &rcpt) == nil:
		c.noteEnvelope(phase, string(rcpt.Path), strings.Fields(line), reply)
	}
}

// noteReset forgets the transaction that a command has ended (RFC 5321 sections 4.1.1.5 and 4.1.4).
func (c *smtpClient) noteReset(phase smtp.Stage, reply client.Reply) {
	if (phase == smtp.StageRset || phase == smtp.StageEhlo || phase == smtp.StageHelo) && reply.Code.Class() == 2 {
		c.handLed.reset()
	}
}

func param(params []string, name string) string {
	for _, p := range params {
		if len(p) > len(name) && strings.EqualFold(p[:len(name)], name) {
			return p[len(name):]
		}
	}
	return ""
}

// handBody is what data or bdat is about to send.
type handBody struct {
	message      *message // of a Message, with what stands in its header
	token, fresh string
	body         *client.Body // of data
	chunk        []byte       // of bdat
	isLast       bool         // the message ends with it
}

// claimBody claims the message of the open transaction before its end goes out. Chunks before the last are only looked at.
func (c *smtpClient) claimBody(b *handBody) {
	h := &c.handLed
	if b.body == nil {
		if !h.chunks.Begun() {
			h.chunks.Begin(true)
		}
		h.chunks.Add(b.chunk)
		h.eightBit = h.eightBit || !isASCII(b.chunk)
	}
	if !h.open || !b.isLast {
		return
	}
	var claim *reconcile.Claim
	switch {
	case b.message != nil:
		claim = c.claimMessage(b.message, b.body, b.token, b.fresh, b.message.idDomain)
	case b.body != nil:
		facts := newBodyFacts(b.body)
		claim = c.newClaim(facts, cmp.Or(facts.stormID, c.module.root.tokens.next()))
	default: // the header was in any of the chunks
		facts := bodyFacts{eightBit: h.eightBit}
		facts.hash, facts.size = h.chunks.Finish()
		claim = c.newClaim(facts, c.module.root.tokens.next())
	}
	claim.Sender, claim.Token = h.sender, cmp.Or(h.envID, claim.Token)
	c.claimRecipients(nil)
}

// claimTransfer tells what became of the message that claimBody has claimed.
func (c *smtpClient) claimTransfer(b *handBody, replies []client.Reply) {
	h := &c.handLed
	if !h.open || !b.isLast {
		return
	}
	c.claimant.claim.Replied = time.Now()
	c.claimRecipients(append([]client.Reply{}, replies...))
	h.reset()
}

// claimRecipients writes a row for each recipient without replies, and with them one for each that they, or the reply to RCPT, have decided.
func (c *smtpClient) claimRecipients(replies []client.Reply) {
	claim, next := &c.claimant.claim, 0
	for i := range c.handLed.recipients {
		r := &c.handLed.recipients[i]
		reply := &r.reply
		claim.Ack, claim.Code, claim.Notify = reconcile.AckUnknown, 0, r.notify
		if accepted := reply.Code.Class() == 2; accepted {
			reply = nil
			if next < len(replies) {
				reply = &replies[next]
			}
			if c.options.config.LMTP && reply != nil && reply.Phase == smtp.StageMessage {
				next++
			}
		}
		if reply != nil && replies != nil {
			claim.Ack, claim.Code = ackOf(reply), int(reply.Code)
		}
		if (claim.Ack == reconcile.AckUnknown) == (replies == nil) {
			c.claimRow(r.address)
		}
	}
	c.claimRows(replies == nil)
}
