package session

import (
	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// bodyFault is a fault that strikes when enough octets of a body were read, if ever.
type bodyFault struct {
	fault.BodyFault
	pending  bool
	struck   bool
	left     int64 // octets until it strikes
	stage    smtp.Stage
	decision fault.Decision // that drew it
}

// limit cuts p off where the fault strikes.
func (b *bodyFault) limit(p []byte) []byte {
	if b.pending && int64(len(p)) > b.left {
		return p[:b.left]
	}
	return p
}

// beginBody sets the fault of a body, or of a chunk, that begins now: that of the decision, if it has one.
func (s *Session) beginBody(stage smtp.Stage, d *fault.Decision) {
	if d.Chosen == nil || d.Chosen.Body == (fault.BodyFault{}) {
		return
	}
	s.tx.fault = bodyFault{BodyFault: d.Chosen.Body, pending: true, left: d.Chosen.Body.After, stage: stage, decision: *d}
	s.advanceBody(0)
}

// beginChunk sets the fault of a BDAT chunk that begins now. The outcome of stage bdat is asked for it twice, here and when the
// chunk has ended: it is the same. The last chunk, whose reply is stage message, has such a fault as well.
func (s *Session) beginChunk() {
	e := s.exchange
	e.nth = 1
	decide.Decide(&e.decision, s.view, decide.Point{Stage: smtp.StageBdat}, (*connection)(s))
	if e.decision.Reply == nil {
		e.decision.Reply = fault.Plain(smtp.StageBdat)
	}
	s.beginBody(smtp.StageBdat, &e.decision)
}

// advanceBody notes that n octets of the body were read, and lets its fault strike when it is due.
func (s *Session) advanceBody(n int) {
	b := &s.tx.fault
	if !b.pending {
		return
	}
	if b.left -= int64(n); b.left > 0 {
		return
	}
	b.pending, b.struck = false, true
	s.strike(b.stage, &b.decision)
	if b.Reply != nil {
		s.interject(b)
	}
	switch {
	case !b.StopReading && b.Close == fault.CloseNone:
		return // the client has been told something, and that is all
	case b.For == 0: // nothing follows
		s.cutChunk()
	}
	if !b.StopReading {
		s.closeByFault(b.Close, originOf(&b.decision))
		return
	}
	s.lasting().by = originOf(&b.decision)
	hold := s.cfg.maxHold()
	if b.For > 0 {
		hold = b.For
	}
	s.waitFor(waitReading, hold)
}

// interject says in mid-body what nobody has asked for. Recorders don't see it as the reply of a stage.
func (s *Session) interject(b *bodyFault) {
	if r, err := b.Reply.Reply(); err == nil { // it was checked with the plan
		s.write(smtp.StageMessage, r, false)
	}
}

// strike tells the recorder that a fault happened that no reply carries.
func (s *Session) strike(stage smtp.Stage, d *fault.Decision) {
	if r := s.env.Recorder; r != nil {
		r.Struck(stage, d, s.enhancedOf(stage, d.Reply), s.view)
	}
}

// cutChunk tells the recorder of the reply to a chunk whose fault keeps it from ever being given: it was decided.
func (s *Session) cutChunk() {
	b := &s.tx.fault
	if b.stage != smtp.StageBdat || s.extra.framing.last || s.env.Recorder == nil {
		return
	}
	s.env.Recorder.Decided(smtp.StageBdat, &b.decision, s.enhancedOf(smtp.StageBdat, b.decision.Reply), s.view)
}

// readOn goes on reading a body, or ends the connection when it was held to the end.
func (s *Session) readOn() {
	b := &s.tx.fault
	if b.For == 0 {
		s.exchange.endedBy(originOf(&b.decision))
		s.close(CloseFIN, ClosedByFault)
		return
	}
	s.resume()
	if s.state == stateChunk && s.extra.framing.left == 0 {
		s.endChunk()
	}
}
