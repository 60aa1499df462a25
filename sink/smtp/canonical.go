package smtp

import (
	"bytes"
	"net/netip"

	"golang.org/x/net/idna"
)

// AppendAddress appends the canonical form of an address without angle brackets: two addresses are the same when their canonical forms
// are. Its local part is without needless quotes and escapes (RFC 5321 section 4.1.2), its domain as AppendDomain writes it. The case of
// local parts tells addresses apart (RFC 5321 section 2.4), but for postmaster (section 4.5.1) and names without a domain, of which
// postmaster is the only one that the RFC has (section 4.1.1.3). What is no address is taken as it is, with what follows the last @ for its
// domain. It does not allocate when dst has room, unless the
// domain has U-labels or is an address literal.
func AppendAddress(dst, address []byte) []byte {
	local, domain, hasDomain := splitAddress(address)
	at := len(dst)
	if dst = appendLocalPart(dst, local); !hasDomain {
		lower(dst[at:])
		return dst
	}
	if len(dst)-at == len(postmaster) && equalFold(dst[at:], postmaster) {
		lower(dst[at:])
	}
	return AppendDomain(append(dst, '@'), domain)
}

const postmaster = "POSTMASTER"

// SameAddress reports whether two addresses are the same.
func SameAddress(a, b []byte) bool {
	var spaceA, spaceB [320]byte
	return bytes.Equal(AppendAddress(spaceA[:0], a), AppendAddress(spaceB[:0], b))
}

// splitAddress returns the local part, with its quotes, and the domain.
func splitAddress(address []byte) (local, domain []byte, hasDomain bool) {
	if len(address) > 0 && address[0] == '"' {
		if rest, ok := cutQuoted(address[1:]); ok && len(rest) == 0 {
			return address, nil, false
		} else if ok && rest[0] == '@' {
			return address[:len(address)-len(rest)], rest[1:], true
		}
	}
	if i := bytes.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i+1:], true
	}
	return address, nil, false
}

// appendLocalPart appends a local part. A quoted string loses its quotes where it needs none, and the escapes that it doesn't need.
func appendLocalPart(dst, local []byte) []byte {
	n := len(local)
	if n < 2 || local[0] != '"' || local[n-1] != '"' {
		return append(dst, local...)
	}
	if rest, ok := cutQuoted(local[1:]); !ok || len(rest) > 0 {
		return append(dst, local...)
	}
	content := local[1 : n-1]
	needed := len(content) == 0
	for i := 0; i < len(content); i++ {
		if content[i] == '\\' {
			i++
		}
		needed = needed || octets[content[i]]&inLocalPart == 0
	}
	if needed {
		dst = append(dst, '"')
	}
	for i := 0; i < len(content); i++ {
		if content[i] == '\\' {
			i++
		}
		if c := content[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, content[i])
	}
	if needed {
		dst = append(dst, '"')
	}
	return dst
}

// AppendDomain appends the canonical form of a domain or a host name: in lower case, with A-labels (RFC 5890 section 2.3.2.1), without a
// final dot; of an address literal that of its value. It allocates for U-labels and address literals only.
func AppendDomain(dst, domain []byte) []byte {
	if n := len(domain); n > 2 && domain[0] == '[' && domain[n-1] == ']' {
		return appendLiteral(dst, domain[1:n-1])
	}
	if n := len(domain); n > 1 && domain[n-1] == '.' {
		domain = domain[:n-1]
	}
	if !isASCII(domain) {
		if labels, err := idna.Lookup.ToASCII(string(domain)); err == nil {
			return append(dst, labels...)
		}
	}
	at := len(dst)
	dst = append(dst, domain...)
	lower(dst[at:])
	return dst
}

// appendLiteral appends an address literal (RFC 5321 section 4.1.3): by value, if it is an IP address.
func appendLiteral(dst, literal []byte) []byte {
	const tag = "IPV6:"
	text := literal
	if len(text) > len(tag) && equalFold(text[:len(tag)], tag) {
		text = text[len(tag):]
	}
	dst = append(dst, '[')
	if ip, err := netip.ParseAddr(string(text)); err == nil {
		dst = ip.AppendTo(dst)
	} else {
		at := len(dst)
		dst = append(dst, literal...)
		lower(dst[at:])
	}
	return append(dst, ']')
}

// lower lowers ASCII letters in place.
func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
}
