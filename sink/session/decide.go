package session

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// numCommandStages is how many stages can occur any number of times outside a transaction, from RSET to unknown commands.
const numCommandStages = int(smtp.StageUnknown-smtp.StageRset) + 1

// readPlan takes the plan that is in force now.
func (s *Session) readPlan() {
	if s.env.Plans != nil {
		s.plan = s.env.Plans.Current()
	}
}

// answer decides this occurrence of the stage by the plan, and gives the reply: at once, or after its delay.
func (s *Session) answer(stage smtp.Stage) {
	s.decide(stage)
	s.deliver(stage)
}

// refuse answers an occurrence of the stage with a protocol error, which no rule can change.
func (s *Session) refuse(stage smtp.Stage, r *smtp.Reply) {
	s.countOccurrence(stage)
	s.work.plain = false
	s.work.decision = fault.Decision{Cause: fault.CauseProtocol, Reply: r}
	s.deliver(stage)
}

// decide asks the plan, and falls back on the plain reply.
func (s *Session) decide(stage smtp.Stage) {
	nth := s.countOccurrence(stage)
	w := s.work
	if s.hasRules() {
		s.describe(stage, nth)
		w.decision = s.plan.Decide(&w.occurrence)
	} else {
		w.decision = fault.Decision{}
	}
	if w.plain = w.decision.Reply == nil; w.plain {
		w.decision.Reply = plainReply(stage, w.decision.Cause)
	}
}

func (s *Session) hasRules() bool { return s.plan != nil && len(s.plan.Rules()) > 0 }

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

// describe fills in what is known at this occurrence. Shared counters are asked only when the plan needs them.
func (s *Session) describe(stage smtp.Stage, nth uint64) {
	if s.connN == 0 && s.env.Attempts != nil && s.plan.Needs().Connections {
		s.connN = uint32(min(s.env.Attempts.Connection(s.client.Addr()), math.MaxUint32))
	}
	w := s.work
	o := &w.occurrence
	*o = fault.Occurrence{
		Stage: stage, Listener: s.listener, Client: s.client.Addr(), ConnN: uint64(s.connN), Helo: s.helo,
		MessageN: uint64(s.messages), Nth: nth,
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
	case smtp.StageRcpt:
		o.Recipient, o.RcptN = w.recipient, w.rcptN
	case smtp.StageMessage:
		if s.state == stateReplies {
			r := &tx.recipients[tx.next]
			o.Recipient, o.RcptN = tx.bytes(r.address), r.n
			return
		}
		fallthrough
	case smtp.StageData, smtp.StageBdat:
		o.RecipientsHash, o.MaxRcptN, o.Recipients = tx.hash, tx.maxN, len(tx.recipients)
		o.AcceptedRecipients = tx.addresses()
	}
}

// deliver gives the reply that was decided, at once or after its delay.
func (s *Session) deliver(stage smtp.Stage) {
	w := s.work
	w.stage = stage
	if r := s.env.Recorder; r != nil {
		r.Decided(stage, &w.decision)
	}
	if w.decision.Delay > 0 {
		s.delayed = true
		s.due = w.now + w.decision.Delay
		return
	}
	s.reply()
}

// reply sends the reply that was decided, and does what follows from it.
func (s *Session) reply() {
	w := s.work
	s.write(w.stage, w.decision.Reply, w.plain)
	if r := s.env.Recorder; r != nil {
		r.Replied(w.stage, &w.decision)
	}
	s.settle(w.stage, w.decision.Reply)
}

// settle makes the state follow from the reply that was sent, whoever decided it.
func (s *Session) settle(stage smtp.Stage, r *smtp.Reply) {
	positive := r.Code.Class() == 2
	switch stage {
	case smtp.StageConnect:
		s.refused = !positive
	case smtp.StageHelo, smtp.StageEhlo:
		if positive {
			s.endTransaction(EndAbandoned, stage)
			s.greeted, s.extended = true, stage == smtp.StageEhlo
			s.helo = append(s.helo[:0], s.work.helo...)
		}
	case smtp.StageStartTLS:
		if r.Code == 220 {
			s.state = stateDiscard
		}
	case smtp.StageAuth:
		s.state = stateCommand
		if r.Code == 334 {
			s.state = stateAuth
		}
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
	switch {
	case stage == smtp.StageQuit:
		s.endTransaction(EndAbandoned, stage)
		s.close(CloseFIN, ClosedByQuit)
	case r.Code == 421:
		if s.tx != nil {
			s.tx.refusal, s.tx.refusedAt = r, stage
		}
		s.close(CloseFIN, ClosedByReply)
	}
}
