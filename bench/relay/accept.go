package relay

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	smtpserver "github.com/emersion/go-smtp"
)

// session takes messages on one connection.
type session struct {
	relay *Relay
	conn  *smtpserver.Conn
	m     *message
}

// newServer returns the server that takes messages for the relay.
func (r *Relay) newServer() *smtpserver.Server {
	s := smtpserver.NewServer(smtpserver.BackendFunc(func(c *smtpserver.Conn) (smtpserver.Session, error) {
		return &session{relay: r, conn: c}, nil
	}))
	s.Domain, s.EnableDSN = r.cfg.Hostname, true
	s.ReadTimeout, s.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321 section 4.5.3.2.7
	s.ErrorLog = silent{}
	return s
}

// silent is a log of broken connections that nobody reads: their clients know, and try again.
type silent struct{}

// Printf implements smtpserver.Logger.
func (silent) Printf(string, ...any) {}

// Println implements smtpserver.Logger.
func (silent) Println(...any) {}

// Reset implements smtpserver.Session.
func (s *session) Reset() { s.m = nil }

// Logout implements smtpserver.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtpserver.Session.
func (s *session) Mail(from string, o *smtpserver.MailOptions) error {
	s.m = &message{sender: quote(from), envid: o.EnvelopeID, ret: string(o.Return), hop: s.relay.cfg.NextHop}
	return nil
}

// Rcpt implements smtpserver.Session.
func (s *session) Rcpt(to string, o *smtpserver.RcptOptions) error {
	rcpt := recipient{address: quote(to)}
	for i, n := range o.Notify {
		if i > 0 {
			rcpt.notify += ","
		}
		rcpt.notify += string(n)
	}
	if o.OriginalRecipient != "" {
		rcpt.original = strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
	}
	s.m.recipients = append(s.m.recipients, rcpt)
	return nil
}

// Data implements smtpserver.Session. What it returns without an error the relay has answered for.
func (s *session) Data(body io.Reader) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	m := s.m
	m.arrived = time.Now()
	m.content = content
	return s.relay.accept(m, s.conn.Hostname())
}

// accept takes a message over: from here on the relay owes it to its recipients. Here the lies begin that need a message only.
func (r *Relay) accept(m *message, client string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return &smtpserver.SMTPError{Code: 421, EnhancedCode: smtpserver.EnhancedCode{4, 3, 2}, Message: "Shutting down"}
	}
	before := r.before
	r.before = m.recipients[0].address
	r.spool.add(m)
	trace := fmt.Sprintf("Received: from %s\r\n\tby %s with ESMTP id %s;\r\n\t%s\r\n", client, r.cfg.Hostname, m.name(), m.arrived.Format(time.RFC1123Z))
	m.content = append([]byte(trace), m.content...)
	for _, to := range m.recipients {
		r.logEvent(m, "accepted", &result{recipient: to})
	}
	switch r.lies.strike(m, accepted) {
	case Lose:
		delete(r.spool.messages, m.id)
		return nil
	case Copy, CopyBare:
		r.copyToStranger(m)
	case Misdeliver:
		for i := range m.recipients {
			m.recipients[i].address, m.recipients[i].original = m.stranger(i), ""
		}
	case Cross:
		m.recipients = []recipient{{address: cmp.Or(before, m.stranger(0))}}
	case ChangeBody:
		if !bytes.HasSuffix(m.content, crlf) {
			m.content = append(m.content, crlf...)
		}
		m.content = append(m.content, "This line was added by the relay.\r\n"...)
	case DropStormID:
		m.content = without(m.content, "X-Storm-Id", "")
	case DropMessageID:
		m.content = without(m.content, "Message-ID", "")
	case RewriteMessageID:
		m.content = without(m.content, "Message-ID", fmt.Sprintf("Message-ID: <%s@%s>\r\n", m.name(), r.cfg.Hostname))
	case SwapContents, SwapBodies:
		other := r.alone[m.lie]
		if other == nil {
			r.alone[m.lie] = m // waits for one to swap with
			return nil
		}
		delete(r.alone, m.lie)
		exchange(m, other, m.lie == SwapContents)
		r.enqueue(other, m.arrived)
	case Split:
		for _, to := range m.recipients[1:] {
			one := *m
			one.recipients = []recipient{to}
			r.spool.add(&one)
			r.enqueue(&one, m.arrived)
		}
		m.recipients = m.recipients[:1]
	case HangUp:
		m.hangUp = true
	}
	r.enqueue(m, m.arrived)
	return nil
}

// copyToStranger sends a copy of the message to somebody else.
func (r *Relay) copyToStranger(m *message) {
	c := copyOf(m)
	c.recipients = c.recipients[:1]
	c.recipients[0].address, c.recipients[0].original = m.stranger(0), ""
	if m.lie == CopyBare {
		c.sender, c.envid = "copies@"+r.cfg.Hostname, ""
		c.content = without(c.content, "X-Storm-Id", "")
	}
	r.spool.add(c)
	r.enqueue(c, m.arrived)
}
