package smtp

import (
	"fmt"
	"strconv"
	"strings"
)

// Code is a reply code (RFC 5321 section 4.2.1), 200 to 599.
type Code uint16

// Class returns the first digit of the code: 2, 3, 4 or 5.
func (c Code) Class() uint8 { return uint8(c / 100) } // #nosec G115 -- 2 to 5

// Positive reports whether the code means success: 2xx, or 3xx for "go on".
func (c Code) Positive() bool { return c < 400 }

// Temporary reports whether the code is a transient negative reply, 4xx: a deferral.
func (c Code) Temporary() bool { return c.Class() == 4 }

// Permanent reports whether the code is a permanent negative reply, 5xx: a bounce.
func (c Code) Permanent() bool { return c.Class() == 5 }

// ParseCode parses three digits between 200 and 599.
func ParseCode(s string) (Code, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) != 3 || n < 200 || n > 599 {
		return 0, fmt.Errorf("invalid reply code %q (want 200 to 599)", s)
	}
	return Code(n), nil
}

// Reply is what a server answers: a code, an enhanced status code, and one or more lines of text (RFC 5321 section 4.2,
// RFC 2034). A Reply is never changed after it was built, and so it can be shared.
type Reply struct {
	Code     Code
	Enhanced Enhanced // absent for 3xx, the greeting and the HELO and EHLO replies
	Lines    []string // text without the code, the enhanced code and CRLF; no lines means one empty line
	Template bool     // Lines name fields, see TextFields: the server fills them in anew for each reply
}

// Append appends the reply as it goes over the wire to dst: every line with its code, "-" or " ", the enhanced status code if
// withEnhanced is set and the reply has one, the text, and CRLF.
func (r *Reply) Append(dst []byte, withEnhanced bool) []byte {
	if len(r.Lines) == 0 {
		return r.appendLine(dst, "", ' ', withEnhanced)
	}
	last := len(r.Lines) - 1
	for _, line := range r.Lines[:last] {
		dst = r.appendLine(dst, line, '-', withEnhanced)
	}
	return r.appendLine(dst, r.Lines[last], ' ', withEnhanced)
}

func (r *Reply) appendLine(dst []byte, text string, separator byte, withEnhanced bool) []byte {
	dst = append(dst, byte('0'+r.Code/100), byte('0'+r.Code/10%10), byte('0'+r.Code%10), separator) // #nosec G115 -- three digits: a code is 200 to 599
	if withEnhanced && !r.Enhanced.IsZero() {
		dst = r.Enhanced.Append(dst)
		dst = append(dst, ' ')
	}
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// String returns the reply on one line, for messages to people: "550 5.1.1 Requested action not taken: mailbox unavailable".
func (r *Reply) String() string {
	text := strings.TrimSuffix(string(r.Append(nil, true)), "\r\n")
	return Visible(strings.ReplaceAll(text, "\r\n", " / "))
}

// MaxReplyLine is the longest reply line in octets, CRLF included (RFC 5321 section 4.5.3.1.5).
const MaxReplyLine = 512

// MaxReplyText is how many octets of text fit into such a line, with room for the longest enhanced status code, whether or not the reply
// has one.
const MaxReplyText = MaxReplyLine - len("250-5.999.999 \r\n")

// MaxOwnText is the longest line of text in octets that a reply may have whose words a person has chosen: more than any client must take.
const MaxOwnText = 64 << 10

// Validate returns an error that names the culprit when the code is not within 200 to 599, a line holds CR, LF or NUL or is
// longer than MaxOwnText, or the class of the enhanced status code is not the first digit of the code (RFC 2034 section 4).
func (r *Reply) Validate() error {
	if r.Code < 200 || r.Code > 599 {
		return fmt.Errorf("invalid reply code %d (want 200 to 599)", r.Code)
	}
	if !r.Enhanced.IsZero() && r.Enhanced.Class != r.Code.Class() {
		return fmt.Errorf("enhanced status code %v contradicts reply code %d: its class must be %d", r.Enhanced, r.Code, r.Code.Class())
	}
	for _, line := range r.Lines {
		if strings.ContainsAny(line, "\r\n\x00") {
			return fmt.Errorf("reply text %q holds CR, LF or NUL", line)
		}
		if len(line) > MaxOwnText {
			return fmt.Errorf("reply text of %d octets is too long (want at most %d)", len(line), MaxOwnText)
		}
	}
	return nil
}
