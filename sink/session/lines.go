package session

import (
	"bytes"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxEndlessLine is how many octets a command line may have before the connection is closed, LF or no LF.
const maxEndlessLine = 64 << 10

// maxLinePiece is how many octets of a line are looked at, and perhaps kept, at a time: more than the longest line that is any good.
const maxLinePiece = 16 << 10

var crlf = []byte("\r\n")

// feedLine takes a command line, or the part of one that p holds. A line that lies in p as a whole is used in place.
func (s *Session) feedLine(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	ended := end >= 0
	if ended {
		p = p[:end+1]
	}
	if len(p) > maxLinePiece {
		p, ended = p[:maxLinePiece], false
	}
	x := s.extra
	if x != nil && x.discarded > 0 {
		return s.skipLine(p, ended)
	}
	if n := s.foreignPrefix(p); n > 0 {
		return n
	}
	line := p
	if !ended || x != nil && x.line != nil {
		x = s.more()
		if x.line == nil {
			x.line = getBuffer(&linePool, lineCapacity)
		}
		x.line.B = append(x.line.B, p...)
		line = x.line.B
	}
	if len(line) > s.lineLimit(line) {
		s.more().discarded = uint32(len(line) - len(p)) // #nosec G115 -- what came before p in a line of at most smtp.MaxAuthLine octets
		s.releaseLine()
		return s.skipLine(p, ended)
	}
	if ended {
		var kept *bytebufferpool.ByteBuffer
		if x != nil {
			kept, x.line = x.line, nil
		}
		s.takeLine(line)
		if kept != nil {
			putBuffer(&linePool, kept)
		}
	}
	return len(p)
}

// takeLine handles a line that ends in LF and is not too long.
func (s *Session) takeLine(line []byte) {
	text, ok := bytes.CutSuffix(line, crlf)
	var wrong *smtp.Reply
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		wrong = &replyNULLine
	case !ok:
		wrong = &replyBareLFLine
	case bytes.IndexByte(text, '\r') >= 0:
		wrong = &replyBareCRLine
	default:
		s.command(text)
		return
	}
	if !ok && s.state == stateCommand && smtp.ForeignRequest(text[:len(text)-1]) {
		wrong = &replyNotSMTP
	}
	s.leaveExchange() // whoever sends this does not go on with AUTH
	s.refuse(smtp.StageUnknown, wrong)
}

// foreignPrefix ends the session of a client that speaks another protocol, as soon as the line that p begins, or goes on with, shows it:
// what follows shall never be taken for commands, whatever it is. It returns how many octets of p show it; 0 when they don't.
func (s *Session) foreignPrefix(p []byte) int {
	if s.state != stateCommand {
		return 0
	}
	kept, first := 0, s.octetsIn == 0
	line := p
	if x := s.extra; x != nil && x.line != nil {
		kept = len(x.line.B)
		if kept >= smtp.MaxForeign {
			return 0
		}
		first = s.octetsIn == uint64(kept) // #nosec G115 -- a length
		var space [2 * smtp.MaxForeign]byte
		line = append(append(space[:0], x.line.B...), p[:min(len(p), smtp.MaxForeign)]...)
	}
	n := smtp.Foreign(line, first)
	if n == 0 {
		return 0
	}
	s.releaseLine()
	s.refuse(smtp.StageUnknown, &replyNotSMTP)
	return n - kept
}

// skipLine throws away a line, or part of one, that is too long, and answers once: at its end, or when it does not end.
func (s *Session) skipLine(p []byte, ended bool) int {
	x := s.more()
	room := maxEndlessLine - int(x.discarded)
	if len(p) > room || len(p) == room && !ended {
		s.refuse(smtp.StageUnknown, &replyLineTooLong)
		s.close(CloseFIN, ClosedByAbuse)
		return room
	}
	x.discarded += uint32(len(p)) // #nosec G115 -- at most room, and with it maxEndlessLine
	if ended {
		x.discarded = 0
		s.leaveExchange()
		s.refuse(smtp.StageUnknown, &replyLineTooLong)
	}
	return len(p)
}

// lineLimit returns how many octets the line that starts like this may have, CRLF included. It looks at the first
// smtp.MaxCommandLine octets only, so that it says the same of a whole line and of its beginning.
func (s *Session) lineLimit(line []byte) int {
	if len(line) <= smtp.MaxCommandLine {
		return smtp.MaxCommandLine
	}
	if s.state == stateAuth {
		return smtp.MaxAuthLine
	}
	switch smtp.ParseCommand(line[:smtp.MaxCommandLine]).Verb {
	case smtp.VerbMail, smtp.VerbRcpt, smtp.VerbSend, smtp.VerbSoml, smtp.VerbSaml:
		return smtp.MaxEnvelopeLine
	case smtp.VerbAuth:
		return smtp.MaxAuthLine
	}
	return smtp.MaxCommandLine
}
