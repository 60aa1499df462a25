package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxUser is how many octets of an authenticated name are kept: as many as a SCRAM or PLAIN identity needs at the most (RFC 4616 section 2).
const maxUser = 255

// offersAuth reports whether AUTH is offered now.
func (s *Session) offersAuth() bool {
	return s.env.Auth != nil && !s.authenticated && (!s.cfg.AuthNeedsTLS || s.secure)
}

// mechanisms returns those that are offered. There is an Authenticator.
func (s *Session) mechanisms() []string {
	if s.cfg.Service.Mechanisms != nil {
		return s.cfg.Service.Mechanisms
	}
	return s.env.Auth.Mechanisms()
}

// auth handles AUTH (RFC 4954 section 4).
func (s *Session) auth(args []byte) {
	name, rest, initial := bytes.Cut(args, []byte{' '})
	s.noteMechanism(name)
	switch {
	case len(name) == 0:
		s.refuse(smtp.StageAuth, &replyArgumentMissing)
	case s.tx != nil:
		s.refuse(smtp.StageAuth, &replyInTransaction)
	case s.authenticated:
		s.refuse(smtp.StageAuth, &replyAuthTwice)
	case s.env.Auth == nil:
		s.answer(smtp.StageAuth)
	case s.greeting != greetingEHLO:
		s.refuse(smtp.StageAuth, &replyHelloFirst)
	case s.cfg.AuthNeedsTLS && !s.secure:
		s.refuse(smtp.StageAuth, &replyAuthNeedsTLS)
	default:
		s.beginAuth(name, bytes.TrimLeft(rest, " "), initial)
	}
}

// beginAuth starts an exchange, unless the plan has another reply to the command.
func (s *Session) beginAuth(name, initial []byte, hasInitial bool) {
	mechanism := ""
	for _, m := range s.mechanisms() {
		if strings.EqualFold(m, string(name)) {
			mechanism = m
		}
	}
	if mechanism == "" {
		s.answerUnlessForced(&replyUnknownMechanism)
		return
	}
	s.decide(smtp.StageAuth)
	if s.forcedNow() {
		s.deliver(smtp.StageAuth)
		return
	}
	exchange, err := s.env.Auth.Start(mechanism)
	if err != nil {
		s.exchange.decision.Reply, s.exchange.plain = &replyAuthUnavailable, false
		s.deliver(smtp.StageAuth)
		return
	}
	x := s.more()
	x.mechanism = exchange
	switch {
	case !hasInitial:
		s.challenge(nil)
	case string(initial) == "=": // an empty one (RFC 4954 section 4)
		s.challenge([]byte{})
	default:
		s.decodeAndExchange(initial)
	}
}

// noteMechanism notes what AUTH named, where rules ask for it.
func (s *Session) noteMechanism(name []byte) {
	if s.view.Needs().Auth && len(name) > 0 {
		x := s.more()
		x.authName, x.authStep = append(x.authName[:0], name...), 1
	}
}

// answerUnlessForced gives a protocol error, but where a rule has another reply: a plan may know mechanisms that the sink doesn't.
func (s *Session) answerUnlessForced(r *smtp.Reply) {
	if s.view.HasRules(smtp.StageAuth) {
		if s.decide(smtp.StageAuth); s.forced() {
			s.deliver(smtp.StageAuth)
			return
		}
	}
	s.refuse(smtp.StageAuth, r)
}

// forcedNow reports whether the reply that was decided is to be given now: a planned 535 is otherwise for the end of the exchange, but
// where the rule says which step it is for.
func (s *Session) forcedNow() bool {
	d := &s.exchange.decision
	return s.forced() && (d.Reply.Code != replyAuthFailed.Code || d.Rule != nil && !d.Rule.Match.Steps.IsZero())
}

// cancelAuth handles the "*" that gives an exchange up (RFC 4954 section 4). A rule for the step may word the refusal.
func (s *Session) cancelAuth() {
	if s.view.Needs().Auth {
		s.decide(smtp.StageAuth)
		if d := &s.exchange.decision; s.forced() && d.Rule != nil && !d.Rule.Match.Steps.IsZero() && d.Reply.Code.Class() != 3 && d.Reply.Code.Class() != 2 {
			s.deliver(smtp.StageAuth)
			return
		}
	}
	s.refuse(smtp.StageAuth, &replyAuthCancelled)
}

// forced reports whether the reply that was decided at auth is not the exchange's to give: its code was written out in a plan, or
// a limit decided.
func (s *Session) forced() bool {
	d := &s.exchange.decision
	return d.Cause == fault.CauseLimit || d.Chosen != nil && d.Chosen.Written
}

// authResponse handles the line that answers a 334.
func (s *Session) authResponse(line []byte) {
	x := s.extra
	if x != nil && x.authStep > 0 {
		x.authStep++
	}
	if string(line) == "*" {
		s.cancelAuth()
		return
	}
	s.decide(smtp.StageAuth)
	e := s.exchange
	switch {
	case x == nil || x.mechanism == nil: // a plan said 334 where there is nothing to exchange
		if !s.forced() {
			e.decision.Reply, e.plain = &replyAuthFailed, false
		}
		s.deliver(smtp.StageAuth)
	case s.forcedNow():
		s.deliver(smtp.StageAuth)
	default:
		s.decodeAndExchange(line)
	}
}

// decodeAndExchange goes on with a response in base64.
func (s *Session) decodeAndExchange(text []byte) {
	x := s.extra
	var err error
	x.response, err = base64.StdEncoding.AppendDecode(x.response[:0], text)
	if err != nil {
		s.refuse(smtp.StageAuth, &replyNotBase64)
		return
	}
	s.challenge(x.response)
}

// exchange lets the mechanism answer. Where the plan has a delay or a fault but no reply of its own, they are for each reply of the
// exchange. A planned 535 takes the place of the last: real servers say it when they have seen the credentials.
func (s *Session) challenge(response []byte) {
	x, e := s.extra, s.exchange
	challenge, done, err := x.mechanism.Next(response)
	switch {
	case err == nil && !done:
		e.wrong = smtp.Reply{Code: 334, Lines: []string{base64.StdEncoding.EncodeToString(challenge)}}
		if s.forced() {
			e.decision = fault.Decision{}
		}
		e.decision.Reply, e.plain = &e.wrong, false
	case s.forced():
	case err == nil:
		e.decision.Reply, e.plain = &replyAuthenticated, false
	case errors.Is(err, ErrMalformedResponse):
		e.decision.Reply, e.plain = &replyBadResponse, false
	default:
		e.decision.Reply, e.plain = &replyAuthFailed, false
	}
	if d := &e.decision; d.Cause == fault.CausePlain && !d.Reply.Code.Positive() {
		d.Cause = fault.CauseProtocol
	}
	s.deliver(smtp.StageAuth)
}

// afterAuth goes on with an exchange after a 3yz, and ends it after anything else.
func (s *Session) afterAuth(r *smtp.Reply) {
	if r.Code.Class() == 3 {
		s.state = stateAuth
		return
	}
	if r.Code.Class() == 2 {
		s.authenticated = true
		if x := s.extra; x != nil && x.mechanism != nil {
			user := x.mechanism.User()
			s.lasting().user = user[:min(len(user), maxUser)]
		}
	}
	s.endAuth()
}

// endAuth ends an exchange, if one is under way: commands follow.
func (s *Session) endAuth() {
	s.state = stateCommand
	if s.extra != nil {
		s.extra.mechanism, s.extra.authStep = nil, 0
	}
}
