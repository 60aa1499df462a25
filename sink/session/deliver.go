package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// deliver gives the reply that was decided, at once or after its delay; the greeting of implicit TLS once the handshake is done.
func (s *Session) deliver(stage smtp.Stage) {
	e := s.exchange
	e.cost += s.costOf(stage)
	if e.described {
		e.cost += e.occurrence.Asked / rulesPerCost
		e.occurrence.Asked = 0
	}
	if e.decision.Reply.Template {
		s.fillIn(stage)
	}
	if f := e.decided(stage); f != nil {
		s.replaceCode(stage)
		if f.Body == (fault.BodyFault{}) && !s.hasRow(stage) { // one in a body may never strike
			s.lasting().by = e.origin()
		}
	}
	e.enhanced = s.enhancedOf(stage, e.decision.Reply)
	if r := s.env.Recorder; r != nil {
		r.Decided(stage, &e.decision, e.enhanced, s.view)
	}
	switch {
	case stage == smtp.StageConnect && s.cfg.TLS == TLSImplicit && !s.secure:
		s.pause.begin(waitGreeting)
		s.beginHandshake()
	case stage == smtp.StageConnect && e.decision.Delay > 0:
		s.holdGreeting()
	case e.decision.Delay > 0:
		s.waitFor(waitDelay, e.decision.Delay)
	case stage == smtp.StageQuit && s.cfg.Farewell > 0 && !s.secure && s.out.receipts.open():
		s.waitFor(waitFarewell, s.cfg.Farewell)
	default:
		s.reply()
	}
}

// waitFor begins a wait, which ends after this time at the latest.
func (s *Session) waitFor(w wait, most time.Duration) {
	s.pause.begin(w)
	s.due = s.exchange.now + most
}

// hasRow reports whether a row of a transaction or an attempt tells of what is done at the stage, with the reply that was decided.
func (s *Session) hasRow(stage smtp.Stage) bool {
	switch stage {
	case smtp.StageMessage:
		return true
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml, smtp.StageRcpt, smtp.StageData, smtp.StageBdat:
		code := s.exchange.decision.Reply.Code
		return code.Class() != 2 && !(stage == smtp.StageData && code.Class() == 3)
	}
	return false
}

