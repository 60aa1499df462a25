package conn

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Mailbox keeps messages with what they were answered. It is safe for concurrent use, and nobody waits for it.
type Mailbox interface {
	Take(octets int) bool // as session.Mailbox has it, and so the next two
	Give(octets int)
	MaxBody() int
	Add(m *capture.Message, octets []byte) // which are its own from now on
}

// mailed is a message of a connection whose body has come to its end, until all its recipients have their rows.
type mailed struct {
	capture.Message
	octets []byte
	wanted int         // recipients
	reply  *smtp.Reply // that was decided last
}

// mailbox joins what a session tells of a message: its octets, the replies after them, and its rows. It belongs to the goroutine of its
// recorder.
type mailbox struct {
	Mailbox
	recorder *recorder
	causes   causes
}

// Body implements session.Mailbox.
func (b *mailbox) Body(body *session.Body) {
	if body.Recipients == 0 { // a fault made the client send it: nobody was to get it, and no row tells of it
		b.Give(cap(body.Octets))
		return
	}
	m := &mailed{octets: body.Octets, wanted: body.Recipients}
	m.Message.Message, m.Size = body.Message, body.Size
	b.recorder.pump.mailed = m
}

// decided notes the reply to a message.
func (m *mailed) decided(stage smtp.Stage, d *fault.Decision) {
	if stage == smtp.StageMessage {
		m.reply = d.Reply
	}
}

// attempt adds a recipient, and reports whether it was the last.
func (m *mailed) attempt(a *session.Attempt, causes causes) (complete bool) {
	if !a.Whole || a.Message != m.Message.Message {
		return false
	}
	if len(m.Recipients) == 0 {
		m.Conn, m.Time, m.Listener, m.Client, m.Phase = a.Conn, a.End, a.Listener, a.Client, a.Phase
		m.Sender, m.Token, m.StormID, m.MessageID = string(a.Sender), string(a.Token), string(a.StormID), string(a.MessageID)
		m.Recipients = make([]capture.Recipient, 0, m.wanted)
	}
	r := capture.Recipient{
		Address: string(a.Recipient), ORCPT: string(a.ORCPT), N: a.N, Code: a.Code, Enhanced: a.Enhanced, ReplySent: a.ReplySent,
		Delivered: a.Delivered, Cause: causes.of(a.Code, a.Origin), Fault: a.Fault,
	}
	if m.reply != nil && m.reply.Code == a.Code {
		r.Text = strings.Join(m.reply.Lines, "\n")
	}
	m.Time, m.Recipients = a.End, append(m.Recipients, r)
	return len(m.Recipients) == m.wanted
}
