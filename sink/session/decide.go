package session

import (
	"math"

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
	s.view = s.env.Plans.Current(s.at(s.work.now))
	if s.admitted && s.view.Plan() != before {
		s.occupy()
	}
}

// answer decides this occurrence of the stage by the plan, and gives the reply: at once, or after its delay.
func (s *Session) answer(stage smtp.Stage) {
	s.decide(stage)
	s.deliver(stage)
}

// refuse answers an occurrence of the stage with a protocol error, which no rule can change but one for commands out of order.
func (s *Session) refuse(stage smtp.Stage, r *smtp.Reply) {
	s.reject(stage, r)
	s.deliver(stage)
}

// reject decides on a protocol error.
func (s *Session) reject(stage smtp.Stage, r *smtp.Reply) {
	s.countOccurrence(stage)
	w := s.work
	w.plain = false
	w.decision = fault.Decision{Cause: fault.CauseProtocol, Reply: r}
	if isOutOfOrder(r) {
		s.decideOutOfOrder(stage, r)
	}
}

// isOutOfOrder reports whether a protocol error says that a command is not one to come now.
func isOutOfOrder(r *smtp.Reply) bool {
	return r.Code == fault.OutOfOrderCode || r == &replyNoValidRecipients
}

// decideOutOfOrder lets the plan's rules for commands out of order speak. The state follows from their reply, as far as there is
// anything that it can follow to.
func (s *Session) decideOutOfOrder(stage smtp.Stage, r *smtp.Reply) {
	if !s.view.SpeaksOutOfOrder(stage) {
		return
	}
	x := s.lasting()
	x.outOfOrder++
	s.describe(stage, x.outOfOrder)
	w := s.work
	o := &w.occurrence
	o.OutOfOrder = true
	if stage == smtp.StageRcpt {
		o.Recipient = w.recipient
	}
	d := s.view.Decide(o)
	if d.Cause != fault.CauseRule {
		return
	}
	if d.Reply == nil {
		d.Reply = r
	}
	w.decision, w.misplaced, w.opensBody = d, r, stage == smtp.StageData
}

// decide asks whoever may speak, in this order: limits, the switches of a tester, rules; and falls back on the plain reply.
func (s *Session) decide(stage smtp.Stage) {
	nth := s.countOccurrence(stage)
	w := s.work
	w.decision = fault.Decision{}
	limits := s.view.Limits(stage)
	var ask *fault.Switch
	if s.cfg.Triggers {
		ask = s.switchFor(stage)
	}
	if len(limits) > 0 || ask != nil || s.hasRules() && s.view.Speaks(stage) {
		s.describe(stage, nth)
		w.occurrence.Asked = len(limits)
		switch refusing := s.refusing(limits); {
		case refusing != nil:
			w.decision = refusing.Decision()
		case ask != nil:
			w.decision = ask.Decide(s.view, &w.occurrence)
		default:
			w.decision = s.view.Decide(&w.occurrence)
		}
	}
	if w.plain = w.decision.Reply == nil; w.plain {
		w.decision.Reply = fault.Plain(stage)
		if stage == smtp.StageStartTLS || stage == smtp.StageAuth {
			s.rephrasePlain(stage)
		}
	}
}

// hasRules says cheaply of most plain plans that no stage has a rule.
func (s *Session) hasRules() bool {
	p := s.view.Plan()
	return p != nil && len(p.Rules()) > 0
}

