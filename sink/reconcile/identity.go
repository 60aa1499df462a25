package reconcile

import (
	"bytes"
	"net/netip"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxID is how much of an identity counts, in claims and rows alike: what a row holds.
const maxID = ledger.MaxValue

// appendAddress appends the canonical form of an address (docs/books.md, Identity): without angle brackets, the local part without
// its quotes and escapes (RFC 5321 section 4.1.2), the domain in lower case, as A-label, without a final dot; address literals by
// value. Two addresses are the same when their canonical forms are. The last @ of the form ends the local part, since no domain
// holds one.
func appendAddress(dst, address []byte) []byte {
	address = unbracket(cut(address))
	local, domain, quoted := splitAddress(address)
	if quoted {
		dst = appendUnquoted(dst, local)
	} else {
		dst = append(dst, local...)
	}
	if len(domain) == 0 {
		return dst
	}
	return appendDomain(append(dst, '@'), domain[1:])
}

func cut(id []byte) []byte {
	if len(id) > maxID {
		return id[:maxID]
	}
	return id
}

// unbracket drops angle brackets. Of an identity that was cut the closing one is missing.
func unbracket(id []byte) []byte {
	n := len(id)
	if n >= 2 && id[0] == '<' && (id[n-1] == '>' || n == maxID) {
		id = bytes.TrimSuffix(id[1:], closing)
	}
	return id[:min(len(id), maxID-len("<>"))]
}

var closing = []byte{'>'}

// splitAddress returns the local part and "@domain". Of a well-formed quoted string the local part is what stands between the quotes.
func splitAddress(address []byte) (local, domain []byte, quoted bool) {
	if len(address) > 0 && address[0] == '"' {
		for i := 1; i < len(address); i++ {
			if address[i] == '\\' {
				i++
			} else if address[i] == '"' {
				if i+1 == len(address) || address[i+1] == '@' {
					return address[1:i], address[i+1:], true
				}
				break
			}
		}
	}
	if i := bytes.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i:], false
	}
	return address, nil, false
}

func appendUnquoted(dst, content []byte) []byte {
	for i := 0; i < len(content); i++ {
		if content[i] == '\\' && i+1 < len(content) {
			i++
		}
		dst = append(dst, content[i])
	}
	return dst
}

func appendDomain(dst, domain []byte) []byte {
	if n := len(domain); n > 2 && domain[0] == '[' && domain[n-1] == ']' {
		return appendLiteral(dst, domain[1:n-1])
	}
	if n := len(domain); n > 1 && domain[n-1] == '.' {
		domain = domain[:n-1]
	}
	for _, c := range domain {
		if c >= utf8.RuneSelf {
			if label, err := idna.Lookup.ToASCII(string(domain)); err == nil {
				return append(dst, label...)
			}
			break
		}
	}
	return appendLower(dst, domain)
}

// appendLiteral appends an address literal (RFC 5321 section 4.1.3): by value, if it is an IP address.
func appendLiteral(dst, literal []byte) []byte {
	const tag = "ipv6:"
	text := literal
	if len(text) > len(tag) && bytes.EqualFold(text[:len(tag)], []byte(tag)) {
		text = text[len(tag):]
	}
	dst = append(dst, '[')
	if ip, err := netip.ParseAddr(string(text)); err == nil {
		dst = ip.AppendTo(dst)
	} else {
		dst = appendLower(dst, literal)
	}
	return append(dst, ']')
}

func appendLower(dst, text []byte) []byte {
	for _, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendID appends the canonical form of a token, an X-Storm-Id or a Message-ID: that of an address if it has the form of one.
func appendID(dst, id []byte) []byte {
	id = unbracket(bytes.TrimSpace(cut(id)))
	if bytes.IndexByte(id, '@') < 0 {
		return append(dst, id...)
	}
	return appendAddress(dst, id)
}

// sameButForCase reports whether two canonical addresses differ in the case of their local parts at most.
func sameButForCase(a, b []byte) bool { return len(a) == len(b) && bytes.EqualFold(a, b) }

// decodeORCPT returns the address of an ORCPT parameter, "rfc822;xtext" (RFC 3461 section 4.2), in dst.
func decodeORCPT(dst, orcpt []byte) ([]byte, bool) {
	kind, text, ok := bytes.Cut(orcpt, []byte(";"))
	if !ok || !(bytes.EqualFold(kind, []byte("rfc822")) || bytes.EqualFold(kind, []byte("utf-8"))) {
		return dst, false
	}
	decoded, ok := smtp.DecodeXText(dst, text)
	if !ok {
		return append(dst, text...), true
	}
	return decoded, true
}
