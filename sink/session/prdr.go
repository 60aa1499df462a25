package session

import (
	"bytes"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// PRDR (draft-hall-prdr): to a client that has asked for it with MAIL the end of the message is answered by a 353, by a reply for each recipient
// that was accepted, in the order of their RCPTs, as in LMTP, and by an overall reply. The replies by recipient are decided, counted and written
// down as the message's; the first and the last line follow from them, and are replies of no stage.

var (
	replyEachRecipient = smtp.Reply{Code: 353, Lines: []string{"A reply for each recipient follows"}}
	replySomeAccepted  = protocolReply(250, 0, 0, "Accepted by a recipient")
	replyNoneAccepted  = protocolReply(550, 0, 0, "Accepted by no recipient")
	replyNoneYet       = protocolReply(450, 0, 0, "Accepted by no recipient now")
)

// knowsParameter reports whether a parameter of MAIL is known beside those of the usual extensions.
func (s *Session) knowsParameter(keyword []byte) bool {
	return bytes.EqualFold(keyword, []byte(capPRDR)) || s.view.KnowsParameter(keyword)
}

// asksForPRDR reports whether PRDR is one of MAIL's parameters.
func asksForPRDR(params []byte) bool {
	for {
		p, rest, ok, _ := smtp.NextParam(params)
		if !ok {
			return false
		}
		if bytes.EqualFold(p.Key, []byte(capPRDR)) {
			return true
		}
		params = rest
	}
}

// sayOverall gives the overall reply behind that to the last recipient: yes if any was told so, not now if any may try again. Where the
// connection ends with the last reply, nothing follows.
func (s *Session) sayOverall(r *smtp.Reply) {
	tx := s.tx
	if s.cfg.LMTP {
		return
	}
	switch class := r.Code.Class(); {
	case class == 2:
		tx.accepting = replySomeAccepted.Code
	case class == 4 && tx.accepting != replySomeAccepted.Code:
		tx.accepting = replyNoneYet.Code
	}
	f := s.exchange.faults
	if tx.next+1 < len(tx.recipients) || r.Code == 421 || f != nil && f.Close.Mode != fault.CloseNone {
		return
	}
	overall := &replyNoneAccepted
	switch tx.accepting {
	case replySomeAccepted.Code:
		overall = &replySomeAccepted
	case replyNoneYet.Code:
		overall = &replyNoneYet
	}
	s.write(smtp.StageMessage, overall, false)
}