// rephrasePlain makes the plain reply to STARTTLS and AUTH a refusal where they are not offered. An outcome whose code was written
// out says what it says: a client is told to go on where nobody does.
func (s *Session) rephrasePlain(stage smtp.Stage) {
	w := s.work
	c := w.decision.Chosen
	written := c != nil && c.Written
	switch {
	case stage == smtp.StageStartTLS && s.offersTLS():
		w.decision.Reply = &replyReadyForTLS
	case written:
	case stage == smtp.StageStartTLS, stage == smtp.StageAuth && s.env.Auth == nil:
		w.decision.Reply = &replyNotOffered
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

// describe tells the plan what is known at this stage.
func (s *Session) describe(stage smtp.Stage, nth uint64) {
	w := s.work
	s.countConnection()
	o := &w.occurrence
	w.described = true
	*o = fault.Occurrence{
		Stage: stage, Listener: s.listener, Client: s.client.Addr(), ConnN: uint64(s.connN), Helo: s.helo,
		TLS: s.secure || s.cfg.TLS == TLSImplicit, MessageN: uint64(s.messages), Nth: nth,
	}
	tx := s.tx
	switch stage {
	case smtp.StageHelo, smtp.StageEhlo:
		o.Helo = w.helo
		return
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml,
		smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage:
		if tx == nil {
			return
		}
	default:
		return
	}
	o.Sender, o.MailN = tx.sender(), tx.mailN
	switch stage {
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
		o.Size = max(w.mail.Size, 0)
	case smtp.StageRcpt:
		o.Recipient, o.RcptN, o.Recipients = w.recipient, w.rcptN, len(tx.recipients)
	case smtp.StageMessage:
		o.Size = tx.octets()
		if tx.header.captured() {
			o.Headers = &tx.header
		}
		if s.state == stateReplies {
			r := &tx.recipients[tx.next]
			o.Recipient, o.RcptN, o.Recipients = tx.bytes(r.address), r.n, len(tx.recipients)
			return
		}
		fallthrough
	case smtp.StageData, smtp.StageBdat:
		o.RecipientsHash, o.MaxRcptN, o.Recipients = tx.hash, tx.maxN, len(tx.recipients)
		o.AcceptedRecipients = tx.addresses()
		w.spent += len(tx.recipients) / rulesPerWork
	}
}

// countConnection asks for the ordinal of the connection, if the plan needs it and it is not known yet.
func (s *Session) countConnection() {
	if s.connN == 0 && s.env.Attempts != nil && s.view.Needs().Connections {
		s.connN = uint32(s.env.Attempts.Connection(s.client.Addr())) // #nosec G115 -- after four billion connections a client's draws begin again
	}
}

// verdict says who made the decision under way.
func (s *Session) verdict() Verdict { return verdictOf(&s.work.decision) }

func verdictOf(d *fault.Decision) (v Verdict) {
	v.Cause = d.Cause
	switch {
	case d.Limit != nil:
		v.By = d.Limit.Name
	case d.Rule != nil:
		v.By = d.Rule.Name
	}
	if d.Chosen != nil {
		v.Fault = d.Chosen.Fault
	}
	return v
}

// settle makes the state follow from the reply that was sent, whoever decided it.
func (s *Session) settle(stage smtp.Stage, r *smtp.Reply) {
	positive := r.Code.Class() == 2
	switch stage {
	case smtp.StageConnect:
		s.refused = !positive
	case smtp.StageHelo, smtp.StageEhlo:
		if !positive {
			break
		}
		// What was announced holds whatever else is refused: the client has read it.
		extended := stage == smtp.StageEhlo
		s.enhanced, s.eightBit = extended && s.work.announced, extended && s.work.eightBit
		if s.work.misplaced == nil {
			s.endTransaction(EndAbandoned, stage)
			s.greeted, s.extended = true, extended
			s.helo = append(s.helo[:0], s.work.helo...)
		}
	case smtp.StageStartTLS:
		s.settleStartTLS(r)
	case smtp.StageAuth:
		s.settleAuth(r)
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
		s.settleMail(stage, r)
	case smtp.StageRcpt:
		s.settleRcpt(r)
	case smtp.StageData:
		s.settleData(r)
	case smtp.StageBdat:
		s.settleChunk(r)
	case smtp.StageMessage:
		s.settleMessage(r)
	case smtp.StageRset:
		if positive {
			s.endTransaction(EndAbandoned, stage)
		}
	}
	s.settleClose(stage, r)
}

// settleClose ends the connection after the reply, when the reply, the stage or a fault has it so.
func (s *Session) settleClose(stage smtp.Stage, r *smtp.Reply) {
	kind := fault.CloseNone
	if f := s.work.faults; f != nil {
		kind = f.Close.Mode
	}
	reason := ClosedByReply
	switch {
	case stage == smtp.StageQuit && s.work.decision.Cause != fault.CauseProtocol:
		s.endTransaction(EndAbandoned, stage)
		reason = ClosedByQuit
	case r.Code == 421:
		if s.tx != nil {
			s.noteRefusal(stage, r)
		}
		s.blame(s.verdict())
		if r == &replyNotSMTP {
			reason = ClosedByForeign
		}
	case kind == fault.CloseNone:
		return
	}
	if kind != fault.CloseNone {
		s.closeByFault(kind, s.verdict())
		return
	}
	s.close(CloseFIN, reason)
}
