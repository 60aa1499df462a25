package session

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// feedLine takes octets of command lines, and does what the line says that they end.
func (s *Session) feedLine(p []byte) int {
	var empty framing
	f := &empty
	if s.extra != nil {
		f = &s.extra.framing
	}
	n, kind, text := f.next(p, s.octetsIn, s.state == stateAuth, s.cfg.maxLine())
	switch kind {
	case lineUnfinished:
		if f == &empty {
			s.more().framing = empty
		}
	case lineGood:
		s.command(text)
	default:
		s.endAuth() // whoever sends this does not go on with AUTH
		s.refuse(smtp.StageUnknown, badLines[kind])
		if kind == lineEndless {
			s.close(CloseFIN, ClosedByAbuse)
		}
	}
	f.release()
	return n
}

// badLines are the replies to lines that are no commands.
var badLines = [...]*smtp.Reply{
	lineNUL: &replyNULLine, lineBareLF: &replyBareLFLine, lineBareCR: &replyBareCRLine, lineTooLong: &replyLineTooLong,
	lineEndless: &replyLineTooLong, lineForeign: &replyNotSMTP,
}

// command handles one command line without its CRLF.
func (s *Session) command(line []byte) {
	s.exchange.begin()
	if s.state == stateAuth {
		s.authResponse(line)
		return
	}
	c := smtp.ParseCommand(line)
	stage := c.Verb.Stage()
	if c.Verb == smtp.VerbUnknown && smtp.ForeignRequest(line) {
		s.refuse(stage, &replyNotSMTP)
		return
	}
	switch c.Verb {
	case smtp.VerbQuit: // RFC 5321 section 4.1.1: QUIT has no parameters
		s.answerUnless(stage, len(c.Args) > 0, &replyNoArguments)
		return
	case smtp.VerbBdat: // its octets follow, whatever the answer
		s.bdat(c.Args)
		return
	case smtp.VerbRcpt: // each leaves a row, whatever the answer
		s.rcpt(c.Args)
		return
	}
	if r := s.barred(c.Verb); r != nil {
		s.refuse(stage, r)
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
	case smtp.VerbXClient:
		s.xclient(c.Args)
	default: // HELP and NOOP take any argument; TURN and the unknown are refused with any
		s.answer(stage)
	}
}

// barred returns why a command is refused whatever it says, or nil.
func (s *Session) barred(v smtp.Verb) *smtp.Reply {
	switch {
	case s.refused:
		return &replyOnlyQuit
	case s.cfg.RequireTLS && !s.secure && s.cfg.TLS == TLSStart:
		switch v { // RFC 3207 section 4
		case smtp.VerbNoop, smtp.VerbEhlo, smtp.VerbLhlo, smtp.VerbStartTLS:
			return nil
		}
		return &replySecureFirst
	case s.cfg.RequireAuth && !s.authenticated && s.env.Auth != nil:
		switch v { // RFC 4954 section 6
		case smtp.VerbMail, smtp.VerbSend, smtp.VerbSoml, smtp.VerbSaml, smtp.VerbVrfy, smtp.VerbExpn, smtp.VerbEtrn, smtp.VerbData:
			return &replyAuthFirst
		}
	}
	return nil
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
		s.exchange.helo = append(s.exchange.helo[:0], c.Args...)
		s.answer(stage)
	}
}
