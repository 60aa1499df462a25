package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// at turns a time since the session's start into one of the clock.
func (s *Session) at(d time.Duration) time.Time { return s.started.Add(d) }

// newAttempt returns a row with what is the same for all attempts of the transaction under way, if there is one.
func (s *Session) newAttempt() *Attempt {
	a := &s.work.attempt
	*a = Attempt{Conn: s.id, Listener: s.listener, Client: s.client, End: s.at(s.work.now)}
	if tx := s.tx; tx != nil {
		a.Sender, a.Token, a.Size = tx.sender(), tx.token(), tx.octets()
	}
	return a
}

// recordRcpt writes the final row of the RCPT command under way.
func (s *Session) recordRcpt(ending Ending, r *smtp.Reply, sent bool) {
	if s.env.Recorder == nil {
		return
	}
	w := s.work
	a := s.newAttempt()
	a.Time, a.Recipient, a.N = s.at(w.read), w.recipient, w.rcptN
	a.Ending, a.Stage, a.Code, a.Enhanced, a.ReplySent = ending, smtp.StageRcpt, r.Code, r.Enhanced, sent
	s.env.Recorder.Attempt(a)
}

// recordRecipient writes the final row of an accepted recipient whom a reply decided.
func (s *Session) recordRecipient(i int, stage smtp.Stage, r *smtp.Reply) {
	delivered := stage == smtp.StageMessage && r.Code.Class() == 2
	if delivered {
		s.delivered++
	}
	if s.env.Recorder == nil {
		return
	}
	a := s.recipientRow(i)
	a.Ending, a.Stage, a.Code, a.Enhanced, a.ReplySent = EndReply, stage, r.Code, r.Enhanced, true
	a.Delivered = delivered
	s.env.Recorder.Attempt(a)
}

// recordLost writes the final row of an accepted recipient whom no reply decided, or one that was not sent.
func (s *Session) recordLost(i int, ending Ending, stage smtp.Stage, unsent *smtp.Reply) {
	if s.env.Recorder == nil {
		return
	}
	a := s.recipientRow(i)
	a.Ending, a.Stage = ending, stage
	if unsent != nil {
		a.Code, a.Enhanced = unsent.Code, unsent.Enhanced
	}
	s.env.Recorder.Attempt(a)
}

func (s *Session) recipientRow(i int) *Attempt {
	a := s.newAttempt()
	r := &s.tx.recipients[i]
	a.Time, a.Recipient, a.N = s.at(r.read), s.tx.bytes(r.address), r.n
	return a
}

// endTransaction ends the transaction under way, if there is one, and writes the rows that are still owed.
func (s *Session) endTransaction(ending Ending, stage smtp.Stage) {
	tx, w := s.tx, s.work
	if tx == nil {
		return
	}
	var unsent *smtp.Reply // a final reply that was decided and is still delayed
	if s.delayed && (w.stage == smtp.StageMessage || w.stage == smtp.StageRcpt || w.stage == smtp.StageMail) {
		unsent = w.decision.Reply
	}
	if s.delayed && w.stage == smtp.StageRcpt {
		s.recordRcpt(ending, unsent, false)
		unsent = nil
	}
	if tx.attempts == 0 {
		s.recordTransaction(ending, stage, unsent)
	}
	for ; tx.next < len(tx.recipients); tx.next++ {
		switch {
		case unsent != nil:
			s.recordLost(tx.next, ending, stage, unsent)
			if s.state == stateReplies {
				unsent = nil // the others' replies were not decided yet
			}
		case tx.refusal != nil:
			s.recordRecipient(tx.next, tx.refusedAt, tx.refusal)
		default:
			s.recordLost(tx.next, ending, stage, nil)
		}
	}
	s.dropTransaction()
}

// dropTransaction forgets the transaction, whose rows are written.
func (s *Session) dropTransaction() {
	s.tx.release()
	s.tx = nil
}

// recordTransaction writes the row of a transaction that ends without any RCPT command.
func (s *Session) recordTransaction(ending Ending, stage smtp.Stage, unsent *smtp.Reply) {
	if s.env.Recorder == nil {
		return
	}
	tx := s.tx
	t := &s.work.transaction
	*t = Transaction{
		Conn: s.id, Listener: s.listener, Client: s.client, Time: s.at(tx.started), End: s.at(s.work.now),
		Sender: tx.sender(), N: tx.mailN, Token: tx.token(), Ending: ending, Stage: stage,
	}
	switch {
	case unsent != nil:
		t.Code, t.Enhanced = unsent.Code, unsent.Enhanced
	case tx.refusal != nil:
		t.Ending, t.Stage, t.ReplySent = EndReply, tx.refusedAt, true
		t.Code, t.Enhanced = tx.refusal.Code, tx.refusal.Enhanced
	}
	s.env.Recorder.Transaction(t)
}

// recordConnection writes the last row.
func (s *Session) recordConnection() {
	if s.env.Recorder == nil {
		return
	}
	c := &s.work.connection
	*c = Connection{
		Conn: s.id, Listener: s.listener, Client: s.client, Time: s.started, End: s.at(s.work.now),
		Helo: s.helo, Extended: s.extended,
		Messages: uint64(s.messages), Attempts: uint64(s.attempts), Delivered: uint64(s.delivered),
		OctetsIn: s.octetsIn, OctetsOut: s.octetsOut, Undeclared8Bit: uint64(s.undeclared8Bit),
		Reason: s.reason, Err: c.Err,
	}
	s.env.Recorder.Connection(c)
	*c = Connection{}
}
