package smtp

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns text that can be shown on a terminal: what would steer it or hide something stands as in a Go string, "\x1b" or "\u202e".
// These are control characters (C0, DEL, C1), line and paragraph separators, characters that change the direction of writing, and octets that
// are no UTF-8. Line ends are control characters as well. Text without any of these is returned as it is.
func Visible(text string) string {
	at := strings.IndexFunc(text, steers)
	if at < 0 {
		return text
	}
	var out strings.Builder
	out.WriteString(text[:at])
	for rest := text[at:]; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, `\x%02x`, rest[0])
		case !steers(r) || r == utf8.RuneError:
			out.WriteString(rest[:n])
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		rest = rest[n:]
	}
	return out.String()
}

// steers reports a character that Visible does not let pass. RuneError stands for octets that are no UTF-8; as a character it may pass.
func steers(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// VisibleLines is Visible for a text of several lines: the line ends stay.
func VisibleLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = Visible(lines[i])
	}
	return strings.Join(lines, "\n")
}
