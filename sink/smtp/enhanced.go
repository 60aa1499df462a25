package smtp

import (
	"fmt"
	"strconv"
	"strings"
)

// Enhanced is an enhanced status code, class.subject.detail (RFC 3463). The zero value means that there is none.
type Enhanced struct {
	Class   uint8  // 2 success, 4 persistent transient failure, 5 permanent failure
	Subject uint16 // 0 to 999
	Detail  uint16 // 0 to 999
}

// IsZero reports whether e is absent.
func (e Enhanced) IsZero() bool { return e.Class == 0 }

// String returns "5.1.1", or the empty string when e is absent.
func (e Enhanced) String() string { return string(e.Append(nil)) }

// Append appends "5.1.1" to dst, or nothing when e is absent.
func (e Enhanced) Append(dst []byte) []byte {
	if e.IsZero() {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(e.Class), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(e.Subject), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(e.Detail), 10)
}

// ParseEnhanced parses "5.1.1". The class must be 2, 4 or 5, subject and detail one to three digits without leading zeros
// (RFC 3463 section 2).
func ParseEnhanced(s string) (Enhanced, error) {
	e, rest, ok := CutEnhanced([]byte(s))
	if !ok || len(rest) != 0 || s[len(s)-1] == ' ' {
		return Enhanced{}, fmt.Errorf("invalid enhanced status code %q (want class.subject.detail, such as 5.1.1, with class 2, 4 or 5)", s)
	}
	return e, nil
}

// CutEnhanced parses an enhanced status code at the start of text and returns it with what follows it, without the one space
// that separates them (RFC 2034 section 4). ok is false, and rest is text, when text does not start with one. rest aliases text.
func CutEnhanced(text []byte) (e Enhanced, rest []byte, ok bool) {
	if len(text) < 5 || text[1] != '.' || (text[0] != '2' && text[0] != '4' && text[0] != '5') {
		return Enhanced{}, text, false
	}
	subject, rest, ok := cutNumber(text[2:])
	if !ok || len(rest) == 0 || rest[0] != '.' {
		return Enhanced{}, text, false
	}
	detail, rest, ok := cutNumber(rest[1:])
	if !ok || (len(rest) > 0 && rest[0] != ' ') {
		return Enhanced{}, text, false
	}
	if len(rest) > 0 {
		rest = rest[1:]
	}
	return Enhanced{Class: text[0] - '0', Subject: subject, Detail: detail}, rest, true
}

// cutNumber parses one to three digits without a leading zero.
func cutNumber(text []byte) (n uint16, rest []byte, ok bool) {
	i := 0
	for i < len(text) && i < 4 && text[i] >= '0' && text[i] <= '9' {
		n = n*10 + uint16(text[i]-'0')
		i++
	}
	if i == 0 || i > 3 || (i > 1 && text[0] == '0') {
		return 0, text, false
	}
	return n, text[i:], true
}

// MarshalText implements encoding.TextMarshaler; an absent code is the empty string.
func (e Enhanced) MarshalText() ([]byte, error) { return e.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts what ParseEnhanced accepts, and the empty string.
func (e *Enhanced) UnmarshalText(text []byte) error {
	if strings.TrimSpace(string(text)) == "" {
		*e = Enhanced{}
		return nil
	}
	parsed, err := ParseEnhanced(string(text))
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}
