package session

import (
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// connection is the session as package decide asks it.
type connection Session

// Describe implements decide.Connection.
func (c *connection) Describe(stage smtp.Stage, outOfOrder bool) *fault.Occurrence {
	s := (*Session)(c)
	e := s.exchange
	s.describe(stage, e.nth)
	if outOfOrder {
		x := s.lasting()
		x.outOfOrder++
		e.occurrence.Nth = x.outOfOrder
		if stage == smtp.StageRcpt {
			e.occurrence.Recipient = e.recipient
		}
	}
	return &e.occurrence
}

// Stand implements decide.Connection.
func (c *connection) Stand(x *fault.StageReactions, o *fault.Occurrence) {
	s := (*Session)(c)
	e, env := s.exchange, s.env
	if env.Standings == nil {
		return
	}
	now := s.at(e.now)
	for _, early := range x.Early {
		if l := early.Limit; env.Limits != nil && s.inForce(l) && l.Applies(o) && env.Limits.Early(now, l, o) {
			o.Early |= early.Bit
		}
	}
	e.levels = fault.Levels{}
	o.Levels = &e.levels
	e.changes = env.Standings.Look(now, s.view.Plan(), x, o, o.Levels, e.changes[:0])
	s.recordStandings(o.Stage, nil)
}

// inForce reports whether a limit of the plan is asked now: those of other phases are not.
func (s *Session) inForce(l *fault.Limit) bool {
	return slices.Contains(s.view.Limits(l.Stage), l)
}

// Count implements decide.Connection.
func (c *connection) Count(_ *fault.StageReactions, o *fault.Occurrence, counts fault.Counts) {
	s := (*Session)(c)
	e := s.exchange
	if s.env.Standings == nil {
		return
	}
	e.changes = s.env.Standings.Count(s.at(e.now), s.view.Plan(), o, counts, e.changes[:0])
	s.recordStandings(o.Stage, &e.decision)
}

// Next implements decide.Connection.
func (c *connection) Next(o *fault.Occurrence) (fault.Decision, bool) {
	s := (*Session)(c)
	o.Time = s.at(s.exchange.now)
	o.Handshake = o.Stage == smtp.StageStartTLS && s.offersTLS() || o.Stage == smtp.StageConnect && s.cfg.TLS == TLSImplicit
	o.GoesOn, o.AsWritten = s.exchange.goesOn, s.exchange.asWritten
	return s.env.Next.Take(s.at(s.exchange.now), o)
}

// describe tells what is known at this stage.
func (s *Session) describe(stage smtp.Stage, nth uint64) {
	e := s.exchange
	o := &e.occurrence
	e.described = true
	*o = fault.Occurrence{
		Stage: stage, Listener: s.listener, Client: s.client.Addr(), Connection: s.id, ConnN: uint64(s.connN), Helo: s.helo,
		TLS: s.secure || s.cfg.TLS == TLSImplicit, MessageN: uint64(s.messages), Nth: nth,
	}
	if s.secure && s.extra != nil {
		o.TLSVersion = s.extra.tls.Number
	}
	if s.view.Needs().Time {
		o.Time = s.at(e.now)
	}
	if s.view.Needs().Turns {
		if o.Turn = 1; s.extra != nil {
			o.Turn += s.extra.turns
		}
	}
	tx := s.tx
	if x := s.extra; x != nil && stage == smtp.StageAuth {
		o.Mechanism, o.AuthStep = x.authName, x.authStep
	}
	switch stage {
	case smtp.StageHelo, smtp.StageEhlo:
		o.Helo = e.helo
		return
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml,
		smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage:
		if tx == nil {
			return
		}
	default:
		return
	}
	o.Sender, o.MailN, o.Size, o.Parameters = tx.sender(), tx.mailN, tx.declared, tx.bytes(tx.params)
	switch stage {
	case smtp.StageRcpt:
		o.NthRcpt = uint64(tx.attempts) // #nosec G115 -- not negative
		o.Recipient, o.RcptN, o.Recipients = e.recipient, e.rcptN, len(tx.recipients)
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
		e.cost += len(tx.recipients) / rulesPerCost
	}
}
