package fault

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// KeyText names an occurrence's key for people: the identities that the scope is made of, with blanks between, as AppendKey compares them.
// A unix socket is "unix", the null sender "<>", and everybody together "all". What is no UTF-8 is replaced by U+FFFD.
func (s Scope) KeyText(o *Occurrence) string {
	var space [512]byte
	text := space[:0]
	for _, one := range s.Identities() {
		if len(text) > 0 {
			text = append(text, ' ')
		}
		switch {
		case one == ScopeClient:
			text = appendClientText(text, o.Client)
		case one.Has(scopeNetwork):
			if network := one.network(o.Client); network.IsValid() {
				text = network.AppendTo(text)
			} else {
				text = appendClientText(text, netip.Addr{})
			}
		case one == ScopeHelo:
			text = smtp.AppendDomain(text, o.Helo)
		case one == ScopeConnection:
			text = strconv.AppendUint(text, o.Connection, 10)
		case one == ScopeSender:
			text = appendAddressText(text, o.Sender)
		case one == ScopeSenderDomain && len(o.Sender) == 0:
			text = append(text, "<>"...)
		case one == ScopeSenderDomain:
			text = smtp.AppendDomain(text, smtp.DomainOf(o.Sender))
		case one == ScopeRecipient:
			text = appendAddressText(text, o.Recipient)
		case one == ScopeRecipientDomain:
			text = smtp.AppendDomain(text, smtp.DomainOf(o.Recipient))
		case one == ScopeAll:
			text = append(text, "all"...)
		}
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}

func appendClientText(dst []byte, client netip.Addr) []byte {
	if !client.IsValid() {
		return append(dst, "unix"...)
	}
	return client.Unmap().AppendTo(dst)
}

func appendAddressText(dst, address []byte) []byte {
	if len(address) == 0 {
		return append(dst, "<>"...)
	}
	return smtp.AppendAddress(dst, address)
}
