package session

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// numCommandStages is how many stages can occur any number of times outside a transaction, from RSET to unknown commands.
const numCommandStages = int(smtp.StageUnknown-smtp.StageRset) + 1

// readView takes the plan that is in force now, with its phase.
func (s *Session) readView() {
	if s.env.Plans == nil {
		return
	}
	before := s.view.Plan()
	s.view = s.env.Plans.Current(s.at(s.exchange.now))
	if s.admitted && s.view.Plan() != before {
		s.occupy()
	}
}

// answer decides this occurrence of the stage by the plan, and gives the reply: at once, or after its delay.
func (s *Session) answer(stage smtp.Stage) {
	s.decide(stage)
	s.deliver(stage)
}

// refuse answers an occurrence of the stage with a protocol error, which no rule can change but one for such errors.
func (s *Session) refuse(stage smtp.Stage, r *smtp.Reply) {
	s.reject(stage, r)
	s.deliver(stage)
}

// reject decides on a protocol error.
func (s *Session) reject(stage smtp.Stage, r *smtp.Reply) {
	e := s.exchange
	e.nth = s.countOccurrence(stage)
	p := decide.Point{Stage: stage, Error: r, NoRecipients: r == &replyNoValidRecipients || r == &replyRcptFirst, Fixed: fixed(r)}
	o := decide.Decide(&e.decision, s.view, p, (*connection)(s))
	if e.plain = e.decision.Reply == nil; e.plain {
		s.sayPlain(stage)
	}
	if r != &replyNotCommitted { // the outcome of the message was seen already
		decide.React(&e.decision, s.view, p, (*connection)(s), o)
	}
	if e.decision.Cause != fault.CauseRule {
		return
	}
	if e.opensBody = stage == smtp.StageData; e.decision.Rule.Match.Wrong() {
		e.misplaced = r
	}
}

// fixed reports whether a protocol error is answered in these words whatever a plan says: what follows it is not taken for commands, or it is
// the sink's trouble rather than the client's mistake.
func fixed(r *smtp.Reply) bool {
	switch r {
	case &replyNotSMTP, &replyChunkTooBig, &replyNotCommitted, &replyNoRoom:
		return true
	}
	return false
}

// decide decides on an occurrence that is no protocol error.
func (s *Session) decide(stage smtp.Stage) {
	p := s.point(stage)
	o := s.choose(p)
	if s.exchange.plain && (stage == smtp.StageStartTLS || stage == smtp.StageAuth) {
		s.rephrasePlain(stage)
	}
	decide.React(&s.exchange.decision, s.view, p, (*connection)(s), o)
}

// point returns the occurrence of a stage, of which nothing is known to be wrong.
func (s *Session) point(stage smtp.Stage) decide.Point {
	p := decide.Point{Stage: stage, Next: s.env.Next.Waits(stage)}
	if s.cfg.Triggers {
		p.Switch = s.switchFor(stage)
	}
	return p
}

// choose decides on an occurrence, of which reactions have still to be told.
func (s *Session) choose(p decide.Point) *fault.Occurrence {
	e := s.exchange
	e.nth = s.countOccurrence(p.Stage)
	o := decide.Decide(&e.decision, s.view, p, (*connection)(s))
	if e.plain = e.decision.Reply == nil; e.plain {
		s.sayPlain(p.Stage)
	}
	return o
}

// sayPlain gives the stage's plain reply, in the plan's own words if it has some.
func (s *Session) sayPlain(stage smtp.Stage) {
	e := s.exchange
	if own := s.view.Plain(stage); own != nil {
		e.decision.Reply, e.plain = own, false
		return
	}
	e.decision.Reply = fault.Plain(stage)
}

// rephrasePlain makes the plain reply to STARTTLS and AUTH a refusal where they are not offered. An outcome whose code was written
// out says what it says: a client is told to go on where nobody does.
func (s *Session) rephrasePlain(stage smtp.Stage) {
	e := s.exchange
	c := e.decision.Chosen
	written := c != nil && c.Written
	switch {
	case stage == smtp.StageStartTLS && s.offersTLS():
		e.decision.Reply = &replyReadyForTLS
	case written:
	case stage == smtp.StageStartTLS, stage == smtp.StageAuth && s.env.Auth == nil:
		e.decision.Reply = &replyNotOffered
	}
}

// countOccurrence returns the ordinal of this occurrence of the stage in the connection, for stages that can occur outside a
// transaction any number of times; 1 for the others, which have better keys.
func (s *Session) countOccurrence(stage smtp.Stage) uint64 {
	if stage < smtp.StageRset {
		return 1
	}
	n := &s.nth[stage-smtp.StageRset]
	if *n < math.MaxUint16 {
		*n++
	}
	return uint64(*n)
}

// originOf says who made a decision.
func originOf(d *fault.Decision) (v Origin) {
	v.Cause = d.Cause
	switch {
	case d.Reaction != nil:
		v.By = d.Reaction.Name
	case d.Limit != nil:
		v.By = d.Limit.Name
	case d.Rule != nil:
		v.By = d.Rule.Name
	case d.Next != nil:
		v.By = d.Next.ID
	}
	if d.Chosen != nil {
		v.Fault = d.Chosen.Fault
	}
	return v
}

// after makes the state follow from the reply that was sent, whoever decided it.
func (s *Session) after(stage smtp.Stage, r *smtp.Reply) {
	positive := r.Code.Class() == 2
	switch stage {
	case smtp.StageConnect, smtp.StagePregreet:
		s.refused = !positive
	case smtp.StageHelo, smtp.StageEhlo:
		if !positive {
			break
		}
		// What was announced holds whatever else is refused: the client has read it.
		extended := stage == smtp.StageEhlo
		s.announced = announcement{}
		if extended {
			s.announced = s.exchange.announced
		}
		if s.exchange.misplaced == nil {
			s.endTransaction(EndAbandoned, stage)
			s.greeting = greetingHELO
			if extended {
				s.greeting = greetingEHLO
			}
			s.helo = append(s.helo[:0], s.exchange.helo...)
		}
	case smtp.StageStartTLS:
		s.afterStartTLS(r)
	case smtp.StageAuth:
		s.afterAuth(r)
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
		s.afterMail(stage, r)
	case smtp.StageRcpt:
		s.afterRcpt(r)
	case smtp.StageData:
		s.afterData(r)
	case smtp.StageBdat:
		s.afterChunk(r)
	case smtp.StageMessage:
		s.afterMessage(r)
	case smtp.StageRset:
		if positive {
			s.endTransaction(EndAbandoned, stage)
		}
	}
	s.closeAfter(stage, r)
}

// closeAfter ends the connection after the reply, when the reply, the stage or a fault has it so.
func (s *Session) closeAfter(stage smtp.Stage, r *smtp.Reply) {
	kind := fault.CloseNone
	if f := s.exchange.faults; f != nil {
		kind = f.Close.Mode
	}
	reason := ClosedByReply
	switch {
	case stage == smtp.StageQuit && s.exchange.decision.Cause != fault.CauseProtocol:
		s.endTransaction(EndAbandoned, stage)
		reason = ClosedByQuit
	case r.Code == 421:
		if s.tx != nil {
			s.noteRefusal(stage, r)
		}
		s.exchange.endedBy(s.exchange.origin())
		if r == &replyNotSMTP {
			reason = ClosedByForeign
		}
	case kind == fault.CloseNone:
		return
	}
	if kind != fault.CloseNone {
		s.closeByFault(kind, s.exchange.origin())
		return
	}
	s.close(CloseFIN, reason)
}
