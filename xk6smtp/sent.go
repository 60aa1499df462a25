package xk6smtp

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// claimant claims the messages of one client, one after the other.
type claimant struct {
	claim reconcile.Claim // of the message under way
	rows  []byte
}

// maxRows is how many octets of rows are put together: those of a message with very many recipients go out in parts.
const maxRows = 64 << 10

// claims reports whether somebody wants to know what is sent: the file of claims, or a sink of this process.
func (c *smtpClient) claims() bool {
	return c.module.root.sent != nil || c.module.root.sinks.any.Load()
}

// newClaim begins the claims of a message.
func (c *smtpClient) newClaim(f bodyFacts, token string) *reconcile.Claim {
	c.claimant.claim = reconcile.Claim{
		Token: token, HasSender: true, Run: c.module.root.tokens.run, StormID: f.stormID, MessageID: f.messageID,
		Hashed: true, Body: f.hash, Size: f.size, EightBit: f.eightBit, Ack: reconcile.AckUnknown, Sent: time.Now(),
	}
	return &c.claimant.claim
}

// claimMessage is newClaim for a message with the header lines that appendHeader puts before it.
func (c *smtpClient) claimMessage(m *message, body *client.Body, token, fresh, idDomain string) *reconcile.Claim {
	claim := c.newClaim(m.factsOf(body), token)
	claim.StormID = token
	if !m.messageID {
		claim.MessageID = "<" + fresh + "@" + idDomain + ">"
	}
	return claim
}

// claimBefore claims what is about to be sent: a server may take it, and nobody live to hear of it.
func (c *smtpClient) claimBefore(to []string) {
	for _, rcpt := range to {
		c.claimRow(rcpt)
	}
	c.claimRows(true)
}

// claimAfter tells what became of it: for each recipient the reply that decided. Where none did, the row before stands.
func (c *smtpClient) claimAfter(to []string, recipients []client.Recipient) {
	c.claimant.claim.Replied = time.Now()
	for i := range recipients {
		reply := &recipients[i].Reply
		if ack := ackOf(reply); ack != reconcile.AckUnknown {
			c.claimant.claim.Ack, c.claimant.claim.Code = ack, int(reply.Code)
			c.claimRow(to[i])
		}
	}
	c.claimRows(false)
}

// claimRow claims the message for one recipient.
func (c *smtpClient) claimRow(rcpt string) {
	a := &c.claimant
	a.claim.Recipient = rcpt
	c.module.root.sinks.claim(&a.claim)
	if c.module.root.sent == nil {
		return
	}
	if a.rows = a.claim.Append(a.rows); len(a.rows) > maxRows {
		c.claimRows(false)
	}
}

// claimRows hands over the rows, with save to the kernel at once.
func (c *smtpClient) claimRows(save bool) {
	file, rows := c.module.root.sent, c.claimant.rows
	c.claimant.rows = rows[:0]
	switch {
	case file == nil:
	case save:
		file.save(rows)
	default:
		file.add(rows)
	}
}

// ackOf says what a final reply lets a sender believe. A 2xx counts behind the body only: one to DATA means that no body is wanted, and who gets no
// final reply, or one that is neither, knows nothing.
func ackOf(reply *client.Reply) reconcile.Ack {
	switch class := reply.Code.Class(); {
	case class == 2 && reply.Phase == smtp.StageMessage:
		return reconcile.AckYes
	case class == 4 || class == 5:
		return reconcile.AckNo
	}
	return reconcile.AckUnknown
}

// bodyFacts is what a claim says of a message as it is before each sending adds to its header.
type bodyFacts struct {
	hash               uint64
	size               int64
	eightBit           bool
	stormID, messageID string // empty: it has none of its own
}

// factsOf returns them for a body of the message: its own, which is looked at once, or one whose fields were filled in.
func (m *message) factsOf(body *client.Body) bodyFacts {
	if body != m.body {
		return newBodyFacts(body)
	}
	m.factsOnce.Do(func() { m.facts = newBodyFacts(body) })
	return m.facts
}

func newBodyFacts(body *client.Body) (f bodyFacts) {
	wire := body.Wire()
	var d event.Digest
	d.Begin(false)
	d.Add(wire)
	f.hash, f.size = d.Finish()
	f.eightBit = body.EightBit() && !isASCII(wire[headerLength(wire):])
	f.stormID, f.messageID = ownStormID(body), ownValue(body, "Message-ID")
	return f
}
