package session

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// mail handles MAIL, and its elder sisters SEND, SOML and SAML, which open a transaction when a rule lets them (RFC 821 section
// 3.4).
func (s *Session) mail(stage smtp.Stage, args []byte) {
	e := s.exchange
	if s.greeting == greetingNone {
		s.misplacedMail(stage, args, &replyHelloFirst)
		return
	}
	if s.tx != nil {
		s.misplacedMail(stage, args, &replyNested)
		return
	}
	if err := s.parseMail(args); err != nil {
		s.malformedMail(stage, err)
		return
	}
	if e.mail.RequireTLS && s.cfg.Service.RequireTLS == fault.RequireTLSOff {
		s.refuse(stage, &replyUnknownParameter)
		return
	}
	tx := s.openTransaction()
	if r := s.serviceRefusal(); r != nil {
		s.refuse(stage, r)
		return
	}
	if limit := s.cfg.maxSize(); limit > 0 && e.mail.Size > limit {
		s.refuse(stage, &replyTooBig) // RFC 1870 section 6.1
		return
	}
	if s.env.Attempts != nil && s.view.Needs().Mails {
		tx.mailN = s.env.Attempts.Mail(tx.sender())
	}
	s.answer(stage)
}

// parseMail parses what MAIL says. Parameters that rules ask for are known.
func (s *Session) parseMail(args []byte) error {
	switch {
	case s.cfg.Service.PRDR:
		return smtp.ParseMailKnowing(args, &s.exchange.mail, s.knowsParameter)
	case s.view.Needs().Parameters:
		return smtp.ParseMailKnowing(args, &s.exchange.mail, s.view.KnowsParameter)
	}
	return smtp.ParseMail(args, &s.exchange.mail)
}

// openTransaction opens the transaction of the MAIL that was parsed.
func (s *Session) openTransaction() *transaction {
	e := s.exchange
	s.readView()
	s.resolveFormer()
	s.messages++
	s.out.receipts.nextMessage()
	tx := newTransaction(e.now)
	tx.open(&e.mail, s.view.Needs().Parameters)
	tx.byRecipient = s.cfg.LMTP || s.cfg.Service.PRDR && asksForPRDR(e.mail.Params)
	s.tx, e.opened = tx, true
	return tx
}

// misplacedMail refuses a MAIL that is out of order. Where a plan says yes to it, its transaction begins: in the place of the one under
// way, if there is one.
func (s *Session) misplacedMail(stage smtp.Stage, args []byte, r *smtp.Reply) {
	e := s.exchange
	err := s.parseMail(args)
	s.reject(stage, r)
	if e.decision.Reply.Code.Class() == 2 && (err == nil || e.mail.Path != nil) {
		s.endTransaction(EndAbandoned, stage)
		s.openTransaction()
	}
	s.deliver(stage)
}

// malformedMail refuses a MAIL that can't be parsed. Where a plan says yes to it, its transaction begins if its sender can be told.
func (s *Session) malformedMail(stage smtp.Stage, err error) {
	e := s.exchange
	s.reject(stage, syntaxReply(err))
	if e.decision.Reply.Code.Class() == 2 && e.mail.Path != nil {
		s.openTransaction()
	}
	s.deliver(stage)
}

// afterMail keeps the transaction or drops it.
func (s *Session) afterMail(stage smtp.Stage, r *smtp.Reply) {
	if !s.exchange.opened {
		return
	}
	if r.Code.Class() == 2 {
		s.tx.broken = s.exchange.malformed()
		return
	}
	s.noteRefusal(stage, r)
	s.endTransaction(EndReply, stage)
}

// rcpt handles RCPT.
func (s *Session) rcpt(args []byte) {
	e, tx := s.exchange, s.tx
	s.attempts++
	e.rcptN, e.read, e.orcpt = 0, e.now, span{}
	err := smtp.ParseRcpt(args, &e.rcpt)
	if err == nil {
		e.recipient = e.rcpt.Path
	}
	switch {
	case s.refused:
		s.refuse(smtp.StageRcpt, &replyOnlyQuit)
		return
	case tx == nil:
		s.refuse(smtp.StageRcpt, &replyMailFirst)
		return
	}
	tx.attempts++
	if tx.chunked() {
		s.refuse(smtp.StageRcpt, &replyAfterChunk)
		return
	}
	if err == nil {
		err = e.rcpt.CheckUTF8(tx.smtputf8)
	}
	switch {
	case err != nil:
		s.malformedRcpt(err)
		return
	case s.fullEnvelope() || s.cfg.Service.Limits.RcptMax > 0 && tx.attempts > s.cfg.Service.Limits.RcptMax:
		s.refuse(smtp.StageRcpt, &replyTooManyRecipients)
		return
	case s.cfg.Service.Limits.RcptDomainMax > 0 && !s.domainFits(e.rcpt.Path):
		s.refuse(smtp.StageRcpt, &replyTooManyDomains)
		return
	}
	e.candidate = true
	e.recipient, e.orcpt = tx.offer(&e.rcpt)
	if s.needsRecipients() {
		e.rcptN = s.env.Attempts.Recipient(tx.sender(), e.recipient)
	}
	s.answer(smtp.StageRcpt)
}

// fullEnvelope reports whether the transaction takes no more recipients.
func (s *Session) fullEnvelope() bool {
	return len(s.tx.recipients) >= s.maxRecipients() || s.tx.full(s.cfg.maxEnvelope())
}

// malformedRcpt refuses a RCPT that can't be parsed, or that names somebody by UTF-8 without SMTPUTF8. Where a plan says yes to it, the
// recipient is accepted if he can be told.
func (s *Session) malformedRcpt(err error) {
	e := s.exchange
	s.reject(smtp.StageRcpt, syntaxReply(err))
	if e.decision.Reply.Code.Class() == 2 && e.rcpt.Path != nil && !s.fullEnvelope() {
		e.candidate = true
		e.recipient, e.orcpt = s.tx.offer(&e.rcpt)
	}
	s.deliver(smtp.StageRcpt)
}

// maxRecorded is how many recipients a transaction may have whose rows a ledger gets: they are written in one go when it ends, and until then
// no other connection of the loop has its turn.
const maxRecorded = 1 << 16

// maxRecipients returns how many recipients a transaction may have.
func (s *Session) maxRecipients() int {
	if s.env.Recorder != nil {
		return min(s.cfg.maxRecipients(), maxRecorded)
	}
	return s.cfg.maxRecipients()
}

func (s *Session) needsRecipients() bool {
	return s.env.Attempts != nil && s.view.Needs().Recipients
}

// afterRcpt accepts the recipient, or writes its final row.
func (s *Session) afterRcpt(r *smtp.Reply) {
	e := s.exchange
	if !e.candidate {
		s.recordRcpt(EndReply, r, true)
		return
	}
	e.candidate = false
	tx := s.tx
	if r.Code.Class() != 2 {
		s.recordRcpt(EndReply, r, true)
		tx.withdraw(e.orcpt)
		return
	}
	s.countRecipient()
	s.noteDomain(e.recipient)
	tx.accept(e.recipient, e.rcptN, e.read, e.malformed())
	if s.needsRecipients() {
		tx.count(e.recipient, e.rcptN)
	}
}

// noteRefusal notes a negative reply that decides the transaction under way. r is not kept.
func (s *Session) noteRefusal(stage smtp.Stage, r *smtp.Reply) {
	s.tx.refusal = refusal{code: r.Code, enhanced: s.enhancedOf(stage, r), stage: stage, text: textOf(r), by: s.exchange.origin(), at: s.exchange.now}
}
