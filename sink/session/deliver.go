package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// deliver gives the reply that was decided, at once or after its delay; the greeting of implicit TLS once the handshake is done.
func (s *Session) deliver(stage smtp.Stage) {
	w := s.work
	w.spent += s.workOf(stage)
	if w.described {
		w.spent += w.occurrence.Asked / rulesPerWork
		w.occurrence.Asked = 0
	}
	w.stage, w.faults, w.withheld, w.committed, w.decided = stage, nil, false, false, w.now
	if c := w.decision.Chosen; c != nil && c.Faulty {
		w.faults = &c.Faults
		s.replaceCode(stage)
		if c.Body == (fault.BodyFault{}) && !s.hasRow(stage) { // one in a body may never strike
			s.lasting().by = s.origin()
		}
	}
	w.enhanced = s.enhancedOf(stage, w.decision.Reply)
	if r := s.env.Recorder; r != nil {
		r.Decided(stage, &w.decision, w.enhanced, s.view)
	}
	switch {
	case stage == smtp.StageConnect && s.cfg.TLS == TLSImplicit:
		s.wait = waitGreeting
		s.beginHandshake()
	case w.decision.Delay > 0:
		s.postpone(waitDelay, w.decision.Delay)
	case stage == smtp.StageQuit && s.cfg.Farewell > 0 && !s.secure && s.out.receipts.open():
		s.postpone(waitFarewell, s.cfg.Farewell)
	default:
		s.reply()
	}
}

// postpone has the reply wait.
func (s *Session) postpone(wait wait, delay time.Duration) {
	s.wait = wait
	s.due = s.work.now + delay
}

// hasRow reports whether a row of a transaction or an attempt tells of what is done at the stage, with the reply that was decided.
func (s *Session) hasRow(stage smtp.Stage) bool {
	switch stage {
	case smtp.StageMessage:
		return true
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml, smtp.StageRcpt, smtp.StageData, smtp.StageBdat:
		code := s.work.decision.Reply.Code
		return code.Class() != 2 && !(stage == smtp.StageData && code.Class() == 3)
	}
	return false
}

// reply sends the reply that was decided, or doesn't, and does what follows from it.
func (s *Session) reply() {
	switch f := s.work.faults; {
	case s.work.stage == smtp.StageMessage && s.captures():
		s.handOver()
	case f != nil && f.Unsent():
		s.withhold(f)
	case s.cfg.Commit && s.needsCommit():
		if s.tx.stalled {
			s.refuse(smtp.StageMessage, &replyNotCommitted)
			return
		}
		s.commit()
	default:
		s.send()
	}
}

// send sends the reply that was decided, perhaps in pieces.
func (s *Session) send() {
	w := s.work
	before := len(s.out.open(s.env.Scratch).B)
	s.write(w.stage, w.decision.Reply, w.plain)
	pieces := w.faults != nil && s.edit(before)
	if w.stage == smtp.StageEhlo {
		sent := s.out.buffer.B[before:]
		if pieces {
			sent = s.extra.pieces.reply.B
		}
		whole := w.plain && w.faults == nil
		w.announced = whole || announcesKeyword(sent, capEnhanced)
		w.eightBit = whole || announcesKeyword(sent, cap8BitMIME)
	}
	if pieces {
		s.sendPiece()
		return
	}
	s.replied()
}

// replied does what follows from a reply that was sent.
func (s *Session) replied() {
	w := s.work
	s.out.replied(w.stage, w.decision.Reply.Code, w.enhanced)
	if r := s.env.Recorder; r != nil {
		r.Replied(w.stage, &w.decision, w.enhanced, s.view)
	}
	if final(w.stage, w.decision.Reply) {
		s.beforeFinal()
		s.out.receipts.given(w.stage != smtp.StageMessage, w.late())
	}
	s.after(w.stage, w.decision.Reply)
}

// withhold never sends the reply that was decided: the session falls silent, or closes instead.
func (s *Session) withhold(f *fault.Faults) {
	s.work.withheld = true
	if f.Silence {
		s.endedBy(s.origin())
		s.hold(false)
		return
	}
	s.closeByFault(f.Close.Mode, s.origin())
}

