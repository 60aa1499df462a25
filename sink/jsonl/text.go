package jsonl

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Octets that are not UTF-8 become lone low surrogates \udc80 to \udcff, as Python's
// surrogateescape does (PEP 383), so that any address survives the way there and back.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst, _ = AppendStringUpTo(dst, s, len(s)*LongestEscape)
	return dst
}

// LongestEscape is how many octets the longest escape of one octet has.
const LongestEscape = len(`\u0000`)

// AppendStringUpTo appends as much of s as fits in a number of octets between the quotes, and returns how much of s that was.
func AppendStringUpTo[T string | []byte](dst []byte, s T, most int) ([]byte, int) {
	dst = append(dst, '"')
	start, i := 0, 0
	end, mayEnd := len(dst)+most, len(s)*LongestEscape > most
	for i < len(s) {
		if mayEnd && len(dst)+i-start > end-LongestEscape && len(dst)+len(s)-start > end {
			break // the next could be an escape that is too long, and the rest does not fit as it is
		}
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if n := runeLen(s[i:]); n > 0 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\udc`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
		}
		i++
		start = i
	}
	dst = append(dst, s[start:i]...)
	return append(dst, '"'), i
}

// AppendHash appends n as a string of 16 lower-case hexadecimal digits.
func AppendHash(dst []byte, n uint64) []byte {
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// runeLen returns the length of the well-formed UTF-8 sequence that s starts with, 0 when there is none.
func runeLen[T string | []byte](s T) int {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	r, size := utf8.DecodeRune(b[:n])
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

var (
	errEscape  = errors.New("invalid escape in a string")
	errControl = errors.New("control character in a string")
	errUTF8    = errors.New("a string is not UTF-8")
)

// appendUnescaped appends what the inside of a JSON string means; the inverse of AppendString. It appends at most len(s) octets.
func appendUnescaped(dst, s []byte) ([]byte, error) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			var err error
			var n int
			if dst, n, err = appendEscaped(dst, s[i:]); err != nil {
				return dst, err
			}
			i += n
		case c < ' ':
			return dst, errControl
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			n := runeLen(s[i:])
			if n == 0 {
				return dst, errUTF8
			}
			dst = append(dst, s[i:i+n]...)
			i += n
		}
	}
	return dst, nil
}

// appendEscaped decodes the escape that s starts with and returns its length.
func appendEscaped(dst, s []byte) ([]byte, int, error) {
	if len(s) < 2 {
		return dst, 0, errEscape
	}
	switch s[1] {
	case '"', '\\', '/':
		return append(dst, s[1]), 2, nil
	case 'b':
		return append(dst, '\b'), 2, nil
	case 'f':
		return append(dst, '\f'), 2, nil
	case 'n':
		return append(dst, '\n'), 2, nil
	case 'r':
		return append(dst, '\r'), 2, nil
	case 't':
		return append(dst, '\t'), 2, nil
	case 'u':
		r, ok := hex4(s[2:])
		if !ok {
			return dst, 0, errEscape
		}
		if r >= 0xdc80 && r <= 0xdcff {
			return append(dst, byte(r)), 6, nil // #nosec G115 -- the low octet is what U+DC80 to U+DCFF stand for
		}
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(dst, r), 6, nil
		}
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if low, ok := hex4(s[8:]); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return utf8.AppendRune(dst, pair), 12, nil
				}
			}
		}
	}
	return dst, 0, errEscape
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
