package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// at turns a time since the session's start into one of the clock.
func (s *Session) at(d time.Duration) time.Time { return s.started.Add(d) }

// newAttempt returns a row with what is the same for all attempts of the transaction under way, if there is one.
func (s *Session) newAttempt() *Attempt {
	if s.tx == nil && !s.out.receipts.implied() { // a row of no message: those before it are over
		s.except()
	}
	s.resolveFormer()
	a := &s.exchange.rows.attempt
	*a = Attempt{} // a literal with values would be made elsewhere first, and copied
	a.Conn, a.Listener, a.Client = s.id, s.listener, s.client
	a.End, a.Phase = s.at(s.exchange.now), s.view.PhaseName()
	if tx := s.tx; tx != nil {
		a.Sender, a.Token, a.Size, a.Message = tx.sender(), tx.token(), tx.octets(), uint64(s.messages)
		a.Mail, a.Whole = s.at(tx.started), tx.whole
		if tx.header.captured() {
			a.StormID, a.MessageID = tx.header.id(idStorm), tx.header.id(idMessage)
		}
	}
	return a
}

// recordRcpt writes the final row of the RCPT command under way.
func (s *Session) recordRcpt(ending Ending, r *smtp.Reply, sent bool) {
	if s.env.Recorder == nil {
		return
	}
	e := s.exchange
	a := s.newAttempt()
	a.Time, a.Recipient, a.N = s.at(e.read), e.recipient, e.rcptN
	a.Ending, a.Stage, a.Code, a.Enhanced, a.ReplySent = ending, smtp.StageRcpt, r.Code, s.enhancedOf(smtp.StageRcpt, r), sent
	a.Text = textOf(r)
	if e.candidate {
		a.ORCPT = s.tx.bytes(e.orcpt)
	}
	a.Cut = !sent && s.cut()
	a.Origin = s.exchange.origin()
	s.env.Recorder.Attempt(a)
}

// recordMessages writes the rows of the recipients from one to before another, all of whom the reply after the body decides.
func (s *Session) recordMessages(from, to int, r *smtp.Reply, c Commit) {
	delivered := s.delivers(r)
	if delivered && c != CommitPending {
		s.delivered += uint32(to - from) // #nosec G115 -- at most so many recipients as a transaction has
	}
	if s.env.Recorder == nil || from == to {
		return
	}
	s.exchange.cost += (to - from) / rowsPerCost
	a := s.newAttempt() // the rows differ in their recipients only
	a.Ending, a.Stage, a.Code, a.Enhanced, a.ReplySent = EndReply, smtp.StageMessage, r.Code, s.enhancedOf(smtp.StageMessage, r), true
	a.Delivered, a.Commit, a.Text = delivered, c, textOf(r)
	a.Origin = s.exchange.origin()
	if b := &s.tx.fault; a.Fault == "" && b.struck {
		a.Fault = b.decision.Chosen.Fault
	}
	for i := from; i < to; i++ {
		s.fillRecipient(a, i)
		s.env.Recorder.Attempt(a)
	}
}

// delivers reports whether the message counts as delivered after this reply.
func (s *Session) delivers(r *smtp.Reply) bool {
	if f := s.exchange.faults; f != nil && f.Delivery != fault.DeliveryFollow {
		return f.Delivery == fault.DeliveryKeep
	}
	return r.Code.Class() == 2
}

// recordRefused writes the final row of an accepted recipient of a transaction that was refused before its end.
func (s *Session) recordRefused(i int) {
	if s.env.Recorder == nil {
		return
	}
	a, refusal := s.recipientRow(i), &s.tx.refusal
	a.Ending, a.Stage, a.Code, a.Enhanced, a.ReplySent = EndReply, refusal.stage, refusal.code, refusal.enhanced, true
	a.Origin, a.Text = refusal.by, refusal.text
	if refusal.at != s.exchange.now {
		a.Handed = s.at(refusal.at)
	}
	s.env.Recorder.Attempt(a)
}

