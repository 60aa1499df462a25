package session

import (
	"bytes"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// fillIn puts a reply made for this occurrence in the place of one that was decided and whose lines name fields.
func (s *Session) fillIn(stage smtp.Stage) {
	e := s.exchange
	template := e.decision.Reply
	filled := smtp.Reply{Code: template.Code, Enhanced: template.Enhanced, Template: true, Lines: make([]string, 0, len(template.Lines))}
	allowUTF8 := s.tx != nil && s.tx.smtputf8 // RFC 6531 section 3.7.4.2
	for _, line := range template.Lines {
		e.filled = smtp.AppendFilled(e.filled[:0], line, allowUTF8, func(dst []byte, f smtp.Field) []byte {
			return s.appendField(dst, f, stage)
		})
		filled.Lines = append(filled.Lines, string(e.filled))
	}
	e.wrong = filled
	e.decision.Reply, e.plain = &e.wrong, false
}

// appendField appends what a field stands for, as far as it is known.
func (s *Session) appendField(dst []byte, f smtp.Field, stage smtp.Stage) []byte {
	switch f {
	case smtp.FieldQueueID:
		return smtp.AppendQueueID(dst, s.queueID())
	case smtp.FieldClient:
		if s.client.IsValid() { // a unix socket has none
			return s.client.Addr().Unmap().AppendTo(dst)
		}
	case smtp.FieldHelo:
		if stage == smtp.StageHelo || stage == smtp.StageEhlo {
			return append(dst, s.exchange.helo...)
		}
		return append(dst, s.helo...)
	case smtp.FieldHostname:
		return append(dst, s.cfg.hostname()...)
	case smtp.FieldSender:
		if s.tx != nil {
			return append(dst, s.tx.sender()...)
		}
	case smtp.FieldRecipient:
		return append(dst, s.recipientAt(stage)...)
	case smtp.FieldLocalPart:
		address := s.recipientAt(stage)
		if at := bytes.LastIndexByte(address, '@'); at >= 0 {
			address = address[:at]
		}
		return append(dst, address...)
	case smtp.FieldDate:
		return s.at(s.exchange.now).UTC().AppendFormat(dst, time.RFC1123Z)
	}
	return dst
}

// recipientAt returns the recipient whom a reply at the stage is about, or else the first who was accepted; nil: there is none.
func (s *Session) recipientAt(stage smtp.Stage) []byte {
	switch tx := s.tx; {
	case stage == smtp.StageRcpt:
		return s.exchange.recipient
	case tx == nil || len(tx.recipients) == 0:
		return nil
	case s.state == stateReplies:
		return tx.bytes(tx.recipients[tx.next].address)
	default:
		return tx.bytes(tx.recipients[0].address)
	}
}

// queueID returns what the message under way is called, or the last one, or before the first the connection.
func (s *Session) queueID() uint64 {
	return fault.QueueID(s.view.Plan().Seed(), s.client.Addr(), uint64(s.connN), uint64(s.messages))
}

// textOf returns the text of a reply that was made for its occurrence, as rows tell it; nothing of others, which the plan tells.
func textOf(r *smtp.Reply) string {
	if !r.Template {
		return ""
	}
	return strings.Join(r.Lines, "\n")
}

// noteText notes for the connection's row the text of the last reply.
func (s *Session) noteText(r *smtp.Reply) {
	if r.Template {
		s.lasting().text = textOf(r)
	} else if s.extra != nil {
		s.extra.text = ""
	}
}
