package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Field is what the text of a reply may name as {{name}}, and a session fills in.
type Field uint8

// The fields.
const (
	FieldQueueID   Field = iota // the message under way, or the last one, as the server's log would name it
	FieldClient                 // the client's IP address
	FieldHelo                   // the argument of its greeting
	FieldHostname               // the server's own name
	FieldSender                 // the reverse-path without <>: nothing for the null sender
	FieldRecipient              // the forward-path without <>: of this RCPT, or of the first accepted recipient; in LMTP of that one
	FieldLocalPart              // of that recipient
	FieldDate                   // when the reply was decided (RFC 5322 section 3.3), in UTC

	numFields = int(FieldDate) + 1
)

var fieldNames = [numFields]string{"queue_id", "client", "helo", "hostname", "sender", "recipient", "local_part", "date"}

// String returns the name as texts write it between braces.
func (f Field) String() string {
	if int(f) < numFields {
		return fieldNames[f]
	}
	return fmt.Sprintf("field(%d)", uint8(f))
}

// ParseField parses a name; the error names the valid ones.
func ParseField(name string) (Field, error) {
	for i, n := range fieldNames {
		if n == name {
			return Field(i), nil
		}
	}
	return 0, fmt.Errorf("unknown template {{%s}} (valid: {{%s}})", name, strings.Join(fieldNames[:], "}} {{"))
}

const fieldOpen, fieldClose = "{{", "}}"

// TextFields returns the fields that the lines of a text name, each once, in the order in which they come first.
func TextFields(lines []string) (fields []Field, err error) {
	var seen [numFields]bool
	for _, line := range lines {
		for {
			_, rest, found := strings.Cut(line, fieldOpen)
			if !found {
				break
			}
			name, after, closed := strings.Cut(rest, fieldClose)
			if !closed {
				return nil, fmt.Errorf("reply text %q opens {{ and does not close it (want a name and }} behind it, such as {{%s}})", line, fieldNames[0])
			}
			f, err := ParseField(name)
			if err != nil {
				return nil, err
			}
			if !seen[f] {
				fields = append(fields, f)
			}
			seen[f], line = true, after
		}
	}
	return fields, nil
}

// AppendFilled appends a line of a text, which TextFields has accepted, with what fill appends in the place of each field. What was filled
// in is not looked at again. Anything but printable ASCII, and with allowUTF8 other printable characters in UTF-8, becomes a question mark there:
// no peer can end a line by what it is called. The whole is cut to MaxReplyText octets, between two characters.
func AppendFilled(dst []byte, line string, allowUTF8 bool, fill func(dst []byte, f Field) []byte) []byte {
	start := len(dst)
	for {
		before, rest, found := strings.Cut(line, fieldOpen)
		dst = append(dst, before...)
		if !found {
			return cutText(dst, start)
		}
		name, after, _ := strings.Cut(rest, fieldClose)
		if f, err := ParseField(name); err == nil {
			from := len(dst)
			dst = fill(dst, f)
			dst = printable(dst, from, allowUTF8)
		}
		line = after
	}
}

// ForwardText returns the words by which 251 and 551 name another address of a recipient (RFC 5321 section 3.4). The address may name
// fields.
func ForwardText(code Code, address string) (string, error) {
	words := "User not local; will forward to <%s>"
	switch code {
	case 251:
	case 551:
		words = "User not local; please try <%s>"
	default:
		return "", fmt.Errorf("reply %d names no other address (want 251 or 551)", code)
	}
	text := fmt.Sprintf(words, address)
	plain := AppendFilled(nil, address, true, func(dst []byte, f Field) []byte { return append(dst, f.String()...) })
	if err := ParseRcpt(fmt.Appendf(nil, "TO:<%s>", plain), new(RcptArgs)); err != nil || len(plain) == 0 {
		return "", fmt.Errorf("invalid address %q (want for example new@example.net or {{local_part}}@example.net)", address)
	}
	return text, nil
}

// AppendQueueID appends a queue id as replies and rows write it.
func AppendQueueID(dst []byte, id uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789ABCDEF"[id>>shift&15])
	}
	return dst
}

// ParseQueueID parses what AppendQueueID writes.
func ParseQueueID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 {
		return 0, fmt.Errorf("%q is no queue id (want 16 hexadecimal digits)", text)
	}
	return id, nil
}

// printable replaces what is not printable in b from an index on.
func printable(b []byte, from int, allowUTF8 bool) []byte {
	to := from
	for i := from; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				c = '?'
			}
			b[to] = c
			to, i = to+1, i+1
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if allowUTF8 && r != utf8.RuneError && unicode.IsPrint(r) {
			to += copy(b[to:], b[i:i+n])
		} else {
			b[to] = '?'
			to++
		}
		i += n
	}
	return b[:to]
}

// cutText cuts the text in b from an index on to MaxReplyText octets.
func cutText(b []byte, from int) []byte {
	end := from + MaxReplyText
	if len(b) <= end {
		return b
	}
	for i := end; i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return b[:i]
		}
	}
	return b[:end]
}
