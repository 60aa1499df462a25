package session

import (
	"errors"
	"slices"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The replies to protocol errors, and those that answer nothing. The enhanced status codes are those of RFC 5248 where it has
// the case.
var (
	replyBareLFLine        = protocolReply(500, 5, 2, "Line ends with a bare LF: SMTP lines end with CRLF")
	replyBareCRLine        = protocolReply(500, 5, 2, "Syntax error, command line holds a bare CR")
	replyNULLine           = protocolReply(500, 5, 2, "Syntax error, command line holds NUL")
	replyNotSMTP           = protocolReply(421, 7, 0, "This is another protocol than SMTP, closing transmission channel")
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
	replyTooManyMails      = protocolReply(421, 7, 0, "Too many messages in this session, closing transmission channel")
	replyTooManyDomains    = protocolReply(452, 5, 3, "Too many recipient domains in this session")
	replyNoXClient         = protocolReply(550, 7, 0, "Insufficient authorization")
	replyUnknownParameter  = protocolReply(555, 5, 4, "MAIL FROM/RCPT TO parameters not recognized or not implemented")
	replyNoRequireTLS      = protocolReply(550, 7, 30, "REQUIRETLS support required")
	replyTooBig            = protocolReply(552, 3, 4, "Message too big for system")
	replyBareLF            = protocolReply(554, 6, 0, "Message holds bare CR or bare LF")
	replyChunkTooBig       = protocolReply(421, 3, 4, "Chunk too big, closing transmission channel")
	replyNotOffered        = protocolReply(502, 5, 1, "Command not implemented")
	replyReadyForTLS       = protocolReply(220, 0, 0, "Ready to start TLS")
	replySecureAlready     = protocolReply(503, 5, 1, "Bad sequence of commands: TLS is active")
	replySecureFirst       = protocolReply(530, 7, 0, "Must issue a STARTTLS command first")
	replyAuthFirst         = protocolReply(530, 7, 0, "Authentication required")
	replyAuthTwice         = protocolReply(503, 5, 1, "Bad sequence of commands: authenticated already")
	replyAuthNeedsTLS      = protocolReply(538, 7, 11, "Encryption required for requested authentication mechanism")
	replyAuthUnavailable   = protocolReply(454, 7, 0, "Temporary authentication failure")
	replyAuthCancelled     = protocolReply(501, 7, 0, "Authentication cancelled")
	replyAuthenticated     = protocolReply(235, 7, 0, "Authentication succeeded")
	replyAuthFailed        = protocolReply(535, 7, 8, "Authentication credentials invalid")
	replyUnknownMechanism  = protocolReply(504, 5, 4, "Unrecognized authentication type")
	replyNotBase64         = protocolReply(501, 5, 2, "Cannot decode the response: not base64")
	replyBadResponse       = protocolReply(501, 5, 2, "Cannot decode the response")
	replyNotCommitted      = protocolReply(451, 3, 0, "Message could not be stored, try again later")
	replyNoRoom            = protocolReply(452, 3, 1, "Insufficient system storage, try again later")
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

// write appends a reply to the output. Enhanced status codes appear once EHLO was said, but never in the greeting and in replies
// to HELO and EHLO.
func (s *Session) write(stage smtp.Stage, r *smtp.Reply, plain bool) {
	out := s.out.open(s.env.Scratch)
	before := len(out.B)
	switch {
	case plain && (stage == smtp.StageConnect || stage == smtp.StagePregreet):
		out.B = append(append(append(out.B, "220 "...), s.cfg.hostname()...), s.serviceName()...)
	case plain && stage == smtp.StageHelo:
		out.B = append(append(append(out.B, "250 "...), s.cfg.hostname()...), crlf...)
	case plain && stage == smtp.StageBdat:
		out.B = s.appendChunkReply(out.B, r)
	case stage == smtp.StageEhlo && r.Code.Class() == 2 && s.announces():
		out.B = s.appendEhlo(out.B, r, plain)
	default:
		withEnhanced := s.givesEnhanced(stage)
		if plain && r == fault.Plain(stage) {
			out.B = append(out.B, plainTexts[stage][btoi(withEnhanced)]...)
		} else {
			out.B = r.Append(out.B, withEnhanced)
		}
	}
	s.out.count(len(out.B) - before)
}

// givesEnhanced reports whether replies at the stage have enhanced status codes: not before EHLO has announced them, and never in the
// greeting and in replies to HELO and EHLO (RFC 2034 section 4).
func (s *Session) givesEnhanced(stage smtp.Stage) bool {
	return s.announced.enhanced && stage != smtp.StageConnect && stage != smtp.StagePregreet && stage != smtp.StageHelo && stage != smtp.StageEhlo
}

// enhancedOf returns the enhanced status code of a reply as it stands on the wire.
func (s *Session) enhancedOf(stage smtp.Stage, r *smtp.Reply) smtp.Enhanced {
	if !s.givesEnhanced(stage) {
		return smtp.Enhanced{}
	}
	return r.Enhanced
}

// plainTexts are the plain replies as they go over the wire, without and with enhanced status codes.
var plainTexts = func() (texts [smtp.NumStages][2]string) {
	for stage := range texts {
		r := fault.Plain(smtp.Stage(stage))
		texts[stage] = [...]string{string(r.Append(nil, false)), string(r.Append(nil, true))}
	}
	return texts
}()

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
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
	if s.announced.enhanced {
		dst = append(r.Enhanced.Append(dst), ' ')
	}
	return append(strconv.AppendInt(dst, s.tx.last, 10), " octets received\r\n"...)
}

// announces reports whether capabilities stand below the words of the reply to EHLO that was decided. A rule's own words are the whole
// reply, unless the rule says what is announced besides.
func (s *Session) announces() bool {
	c := s.exchange.decision.Chosen
	return c == nil || !c.OwnText || c.Capabilities != nil || len(c.Missing) > 0
}

// appendEhlo appends the positive reply to EHLO or LHLO: the host name, or the words that a rule chose, then one line for each
// capability that the rule chose, or for each extension but those that a fault leaves out, always in this order: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), CHUNKING and BINARYMIME (RFC 3030), DSN
// (RFC 3461), ENHANCEDSTATUSCODES (RFC 2034), LIMITS (RFC 9422), REQUIRETLS (RFC 8689), PRDR (draft-hall-prdr), STARTTLS (RFC 3207) and AUTH (RFC 4954) while they are offered, HELP (RFC 5321).
func (s *Session) appendEhlo(dst []byte, r *smtp.Reply, plain bool) []byte {
	last := len(dst)
	if plain {
		dst = append(append(appendContinued(dst, r.Code), s.cfg.hostname()...), crlf...)
	}
	if !plain {
		for _, text := range r.Lines {
			last = len(dst)
			dst = append(append(appendContinued(dst, r.Code), text...), crlf...)
		}
	}
	if f := s.exchange.faults; f != nil && f.Capabilities != nil && !f.Capabilities.All {
		for _, line := range f.Capabilities.Lines {
			last = len(dst)
			dst = append(append(appendContinued(dst, r.Code), line...), crlf...)
		}
		dst[last+len("250")] = ' '
		return dst
	}
	for _, keyword := range extensions {
		if s.missing(keyword) || !s.offers(keyword) {
			continue
		}
		last = len(dst)
		dst = append(appendContinued(dst, r.Code), keyword...)
		switch keyword {
		case capSize:
			dst = strconv.AppendInt(append(dst, ' '), s.cfg.maxSize(), 10)
		case capXClient:
			dst = append(dst, smtp.XClientKeyword[len(capXClient):]...)
		case capLimits:
			dst = append(append(dst, ' '), s.cfg.Service.Limits.String()...)
		case capAuth:
			for _, mechanism := range s.mechanisms() {
				if s.offersMechanism(mechanism) {
					dst = append(append(dst, ' '), mechanism...)
				}
			}
		}
		dst = append(dst, crlf...)
	}
	dst[last+len("250")] = ' '
	return dst
}

// The extensions that are treated in a way of their own.
const (
	capSize     = "SIZE"
	capEnhanced = "ENHANCEDSTATUSCODES"
	cap8BitMIME = "8BITMIME"
	capStartTLS = "STARTTLS"
	capAuth     = "AUTH"

	capLimits     = "LIMITS"
	capRequireTLS = "REQUIRETLS"
	capXClient    = "XCLIENT"
	capPRDR       = "PRDR"
)

var extensions = [...]string{
	"PIPELINING", capSize, cap8BitMIME, "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", capEnhanced, capLimits, capRequireTLS, capPRDR, capStartTLS, capAuth, capXClient, "HELP",
}

// offers reports whether an extension is offered now.
func (s *Session) offers(keyword string) bool {
	switch keyword {
	case capStartTLS:
		return s.offersTLS()
	case capAuth:
		return s.offersAuth()
	case capXClient:
		return s.announcesXClient()
	case capPRDR:
		return s.cfg.Service.PRDR && !s.cfg.LMTP
	case capLimits:
		return s.cfg.Service.Limits != fault.ServiceLimits{}
	case capRequireTLS:
		return s.cfg.Service.RequireTLS != fault.RequireTLSOff && s.secure
	}
	return true
}

// missing reports whether a fault leaves the extension out of the reply to EHLO that was decided.
func (s *Session) missing(keyword string) bool {
	f := s.exchange.faults
	return f != nil && slices.Contains(f.Missing, keyword)
}

func appendContinued(dst []byte, code smtp.Code) []byte {
	return append(strconv.AppendUint(dst, uint64(code), 10), '-')
}
