package smtp

// AppendXText appends text to dst in xtext (RFC 3461 section 4): printable ASCII stands for itself, but "+", "=" and every
// other octet become "+" and two hexadecimal digits.
func AppendXText(dst, text []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range text {
		if isXChar(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '+', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// DecodeXText appends what xtext stands for to dst. ok is false, and nothing is appended, when xtext is malformed.
// dst may be xtext[:0]: the result is never longer than what it was decoded from.
func DecodeXText(dst, xtext []byte) (decoded []byte, ok bool) {
	if !validXText(xtext) {
		return dst, false
	}
	for i := 0; i < len(xtext); i++ {
		if xtext[i] != '+' {
			dst = append(dst, xtext[i])
			continue
		}
		dst = append(dst, unhex(xtext[i+1])<<4|unhex(xtext[i+2]))
		i += 2
	}
	return dst, true
}

func isXChar(c byte) bool { return '!' <= c && c <= '~' && c != '+' && c != '=' }

func validXText(xtext []byte) bool {
	for i := 0; i < len(xtext); i++ {
		if xtext[i] == '+' {
			if i+2 >= len(xtext) || !isHex(xtext[i+1]) || !isHex(xtext[i+2]) {
				return false
			}
			i += 2
		} else if !isXChar(xtext[i]) {
			return false
		}
	}
	return true
}

// isHex reports whether c is a digit or a capital A to F; RFC 3461 allows no other.
func isHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'A' + 10
}