// reply sends the reply that was decided, or doesn't, and does what follows from it.
func (s *Session) reply() {
	switch f := s.exchange.faults; {
	case s.exchange.stage == smtp.StageMessage && s.captures():
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
	e := s.exchange
	before := len(s.out.open(s.env.Scratch).B)
	s.write(e.stage, e.decision.Reply, e.plain)
	size := 0
	if e.faults != nil {
		s.changeBandwidth(e.faults.Bandwidth)
		size = s.edit(before)
	}
	if size == 0 && s.extra != nil && s.extra.link.out.slow() && len(s.out.buffer.B) > before {
		size = s.extra.link.out.most()
	}
	if e.stage == smtp.StageEhlo {
		sent := s.out.buffer.B[before:]
		whole := e.plain && e.faults == nil
		e.announced = announcement{
			enhanced: whole || announcesKeyword(sent, capEnhanced), eightBit: whole || announcesKeyword(sent, cap8BitMIME),
		}
	}
	if size > 0 {
		s.takePieces(before, size)
		s.sendPiece()
		return
	}
	s.replied()
}

// replied does what follows from a reply that was sent.
func (s *Session) replied() {
	e := s.exchange
	e.given()
	if s.view.Needs().Turns {
		s.lasting().turns++
	}
	s.out.replied(e.stage, e.decision.Reply.Code, e.enhanced)
	s.noteRefused()
	s.noteText(e.decision.Reply)
	if r := s.env.Recorder; r != nil {
		r.Replied(e.stage, &e.decision, e.enhanced, s.view)
	}
	if final(e.stage, e.decision.Reply) {
		s.beforeFinal()
		s.out.receipts.given(e.stage != smtp.StageMessage, e.late())
	}
	s.after(e.stage, e.decision.Reply)
}

// noteRefused keeps a refusal of which no row of a transaction or an attempt tells.
func (s *Session) noteRefused() {
	e := s.exchange
	r := e.decision.Reply
	if !r.Code.Temporary() && !r.Code.Permanent() || e.decision.Cause == fault.CauseProtocol || e.decision.Cause == fault.CausePlain || s.hasRow(e.stage) {
		return
	}
	s.lasting().refusal = Refusal{Stage: e.stage, Code: r.Code, Enhanced: e.enhanced, By: e.origin()}
}

// withhold never sends the reply that was decided, or the rest of it: the session falls silent, or closes instead.
func (s *Session) withhold(f *fault.Faults) {
	s.exchange.withhold()
	kind := f.Close.Mode
	if f.Cut.Octets > 0 {
		kind = f.Cut.Close
	}
	if kind == fault.CloseNone { // silence, or a reply that is cut
		s.exchange.endedBy(s.exchange.origin())
		s.hold()
		return
	}
	s.closeByFault(kind, s.exchange.origin())
}

// closeByFault ends the connection as planned.
func (s *Session) closeByFault(kind fault.CloseKind, by Origin) {
	s.exchange.endedBy(by)
	switch kind {
	case fault.CloseRST:
		s.close(CloseRST, ClosedByFault)
	case fault.CloseHalf:
		s.life.half()
		s.hold()
	default:
		s.close(CloseFIN, ClosedByFault)
	}
}

// hold keeps the connection open, without a word, until the client goes away or the maximum hold is over. What comes is thrown away: were
// nothing read, nobody would learn that the client has gone.
func (s *Session) hold() {
	x := s.lasting()
	x.by, x.handshake = s.exchange.by, false
	s.endTransaction(EndLost, s.awaited())
	s.state = stateHeld
	s.pause.end()
	s.due = s.exchange.now + s.cfg.maxHold()
	s.releaseLine()
}

// sendPiece sends the next piece of a reply that goes out in pieces, and waits before the one after it.
func (s *Session) sendPiece() {
	f, x := s.exchange.faults, s.extra
	for s.sentBy() {
		piece, last := x.pieces.next()
		out := s.out.open(s.env.Scratch)
		out.B = append(out.B, piece...)
		s.out.count(len(piece))
		switch {
		case last:
			x.pieces.release()
			s.replied()
			return
		case f != nil && f.Cut.Octets > 0:
			s.withhold(f)
			return
		case f != nil && f.Dribble.Octets > 0:
			s.waitFor(waitPiece, f.Dribble.Every)
			return
		case f != nil && f.Split.Packets > 0:
			s.touch() // a client that takes nothing is as good as silent
			s.pause.begin(waitTaken)
			return
		}
	}
}

// pieceTaken goes on with a reply whose last piece the kernel has taken.
func (s *Session) pieceTaken() {
	if pause := s.exchange.faults.Split.Pause; pause > 0 {
		s.waitFor(waitPiece, pause)
		return
	}
	s.sendPiece()
}

// needsCommit reports whether the reply that was decided says of a message that it was accepted.
func (s *Session) needsCommit() bool {
	e := s.exchange
	return e.stage == smtp.StageMessage && e.decision.Reply.Code.Class() == 2 && len(s.tx.recipients) > 0
}

// commit holds the reply back until its rows are on disk.
func (s *Session) commit() {
	tx := s.tx
	end := len(tx.recipients)
	if s.state == stateReplies {
		end = tx.next + 1
	}
	s.beforeFinal()
	s.recordMessages(tx.next, end, s.exchange.decision.Reply, CommitPending)
	s.exchange.promised = true
	s.waitFor(waitCommit, s.cfg.maxCommit())
}

// giveUpCommit refuses a message whose rows did not get on disk in time. They may still get there: the row of the refusal replaces
// them.
func (s *Session) giveUpCommit() {
	s.resume()
	s.exchange.amends, s.tx.stalled = true, true
	s.refuse(smtp.StageMessage, &replyNotCommitted)
}

// Committing reports whether the session waits for Committed.
func (s *Session) Committing() bool { return s.pause.wait == waitCommit || s.pause.wait == waitCapture }

// ticket names the commit under way. No two replies after a body have the same.
func (s *Session) ticket() uint64 {
	ticket := uint64(s.messages)<<32 | uint64(s.tx.next) // #nosec G115 -- an index of recipients, from 0
	if s.pause.wait == waitCapture {
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
	captured := s.pause.wait == waitCapture
	s.resume()
	switch {
	case captured:
		s.capturedAs(err)
	case err == nil:
		s.send()
	default:
		s.refuse(smtp.StageMessage, &replyNotCommitted)
	}
	s.proceed()
	s.endCall()
}
