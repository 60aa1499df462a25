package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Shutdown asks the session to end: at once with 421 when no transaction is under way, otherwise when it has ended. Delayed
// replies run out first.
func (s *Session) Shutdown(now time.Time) {
	if s.state == stateClosed {
		return
	}
	s.beginCall(now)
	s.life.stopping = true
	if s.pause.wait == waitReading {
		s.close(CloseFIN, ClosedByShutdown)
	}
	s.proceed()
	s.endCall()
}

// timeout ends the session of a client that was silent for too long (RFC 5321 section 4.5.3.2.7).
func (s *Session) timeout() {
	switch {
	case s.pause.wait == waitDrain, s.pause.wait == waitTaken: // it takes no replies either
		s.close(CloseRST, ClosedByTimeout)
	case s.state == stateHeld:
		s.close(CloseFIN, ClosedByFault)
	case s.state == stateHandshake && s.extra.tlsFault != fault.TLSNone:
		s.exchange.endedBy(s.extra.by)
		s.close(CloseFIN, ClosedByFault)
	case s.state == stateDiscard, s.state == stateProxy, s.state == stateHandshake: // it waits for a handshake and would not understand
		s.close(CloseFIN, ClosedByTimeout)
	default:
		s.closeWith(&replyIdle, ClosedByTimeout)
	}
}

// closeWith closes the connection after a reply that answers no command (RFC 5321 section 3.8). Recorders don't see it as the
// reply of a stage.
func (s *Session) closeWith(r *smtp.Reply, reason CloseReason) {
	s.write(smtp.StageUnknown, r, false)
	s.out.replied(smtp.StageUnknown, r.Code, s.enhancedOf(smtp.StageUnknown, r))
	s.close(CloseFIN, reason)
}

// close ends the session: what is left of it are the effects that tell the driver.
func (s *Session) close(mode CloseMode, reason CloseReason) {
	if s.state == stateClosed {
		return
	}
	ending := EndLost
	if reason == ClosedByTimeout {
		ending = EndTimeout
	}
	s.endTransaction(ending, s.awaited())
	if by := s.exchange.by; by != (Origin{}) {
		s.lasting().by = by
	}
	s.releaseLimits()
	s.life.close(mode, reason)
	s.state = stateClosed
	s.pause.end()
	s.exchange.withhold()
	s.releaseLine()
	if s.life.gone() {
		s.out.discard(s.env.Scratch)
	}
}

// awaited returns the stage whose reply a client in a transaction would get next.
func (s *Session) awaited() smtp.Stage {
	switch {
	case s.exchange.unsent() != nil:
		return s.exchange.stage
	case s.state == stateData, s.state == stateReplies, s.state == stateChunk && s.extra.framing.last:
		return smtp.StageMessage
	case s.state == stateChunk:
		return smtp.StageBdat
	case s.tx != nil && len(s.tx.recipients) == 0:
		return smtp.StageRcpt
	}
	return smtp.StageData
}