// recordLost writes the final row of an accepted recipient whom no reply decided, or one that was not sent: unsent, if it isn't nil.
func (s *Session) recordLost(i int, ending Ending, stage smtp.Stage, unsent *smtp.Reply) {
	e := s.exchange
	decided := unsent != nil && stage == smtp.StageMessage
	promised := decided && e.promised
	delivered := promised && s.delivers(unsent) || decided && e.state == exchangeWithheld && e.faults.Delivery == fault.DeliveryKeep
	if delivered {
		s.delivered++
	}
	if s.env.Recorder == nil {
		return
	}
	a := s.recipientRow(i)
	a.Ending, a.Stage, a.Origin, a.Delivered = ending, stage, e.by, delivered
	if unsent != nil {
		a.Code, a.Enhanced, a.Origin = unsent.Code, s.enhancedOf(stage, unsent), s.exchange.origin()
		a.Text = textOf(unsent)
		a.Cut = s.cut()
	}
	if promised {
		a.Commit = CommitAmended
	}
	s.env.Recorder.Attempt(a)
}

func (s *Session) recipientRow(i int) *Attempt {
	a := s.newAttempt()
	s.fillRecipient(a, i)
	return a
}

func (s *Session) fillRecipient(a *Attempt, i int) {
	r := &s.tx.recipients[i]
	a.Time, a.Recipient, a.ORCPT, a.N = s.at(r.read), s.tx.bytes(r.address), s.tx.orcpt(i), r.n
	a.Unclear = !s.tx.clear(i)
}

// cut reports whether a part of the reply that was decided was handed over, and the rest never will be.
func (s *Session) cut() bool { return s.extra != nil && s.extra.pieces.cut() }

// recordMessage writes the row of a message whose body has come to its end.
func (s *Session) recordMessage() {
	tx := s.tx
	if s.env.Recorder == nil || tx.withoutMail {
		return
	}
	s.beforeBody()
	tx.whole = true
	m := &s.exchange.rows.message
	*m = event.Message{Conn: s.id, Message: uint64(s.messages), Time: s.at(s.exchange.now), SevenBit: !s.announced.eightBit}
	if tx.header.captured() {
		m.StormID, m.MessageID = tx.header.id(idStorm), tx.header.id(idMessage)
		m.Headers = !tx.header.cut || len(m.StormID) > 0 && len(m.MessageID) > 0 // else one may stand behind what was looked at
	}
	if s.view.Needs().QueueIDs {
		m.QueueID = s.queueID()
	}
	if m.Hashed = tx.digest.Begun(); m.Hashed {
		m.Body, m.Size = tx.digest.Finish()
	}
	s.env.Recorder.Message(m)
}

// endTransaction ends the transaction under way, if there is one, and writes the rows that are still owed.
func (s *Session) endTransaction(ending Ending, stage smtp.Stage) {
	tx, e := s.tx, s.exchange
	if tx == nil {
		if unsent := e.unsent(); unsent != nil && e.stage == smtp.StageRcpt { // a RCPT without MAIL, whose reply waits
			s.recordRcpt(ending, unsent, false)
			e.state = exchangeOpen
		}
		return
	}
	tx.header.finish() // each row asks it for the message's identity
	unsent := e.unsent()
	if e.stage != smtp.StageMessage && e.stage != smtp.StageRcpt && e.stage != smtp.StageMail {
		unsent = nil // it is no final reply
	}
	if unsent != nil && e.stage == smtp.StageRcpt {
		s.recordRcpt(ending, unsent, false)
		unsent = nil
	}
	if tx.attempts == 0 && !tx.withoutMail {
		s.recordTransaction(ending, stage, unsent)
	}
	for ; tx.next < len(tx.recipients); tx.next++ {
		switch {
		case unsent != nil:
			s.recordLost(tx.next, ending, stage, unsent)
			if s.state == stateReplies {
				unsent = nil // the others' replies were not decided yet
			}
		case tx.refusal.code != 0:
			s.recordRefused(tx.next)
		default:
			s.recordLost(tx.next, ending, stage, nil)
		}
	}
	s.dropTransaction()
}

