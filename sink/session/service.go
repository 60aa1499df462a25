package session

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// serviceRefusal returns why the MAIL that has opened the transaction is refused by what its listener says of LIMITS (RFC 9422) and REQUIRETLS
// (RFC 8689), or nil.
func (s *Session) serviceRefusal() *smtp.Reply {
	switch most := s.cfg.Service.Limits.MailMax; {
	case most > 0 && int64(s.messages) > int64(most):
		return &replyTooManyMails
	case !s.exchange.mail.RequireTLS:
		return nil
	case !s.secure: // it was not announced, and can't be kept
		return &replySecureFirst
	case s.cfg.Service.RequireTLS == fault.RequireTLSRefuse:
		return &replyNoRequireTLS
	}
	return nil
}

// domainFits reports whether a recipient of the address's domain is within the listener's RCPTDOMAINMAX.
func (s *Session) domainFits(address []byte) bool {
	return s.extra == nil || len(s.extra.domains) < s.cfg.Service.Limits.RcptDomainMax || slices.Contains(s.extra.domains, hashDomain(address))
}

// noteDomain counts the domain of a recipient that was accepted.
func (s *Session) noteDomain(address []byte) {
	if s.cfg.Service.Limits.RcptDomainMax == 0 {
		return
	}
	hash := hashDomain(address)
	if x := s.lasting(); !slices.Contains(x.domains, hash) {
		x.domains = append(x.domains, hash)
	}
}

func hashDomain(address []byte) uint64 {
	var space [320]byte
	return xxhash.Sum64(smtp.AppendDomain(space[:0], smtp.DomainOf(address)))
}
