package session

import (
	"errors"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The replies to protocol errors, and those that answer nothing. The enhanced status codes are those of RFC 5248 where it has
// the case.
var (
	replyBadLine           = protocolReply(500, 5, 2, "Syntax error, command line holds NUL, bare CR or bare LF")
	replyLineTooLong       = protocolReply(500, 5, 2, "Line too long")
	replyWrongHello        = protocolReply(500, 5, 1, "Command not recognized: this listener speaks the other protocol")
	replyHelloArgument     = protocolReply(501, 5, 4, "Syntax: name of the client after the verb")
	replyNoArguments       = protocolReply(501, 5, 4, "Syntax error, no parameters allowed")
	replyArgumentMissing   = protocolReply(501, 5, 4, "Syntax error, parameter missing")
	replyHelloFirst        = protocolReply(503, 5, 1, "Bad sequence of commands: greet first")
	replyMailFirst         = protocolReply(503, 5, 1, "Bad sequence of commands: need MAIL")
	replyRcptFirst         = protocolReply(503, 5, 1, "Bad sequence of commands: need RCPT")
	replyNested            = protocolReply(503, 5, 1, "Bad sequence of commands: nested MAIL")
	replyInTransaction     = protocolReply(503, 5, 1, "Bad sequence of commands: not within a mail transaction")
	replyAfterChunk        = protocolReply(503, 5, 1, "Bad sequence of commands: BDAT has begun")
	replyBinaryByChunks    = protocolReply(503, 5, 1, "Bad sequence of commands: BODY=BINARYMIME needs BDAT")
	replyDoomed            = protocolReply(503, 5, 1, "Bad sequence of commands: a chunk failed, need RSET")
	replyOnlyQuit          = protocolReply(503, 5, 1, "Bad sequence of commands: no service here, need QUIT")
	replyNoValidRecipients = protocolReply(554, 5, 1, "No valid recipients")
	replyTooManyRecipients = protocolReply(452, 5, 3, "Too many recipients")
	replyTooBig            = protocolReply(552, 3, 4, "Message too big for system")
	replyBareLF            = protocolReply(554, 6, 0, "Message holds bare CR or bare LF")
	replyChunkTooBig       = protocolReply(421, 3, 4, "Chunk too big, closing transmission channel")
	replyNotOffered        = protocolReply(502, 5, 1, "Command not implemented")
	replyAuthCancelled     = protocolReply(501, 7, 0, "Authentication cancelled")
	replyAuthFailed        = protocolReply(535, 7, 8, "Authentication credentials invalid")
	replyIdle              = protocolReply(421, 4, 2, "Idle timeout, closing transmission channel")
	replyShutdown          = protocolReply(421, 3, 2, "Service shutting down, closing transmission channel")
)

func protocolReply(code smtp.Code, subject, detail uint16, text string) smtp.Reply {
	return smtp.Reply{
		Code:     code,
		Enhanced: smtp.Enhanced{Class: code.Class(), Subject: subject, Detail: detail},
		Lines:    []string{text},
	}
}

// syntaxReply returns the reply to a parse error of package smtp.
func syntaxReply(err error) *smtp.Reply {
	var e *smtp.SyntaxError
	if errors.As(err, &e) {
		return e.Reply
	}
	return &replyArgumentMissing
}

// plainReply returns the reply of a stage when no rule chose one. STARTTLS and AUTH, which are not offered, are refused unless a
// rule speaks: the plain reply of its outcome then is the positive one.
func plainReply(stage smtp.Stage, cause fault.Cause) *smtp.Reply {
	if cause == fault.CausePlain && (stage == smtp.StageStartTLS || stage == smtp.StageAuth) {
		return &replyNotOffered
	}
	return fault.Plain(stage)
}

// write appends a reply to the output. Enhanced status codes appear once EHLO was said, but never in the greeting and in replies
// to HELO and EHLO.
func (s *Session) write(stage smtp.Stage, r *smtp.Reply, plain bool) {
	out := s.output()
	before := len(out.B)
	switch {
	case plain && stage == smtp.StageConnect:
		out.B = append(append(append(out.B, "220 "...), s.cfg.hostname()...), s.serviceName()...)
	case plain && stage == smtp.StageHelo:
		out.B = append(append(append(out.B, "250 "...), s.cfg.hostname()...), crlf...)
	case plain && stage == smtp.StageBdat:
		out.B = s.appendChunkReply(out.B, r)
	case stage == smtp.StageEhlo && r.Code.Class() == 2 && len(r.Lines) <= 1:
		out.B = s.appendEhlo(out.B, r, plain)
	default:
		withEnhanced := s.extended && stage != smtp.StageConnect && stage != smtp.StageHelo && stage != smtp.StageEhlo
		out.B = r.Append(out.B, withEnhanced)
	}
	s.octetsOut += uint64(len(out.B) - before)
}

func (s *Session) serviceName() string {
	if s.cfg.LMTP {
		return " LMTP smtpstorm\r\n"
	}
	return " ESMTP smtpstorm\r\n"
}

// appendChunkReply appends the positive reply to a chunk, as the examples of RFC 3030 have it.
func (s *Session) appendChunkReply(dst []byte, r *smtp.Reply) []byte {
	dst = append(dst, "250 "...)
	if s.extended {
		dst = append(r.Enhanced.Append(dst), ' ')
	}
	return append(strconv.AppendInt(dst, s.tx.chunk, 10), " octets received\r\n"...)
}

// appendEhlo appends the positive reply to EHLO or LHLO: the host name (or the text that a rule chose; a rule whose text has
// several lines is sent as it is), then one line for each extension, always in this order: PIPELINING (RFC 2920), SIZE
// (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), CHUNKING and BINARYMIME (RFC 3030), DSN (RFC 3461), ENHANCEDSTATUSCODES
// (RFC 2034), HELP (RFC 5321).
func (s *Session) appendEhlo(dst []byte, r *smtp.Reply, plain bool) []byte {
	text := ""
	switch {
	case plain:
		text = s.cfg.hostname()
	case len(r.Lines) == 1:
		text = r.Lines[0]
	}
	dst = append(append(appendContinued(dst, r.Code), text...), crlf...)
	dst = append(appendContinued(dst, r.Code), "PIPELINING\r\n"...)
	dst = append(appendContinued(dst, r.Code), "SIZE "...)
	dst = append(strconv.AppendInt(dst, s.cfg.maxSize(), 10), crlf...)
	for _, keyword := range extensions {
		dst = append(append(appendContinued(dst, r.Code), keyword...), crlf...)
	}
	dst = strconv.AppendUint(dst, uint64(r.Code), 10)
	return append(dst, " HELP\r\n"...)
}

var extensions = [...]string{"8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "ENHANCEDSTATUSCODES"}

func appendContinued(dst []byte, code smtp.Code) []byte {
	return append(strconv.AppendUint(dst, uint64(code), 10), '-')
}