// dropTransaction forgets the transaction, whose rows are written.
func (s *Session) dropTransaction() {
	s.dropCapture()
	s.dropMail()
	if len(s.tx.places) > 0 {
		s.tx.leaveAll(s.env.Limits)
	}
	s.tx.release()
	s.tx = nil
}

// recordTransaction writes the row of a transaction that ends without any RCPT command.
func (s *Session) recordTransaction(ending Ending, stage smtp.Stage, unsent *smtp.Reply) {
	if s.env.Recorder == nil {
		return
	}
	s.resolveFormer()
	tx := s.tx
	t := &s.exchange.rows.transaction
	*t = Transaction{
		Conn: s.id, Listener: s.listener, Client: s.client, Time: s.at(tx.started), End: s.at(s.exchange.now),
		Sender: tx.sender(), N: tx.mailN, Token: tx.token(), Message: uint64(s.messages), Phase: s.view.PhaseName(),
		Ending: ending, Stage: stage, Origin: s.exchange.by,
	}
	switch r := &tx.refusal; {
	case unsent != nil:
		t.Code, t.Enhanced, t.Origin = unsent.Code, s.enhancedOf(stage, unsent), s.exchange.origin()
		t.Cut, t.Text = s.cut(), textOf(unsent)
	case r.code != 0:
		t.Ending, t.Stage, t.ReplySent = EndReply, r.stage, true
		t.Code, t.Enhanced, t.Origin, t.Text = r.code, r.enhanced, r.by, r.text
		if r.at != s.exchange.now {
			t.Handed = s.at(r.at)
		}
	}
	s.env.Recorder.Transaction(t)
}

// recordStandings writes the rows of the standings that have changed by an occurrence of the stage; d is what was decided of it, nil when nobody
// has yet.
func (s *Session) recordStandings(stage smtp.Stage, d *fault.Decision) {
	e := s.exchange
	if s.env.Recorder == nil || len(e.changes) == 0 {
		return
	}
	e.cost += len(e.changes) / rowsPerCost
	row, by := &e.rows.standing, Origin{}
	*row = event.Standing{Conn: s.id, Stage: stage}
	if d != nil {
		by, row.Code, row.Enhanced = originOf(d), d.Reply.Code, s.enhancedOf(stage, d.Reply)
	}
	for i := range e.changes {
		c := &e.changes[i]
		row.Time, row.React, row.Reaction, row.Key, row.Fingerprint = c.Time, c.Reaction.Name, c.Reaction.ID(), c.Key, c.Fingerprint
		row.From, row.To, row.Until, row.Reason = uint64(c.From), uint64(c.Level), c.Until, c.Reason // #nosec G115 -- levels are not negative
		s.env.Recorder.Standing(row, by)
	}
	clear(e.changes) // of a plan that another may replace
}

// recordConnection writes the last row.
func (s *Session) recordConnection() {
	if s.env.Recorder == nil {
		return
	}
	c := &s.exchange.rows.connection
	*c = Connection{
		Conn: s.id, Listener: s.listener, Client: s.client, Time: s.started, End: s.at(s.exchange.now),
		Helo: s.helo, Extended: s.greeting == greetingEHLO,
		Messages: uint64(s.messages), Attempts: uint64(s.attempts), Delivered: uint64(s.delivered),
		OctetsIn: s.octetsIn, OctetsOut: s.out.octets,
		Phase: s.view.PhaseName(), TLS: s.secure, Reason: s.life.reason, Told: s.out.receipts.told(),
		Stage: s.out.stage, Code: s.out.code, Enhanced: s.out.enhanced,
	}
	if x := s.extra; x != nil {
		c.Text = x.text
		c.Via = x.via
		c.TLSInfo, c.User, c.Injections, c.Pregreet = x.tls, x.user, uint64(x.injections), x.pregreet
		c.BadSwitches, c.BadSwitch, c.LongHeaders = x.badSwitches, x.badSwitch, x.longHeaders
		c.Undeclared8Bit, c.Err = x.eightBit, x.err
		c.Cause, c.By, c.Fault = x.by.Cause, x.by.By, x.by.Fault
		c.Refusal = x.refusal
	}
	s.env.Recorder.Connection(c)
	*c = Connection{}
}
