package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
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

// offersMechanism reports whether one of mechanisms is offered now: those that are bound to a channel, where there is one.
func (s *Session) offersMechanism(name string) bool {
	return !binds(name) || s.secure && s.extra != nil && s.extra.tls.Channel != nil
}

// binds reports whether a mechanism is one of those that are bound to a channel (RFC 5801 section 5).
func binds(mechanism string) bool { return strings.HasSuffix(mechanism, "-PLUS") }

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

// beginAuth starts an exchange.
func (s *Session) beginAuth(name, initial []byte, hasInitial bool) {
	mechanism := ""
	var channel Channel
	for _, m := range s.mechanisms() {
		if !s.offersMechanism(m) {
			continue
		}
		if binds(m) {
			channel = s.extra.tls.Channel
		}
		if strings.EqualFold(m, string(name)) {
			mechanism = m
		}
	}
	if mechanism == "" { // a plan may know mechanisms that the sink doesn't
		s.answerAuth(&authVerdict{reply: &replyUnknownMechanism, wrong: true})
		return
	}
	exchange, err := s.env.Auth.Start(mechanism, channel)
	if err != nil {
		s.answerAuth(&authVerdict{reply: &replyAuthUnavailable, wrong: true})
		return
	}
	x := s.more()
	x.mechanism = exchange
	v := authVerdict{first: true}
	switch {
	case !hasInitial:
		s.judgeAuth(&v, nil)
	case string(initial) == "=": // an empty one (RFC 4954 section 4)
		s.judgeAuth(&v, []byte{})
	default:
		s.decodeAuth(&v, initial)
	}
	s.answerAuth(&v)
}

// noteMechanism notes what AUTH named, where rules ask for it.
func (s *Session) noteMechanism(name []byte) {
	if s.view.Needs().Auth && len(name) > 0 {
		x := s.more()
		x.authName, x.authStep = append(x.authName[:0], name...), 1
	}
}

// authVerdict is the reply that an AUTH command, or a response to a challenge, gets if nobody has another one.
type authVerdict struct {
	reply     *smtp.Reply
	first     bool // it answers the command, with which a mechanism has begun
	goesOn    bool // it is a challenge of the mechanism
	wrong     bool // it is a protocol error
	cancelled bool // the client has given the exchange up
}

// decodeAuth is judgeAuth for a response in base64.
func (s *Session) decodeAuth(v *authVerdict, text []byte) {
	x := s.extra
	var err error
	x.response, err = base64.StdEncoding.AppendDecode(x.response[:0], text)
	if err != nil {
		v.reply, v.wrong = &replyNotBase64, true
		return
	}
	s.judgeAuth(v, x.response)
}

// judgeAuth asks the mechanism.
func (s *Session) judgeAuth(v *authVerdict, response []byte) {
	challenge, done, err := s.extra.mechanism.Next(response)
	switch {
	case err == nil && done:
		v.reply = &replyAuthenticated
	case err == nil:
		e := s.exchange
		e.wrong = smtp.Reply{Code: 334, Lines: []string{base64.StdEncoding.EncodeToString(challenge)}}
		v.reply, v.goesOn = &e.wrong, true
	case errors.Is(err, ErrMalformedResponse):
		v.reply = &replyBadResponse
	default:
		v.reply = &replyAuthFailed
	}
}

// answerAuth gives the verdict, or what the plan has in its place. Where the plan has a delay or a fault but no reply of its own, they are
// for each reply of the exchange, but for protocol errors.
func (s *Session) answerAuth(v *authVerdict) {
	e := s.exchange
	e.goesOn, e.asWritten = v.goesOn, v.wrong
	p := s.point(smtp.StageAuth)
	p.Next = p.Next && !v.cancelled
	o := s.choose(p)
	e.goesOn, e.asWritten = false, false
	switch d := &e.decision; {
	case s.forced(v):
		if v.first {
			s.extra.mechanism = nil // the plan has its own challenges, or lets the client in as nobody
		}
	case v.wrong:
		p = decide.Point{Stage: smtp.StageAuth, Error: v.reply}
		o = s.choose(p)
	default:
		if d.Chosen != nil && d.Chosen.Written { // a 535 that waits for the end
			*d = fault.Decision{}
		}
		d.Reply, e.plain = v.reply, false
		if d.Cause == fault.CausePlain && !d.Reply.Code.Positive() {
			d.Cause = fault.CauseProtocol
		}
	}
	decide.React(&e.decision, s.view, p, (*connection)(s), o)
	s.deliver(smtp.StageAuth)
}

// forced reports whether the reply that was decided is given in the place of the verdict: its code was written out in a plan, or a limit
// decided. A planned 535 is for the end of the exchange, where real servers say it when they have seen the credentials, unless its rule
// says which step it is for. A client that gives up is refused in any case; a rule for the step may word that.
func (s *Session) forced(v *authVerdict) bool {
	d := &s.exchange.decision
	step := d.Rule != nil && !d.Rule.Match.Steps.IsZero()
	switch {
	case d.Cause == fault.CauseLimit:
		return true
	case d.Chosen == nil || !d.Chosen.Written:
		return false
	case v.cancelled:
		return step && d.Reply.Code.Class() != 3 && d.Reply.Code.Class() != 2
	}
	return !v.goesOn || step || d.Reply.Code != fault.AuthFailedCode
}

// authResponse handles the line that answers a 334.
func (s *Session) authResponse(line []byte) {
	x := s.extra
	if x != nil && x.authStep > 0 {
		x.authStep++
	}
	v := authVerdict{reply: &replyAuthFailed}
	switch {
	case string(line) == "*": // RFC 4954 section 4
		v = authVerdict{reply: &replyAuthCancelled, wrong: true, cancelled: true}
	case x != nil && x.mechanism != nil: // otherwise a plan said 334 where there is nothing to exchange
		s.decodeAuth(&v, line)
	}
	s.answerAuth(&v)
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
