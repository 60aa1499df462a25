package smtp

import "bytes"

// cutPath parses the path at the start of args: what stands between FROM: or TO: and the parameters. It returns the path
// without its angle brackets and without a source route, which RFC 5321 appendix C says to accept and ignore.
//
// Angle brackets may be missing, as Postfix accepts with its default strict_rfc821_envelopes=no; the path then ends at the first
// blank outside a quoted string. Comments and display names, which Postfix also accepts there, are not.
func cutPath(args []byte) (path, rest []byte, ok bool) {
	if len(args) == 0 {
		return nil, nil, false
	}
	bracketed := args[0] == '<'
	if bracketed {
		args = args[1:]
	}
	end := endOfPath(args, bracketed)
	if end > len(args) {
		return nil, nil, false
	}
	path, rest = args[:end], args[end:]
	if bracketed {
		if len(rest) == 0 || rest[0] != '>' {
			return nil, nil, false
		}
		rest = rest[1:]
	}
	if len(rest) > 0 && !isBlank(rest[0]) {
		return nil, nil, false
	}
	if path, ok = cutRoute(path); !ok {
		return nil, nil, false
	}
	return path, trimLeft(rest), true
}

// endOfPath returns where the path ends at the latest: at ">", a blank or the end of args. It is greater than len(args) when a
// quoted string ends in a backslash. A blank in angle brackets without a quoted string is left to those who look at the path.
func endOfPath(args []byte, bracketed bool) int {
	if bracketed {
		if end := bytes.IndexByte(args, '>'); end >= 0 && bytes.IndexByte(args[:end], '"') < 0 {
			return end
		}
	}
	end := 0
	for quoted := false; end < len(args); end++ {
		c := args[end]
		if quoted && c == '\\' {
			end++
		} else if c == '"' {
			quoted = !quoted
		} else if !quoted && (c == '>' || isBlank(c)) {
			break
		}
	}
	return end
}

// cutRoute drops a source route, "@a,@b:", from the start of a path.
func cutRoute(path []byte) (mailbox []byte, ok bool) {
	if len(path) == 0 || path[0] != '@' {
		return path, true
	}
	colon := bytes.IndexByte(path, ':')
	if colon < 0 {
		return nil, false
	}
	route, mailbox := path[:colon], path[colon+1:]
	for more := true; more; {
		var hop []byte
		hop, route, more = bytes.Cut(route, comma)
		if len(hop) == 0 || hop[0] != '@' || !validDomain(hop[1:]) {
			return nil, false
		}
	}
	return mailbox, len(mailbox) > 0
}

// validMailbox reports whether mailbox is local-part@domain, or a local part alone: RFC 5321 allows that for postmaster only,
// Postfix accepts it for every name and completes it.
//
// A local part is a quoted string or any sequence of atom characters, dots and UTF-8: dots at an end and two in a row are
// forbidden by RFC 5321 section 4.1.2 but exist in real addresses, and Postfix accepts them.
func validMailbox(mailbox []byte) bool {
	rest, ok := cutLocalPart(mailbox)
	if !ok {
		return false
	}
	return len(rest) == 0 || rest[0] == '@' && validDomain(rest[1:])
}

func cutLocalPart(mailbox []byte) (rest []byte, ok bool) {
	if len(mailbox) > 0 && mailbox[0] == '"' {
		return cutQuoted(mailbox[1:])
	}
	i := 0
	for i < len(mailbox) && octets[mailbox[i]]&inLocalPart != 0 {
		i++
	}
	return mailbox[i:], i > 0
}

// cutQuoted skips a quoted string whose opening quote is gone already.
func cutQuoted(text []byte) (rest []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			return text[i+1:], true
		case c == '\\':
			i++
			if i == len(text) || text[i] < ' ' || text[i] >= 0x7f {
				return nil, false
			}
		case c < ' ' || c == 0x7f:
			return nil, false
		}
	}
	return nil, false
}

// validDomain reports whether domain is an address literal or dot-separated labels. Labels may hold "_", which real host names
// do, and UTF-8 (RFC 6531 section 3.3).
func validDomain(domain []byte) bool {
	if len(domain) == 0 {
		return false
	}
	if domain[0] == '[' {
		return validLiteral(domain)
	}
	label := 0
	for i, c := range domain {
		switch {
		case c == '.' || c == '-':
			if label == 0 {
				return false
			}
			if c == '.' {
				if domain[i-1] == '-' {
					return false
				}
				label = 0
				continue
			}
		case octets[c]&inLabel == 0:
			return false
		}
		label++
	}
	return label > 0 && domain[len(domain)-1] != '-'
}

// validLiteral reports whether literal has the form of an address literal: printable characters within "[" and "]" (RFC 5321
// section 4.1.3). What they say is not judged: nothing is ever delivered there.
func validLiteral(literal []byte) bool {
	if len(literal) < 3 || literal[len(literal)-1] != ']' {
		return false
	}
	for _, c := range literal[1 : len(literal)-1] {
		if c <= ' ' || c >= 0x7f || c == '[' || c == ']' || c == '\\' {
			return false
		}
	}
	return true
}

// isASCII reports whether b has no octet above 127.
func isASCII(b []byte) bool { return orAll(b)&bit7 == 0 }
