package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ambush is a fault that waits in a body.
type ambush struct {
	set   bool
	left  int64 // octets until it happens
	close fault.CloseKind
	stop  bool
	pause time.Duration
	by    Verdict
}

// limit cuts p off where the fault happens.
func (a *ambush) limit(p []byte) []byte {
	if a.set && int64(len(p)) > a.left {
		return p[:a.left]
	}
	return p
}

// lieInWait sets the fault of a body that begins now.
func (s *Session) lieInWait(f *fault.BodyFault, by Verdict) {
	if *f == (fault.BodyFault{}) {
		return
	}
	s.tx.ambush = ambush{set: true, left: f.After, close: f.Close, stop: f.StopReading, pause: f.For, by: by}
	s.advanceBody(0)
}

// lieInWaitForChunk sets the fault of a BDAT chunk that begins now. The outcome of stage bdat is asked for it twice, here and when the
// chunk has ended: it is the same. The last chunk, whose reply is stage message, has such a fault as well.
func (s *Session) lieInWaitForChunk() {
	if !s.view.Speaks(smtp.StageBdat) {
		return
	}
	s.describe(smtp.StageBdat, 1)
	w := s.work
	w.decision = s.view.Decide(&w.occurrence)
	if c := w.decision.Chosen; c != nil {
		s.lieInWait(&c.Body, s.verdict())
	}
}

// advanceBody notes that n octets of the body were read, and lets happen what is due.
func (s *Session) advanceBody(n int) {
	a := &s.tx.ambush
	if !a.set {
		return
	}
	if a.left -= int64(n); a.left > 0 {
		return
	}
	a.set = false
	if !a.stop {
		s.closeByFault(a.close, a.by)
		return
	}
	s.wait = waitReading
	s.due = s.work.now + s.cfg.maxHold()
	if a.pause > 0 {
		s.due = s.work.now + a.pause
	}
}

// readOn goes on reading a body, or ends the connection when it was held to the end.
func (s *Session) readOn() {
	a := &s.tx.ambush
	if a.pause == 0 {
		s.blame(a.by)
		s.close(CloseFIN, ClosedByFault)
		return
	}
	s.resume()
	if s.state == stateChunk && s.extra.chunkLeft == 0 {
		s.endChunk()
	}
}