// closeByFault ends the connection as planned.
func (s *Session) closeByFault(kind fault.CloseKind, by Origin) {
	s.endedBy(by)
	switch kind {
	case fault.CloseRST:
		s.close(CloseRST, ClosedByFault)
	case fault.CloseHalf:
		s.hold(true)
	default:
		s.close(CloseFIN, ClosedByFault)
	}
}

// endedBy notes who ends the connection.
func (s *Session) endedBy(by Origin) { s.work.by, s.work.ending = by, true }

// hold keeps the connection open, without a word, until the client goes away or the maximum hold is over. half closes the sending
// side. What comes is thrown away: were nothing read, nobody would learn that the client has gone.
func (s *Session) hold(half bool) {
	x := s.lasting()
	x.by, x.half, x.handshake = s.work.by, half, false
	s.endTransaction(EndLost, s.awaited())
	s.state, s.wait = stateHeld, waitNone
	s.due = s.work.now + s.cfg.maxHold()
	s.releaseLine()
}

// sendPiece sends the next piece of a reply that goes out in pieces, and waits before the one after it.
func (s *Session) sendPiece() {
	w, x := s.work, s.extra
	piece, last := x.pieces.next()
	out := s.out.open(s.env.Scratch)
	out.B = append(out.B, piece...)
	s.out.count(len(piece))
	if last {
		x.pieces.release()
		s.replied()
		return
	}
	if d := w.faults.Dribble; d.Octets > 0 {
		s.wait, s.due = waitPiece, w.now+d.Every
		return
	}
	s.touch() // a client that takes nothing is as good as silent
	s.wait, s.out.waitTold = waitTaken, false
}

// pieceTaken goes on with a reply whose last piece the kernel has taken.
func (s *Session) pieceTaken() {
	if pause := s.work.faults.Split.Pause; pause > 0 {
		s.wait, s.due = waitPiece, s.work.now+pause
		return
	}
	s.sendPiece()
}

// needsCommit reports whether the reply that was decided says of a message that it was accepted.
func (s *Session) needsCommit() bool {
	w := s.work
	return w.stage == smtp.StageMessage && w.decision.Reply.Code.Class() == 2 && !w.committed && len(s.tx.recipients) > 0
}

// commit holds the reply back until its rows are on disk.
func (s *Session) commit() {
	tx := s.tx
	end := len(tx.recipients)
	if s.state == stateReplies {
		end = tx.next + 1
	}
	s.beforeFinal()
	s.recordMessages(tx.next, end, s.work.decision.Reply, CommitPending)
	s.wait, s.out.waitTold, s.due = waitCommit, false, s.work.now+s.cfg.maxCommit()
}

// giveUpCommit refuses a message whose rows did not get on disk in time. They may still get there: the row of the refusal replaces
// them.
func (s *Session) giveUpCommit() {
	s.resume()
	s.work.amends, s.tx.stalled = true, true
	s.refuse(smtp.StageMessage, &replyNotCommitted)
}

// Committing reports whether the session waits for Committed.
func (s *Session) Committing() bool { return s.wait == waitCommit || s.wait == waitCapture }

// ticket names the commit under way. No two replies after a body have the same.
func (s *Session) ticket() uint64 {
	ticket := uint64(s.messages)<<32 | uint64(s.tx.next) // #nosec G115 -- an index of recipients, from 0
	if s.wait == waitCapture {
		ticket |= 1 << 63
	}
	return ticket
}

// Committed tells what became of the rows of an EffectCommit, or the message of an EffectCapture: err is nil once they are where they
// last.
func (s *Session) Committed(now time.Time, ticket uint64, err error) {
	if !s.Committing() || s.ticket() != ticket {
		return
	}
	s.beginCall(now)
	captured := s.wait == waitCapture
	s.resume()
	switch {
	case captured:
		s.capturedAs(err)
	case err == nil:
		s.work.committed = true
		s.send()
	default:
		s.refuse(smtp.StageMessage, &replyNotCommitted)
	}
	s.proceed()
	s.endCall()
}
