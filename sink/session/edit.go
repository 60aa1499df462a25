package session

import (
	"bytes"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// overLong is how many octets the last line of an over-long reply has: more than any client must take (RFC 5321 section 4.5.3.1.5 has
// 512), and more than those take who are generous.
const overLong = 16 << 10

// replaceCode replaces the code of a reply by one that has no meaning at the stage, if a fault has it so. The state then follows from
// the code that is sent.
func (s *Session) replaceCode(stage smtp.Stage) {
	e := s.exchange
	if e.faults.Malformed != fault.MalformedWrongCode {
		return
	}
	e.wrong = smtp.Reply{Code: 354, Lines: e.decision.Reply.Lines, Template: e.decision.Reply.Template}
	if stage == smtp.StageData {
		e.wrong.Code = 220
	}
	e.plain, e.decision.Reply = false, &e.wrong
}

// edit does to the reply at the end of the output, from before on, what the outcome's faults have done to it. It returns how many octets of
// it go out at a time; 0 is all.
func (s *Session) edit(before int) (size int) {
	f, out := s.exchange.faults, s.out.buffer
	if f.Raw != nil {
		s.out.count(before - len(out.B))
		out.B = append(out.B[:before], f.Raw...)
		s.out.count(len(f.Raw))
	}
	if f.Malformed != fault.MalformedNone {
		s.out.count(before - len(out.B))
		out.B = malform(out.B, before, f.Malformed)
		s.out.count(len(out.B) - before)
	}
	n := len(out.B) - before
	switch {
	case n == 0:
		return 0
	case f.Cut.Octets > 0:
		return max(min(f.Cut.Octets, n-1), 1)
	case f.Split.Packets > 0:
		return max((n+f.Split.Packets-1)/f.Split.Packets, 1)
	}
	return f.Dribble.Octets
}

// takePieces takes the reply at the end of the output, from before on, to send it so many octets at a time.
func (s *Session) takePieces(before, size int) {
	out := s.out.buffer
	s.more().pieces.split(out.B[before:], size)
	s.out.count(before - len(out.B))
	out.B = out.B[:before]
}

// malform breaks the syntax of the reply at the end of b, from reply on (RFC 5321 section 4.2).
func malform(b []byte, reply int, how fault.Malformation) []byte {
	switch how {
	case fault.MalformedBadCode:
		for line := reply; line < len(b); line += lineLength(b[line:]) {
			b[line+1], b[line+2] = 'x', 'x'
		}
	case fault.MalformedNoCode:
		to := reply
		for line := reply; line < len(b); {
			n := lineLength(b[line:])
			to += copy(b[to:], b[line+len("250 "):line+n])
			line += n
		}
		b = b[:to]
	case fault.MalformedMissingCRLF:
		b = b[:len(b)-len(crlf)]
	case fault.MalformedOverLong:
		b = b[:len(b)-len(crlf)]
		last := bytes.LastIndexByte(b[reply:], '\n') + 1 + reply
		for len(b)-last < overLong-len(crlf) {
			b = append(b, 'x')
		}
		b = append(b, crlf...)
	case fault.MalformedMixedCodes:
		b = mixCodes(b, reply)
	}
	return b
}

// mixCodes gives the first line of a reply another code than the last, which alone says what happened. A reply of one line gets a line
// before it.
func mixCodes(b []byte, reply int) []byte {
	if n := lineLength(b[reply:]); reply+n == len(b) {
		b = append(b, b[reply:]...)
		b[reply+len("250")] = '-'
	}
	if b[reply] == '4' {
		b[reply] = '5'
	} else {
		b[reply] = '4'
	}
	return b
}

// announcesKeyword reports whether a reply to EHLO, octet for octet as it is sent, announces an extension (RFC 5321 section 4.1.1.1): on a
// line of its own behind the first, which has the server's name, with a positive code and whole. A client that reads no such line doesn't
// know of it.
func announcesKeyword(reply []byte, name string) bool {
	for first := true; len(reply) > 0; first = false {
		n := lineLength(reply)
		if n == 0 {
			return false
		}
		line := bytes.TrimSuffix(reply[:n], crlf)
		reply = reply[n:]
		if first || len(line) < len("250 ")+len(name) || line[0] != '2' || line[3] != ' ' && line[3] != '-' {
			continue
		}
		keyword, _, _ := bytes.Cut(line[len("250 "):], []byte{' '})
		if strings.EqualFold(string(keyword), name) && isDigit(line[1]) && isDigit(line[2]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func lineLength(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }
