package session

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// command handles one command line without its CRLF.
func (s *Session) command(line []byte) {
	w := s.work
	w.opened, w.opensBody, w.candidate, w.recipient = false, false, false, nil
	if s.state == stateAuth {
		s.authResponse(line)
		return
	}
	c := smtp.ParseCommand(line)
	stage := c.Verb.Stage()
	switch c.Verb {
	case smtp.VerbQuit:
		s.answer(stage)
		return
	case smtp.VerbBdat: // its octets follow, whatever the answer
		s.bdat(c.Args)
		return
	case smtp.VerbRcpt: // each leaves a row, whatever the answer
		s.rcpt(c.Args)
		return
	}
	if s.refused {
		s.refuse(stage, &replyOnlyQuit)
		return
	}
	switch c.Verb {
	case smtp.VerbHelo, smtp.VerbEhlo, smtp.VerbLhlo:
		s.hello(c)
	case smtp.VerbMail, smtp.VerbSend, smtp.VerbSoml, smtp.VerbSaml:
		s.mail(stage, c.Args)
	case smtp.VerbData:
		s.data(c.Args)
	case smtp.VerbRset:
		s.answerUnless(stage, len(c.Args) > 0, &replyNoArguments)
	case smtp.VerbVrfy, smtp.VerbExpn, smtp.VerbEtrn:
		s.answerUnless(stage, len(c.Args) == 0, &replyArgumentMissing)
	case smtp.VerbStartTLS:
		s.startTLS(c.Args)
	case smtp.VerbAuth:
		s.auth(c.Args)
	default: // HELP and NOOP take any argument; TURN and the unknown are refused with any
		s.answer(stage)
	}
}

// answerUnless gives the protocol error if wrong, and otherwise what the plan decides.
func (s *Session) answerUnless(stage smtp.Stage, wrong bool, protocolError *smtp.Reply) {
	if wrong {
		s.refuse(stage, protocolError)
		return
	}
	s.answer(stage)
}

// hello handles HELO, EHLO and LHLO.
func (s *Session) hello(c smtp.Command) {
	stage := c.Verb.Stage()
	switch {
	case s.cfg.LMTP != (c.Verb == smtp.VerbLhlo):
		s.refuse(stage, &replyWrongHello) // RFC 2033 section 4.1
	case len(c.Args) == 0:
		s.refuse(stage, &replyHelloArgument)
	default:
		s.work.helo = append(s.work.helo[:0], c.Args...)
		s.answer(stage)
	}
}

// startTLS handles STARTTLS, which this session does not offer (RFC 3207 section 4).
func (s *Session) startTLS(args []byte) {
	switch {
	case len(args) > 0:
		s.refuse(smtp.StageStartTLS, &replyNoArguments)
	case s.tx != nil:
		s.refuse(smtp.StageStartTLS, &replyInTransaction)
	default:
		s.answer(smtp.StageStartTLS)
	}
}

// auth handles AUTH, which this session does not offer (RFC 4954 section 4).
func (s *Session) auth(args []byte) {
	switch {
	case len(args) == 0:
		s.refuse(smtp.StageAuth, &replyArgumentMissing)
	case s.tx != nil:
		s.refuse(smtp.StageAuth, &replyInTransaction)
	default:
		s.answer(smtp.StageAuth)
	}
}

// authResponse handles the line that answers a 334 which a rule forced.
func (s *Session) authResponse(line []byte) {
	if string(line) == "*" {
		s.refuse(smtp.StageAuth, &replyAuthCancelled)
		return
	}
	s.decide(smtp.StageAuth)
	if s.work.decision.Cause == fault.CausePlain {
		s.work.decision.Reply = &replyAuthFailed
	}
	s.deliver(smtp.StageAuth)
}
