package xk6smtp

import (
	"encoding/base64"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// foldAt is the length from which on a line of a header field is folded: RFC 2047 section 2 has 76 for lines with encoded words, RFC 5322
	// section 2.1.1 has 78 for others.
	foldAt = 76
	// maxHeaderWord is the longest run without a blank that stands in a line as it is: with what stands before and behind it, it stays under
	// the 998 octets of RFC 5322 section 2.1.1.
	maxHeaderWord = 900
	// maxHeaderName leaves room for an encoded word behind it.
	maxHeaderName = 48
)

// folder appends a header field, and folds it at blanks.
type folder struct {
	dst   []byte
	start int  // of the present line
	first bool // nothing stands behind the field's name yet
}

// words appends text that may be folded at every blank (RFC 5322 section 2.2.3). Unfolding gives it back as it was.
func (f *folder) words(text string) {
	for text != "" {
		blanks := len(text) - len(strings.TrimLeft(text, " \t"))
		end := strings.IndexAny(text[blanks:], " \t")
		if end < 0 {
			end = len(text) - blanks
		}
		f.word(text[:blanks+end], blanks)
		text = text[blanks+end:]
	}
}

// word appends one word with the blanks before it, on a line of its own if the present one is full.
func (f *folder) word(word string, blanks int) {
	// A line of blanks alone is forbidden, and readers disagree on a value that begins behind an empty first line.
	if len(f.dst)-f.start+len(word) > foldAt && blanks > 0 && len(word) > blanks && !f.first {
		f.dst = append(f.dst, '\r', '\n')
		f.start = len(f.dst)
	}
	f.dst = append(f.dst, word...)
	f.first = false
}

func newFolder(dst []byte, name string) folder {
	f := folder{start: len(dst), first: true}
	f.dst = append(append(dst, name...), ':')
	return f
}

// appendText appends an unstructured field (RFC 5322 section 2.2.1): encoded if it must be, and folded.
func appendText(dst []byte, name, value string) []byte {
	f := newFolder(dst, name)
	f.words(" " + encodeText(value, name))
	return append(f.dst, '\r', '\n')
}

// appendAddresses appends a field of addresses.
func appendAddresses(dst []byte, name string, list []address) []byte {
	f := newFolder(dst, name)
	for i, a := range list {
		if a.name != "" {
			f.words(" " + phrase(a.name, name))
		}
		token := " <" + a.mailbox + ">"
		if i+1 < len(list) {
			token += ","
		}
		f.word(token, 1)
	}
	return append(f.dst, '\r', '\n')
}

// phrase is a display name as it stands in a field: in quotes, or encoded.
func phrase(text, field string) string {
	// What looks like an encoded word is decoded within quotes, too, by many readers: it is encoded itself.
	if isHeaderText(text) && !strings.Contains(text, "=?") {
		return `"` + quoteEscapes.Replace(text) + `"`
	}
	return encodeWords(text, field)
}

// encodeText returns text in encoded words (RFC 2047) if it can't stand in a line as it is. Package mime does the same, but leaves ASCII
// alone however long it is, and makes the first word too long to stand behind the field's name in a line of 76: readers disagree on
// values that begin on a line of their own.
func encodeText(text, field string) string {
	if isHeaderText(text) {
		return text
	}
	return encodeWords(text, field)
}

// encodeWords returns text in encoded words.
func encodeWords(text, field string) string {
	const overhead = len("=?utf-8?q??=")
	kind, length := byte('q'), qLength
	if qLength(text) > (len(text)+2)/3*6 { // so much longer that nobody gains by being able to read it
		kind, length = 'b', func(s string) int { return (len(s) + 2) / 3 * 4 }
	}
	var words strings.Builder
	room := foldAt - len(field) - len(": ") - overhead
	for text != "" {
		n := 0
		for n < len(text) { // a word holds whole characters (RFC 2047 section 5)
			_, size := utf8.DecodeRuneInString(text[n:])
			if n > 0 && length(text[:n+size]) > room {
				break
			}
			n += size
		}
		if words.Len() > 0 {
			words.WriteByte(' ')
		}
		words.WriteString("=?utf-8?" + string(kind) + "?")
		if kind == 'b' {
			words.WriteString(base64.StdEncoding.EncodeToString([]byte(text[:n])))
		} else {
			writeQ(&words, text[:n])
		}
		words.WriteString("?=")
		text, room = text[n:], foldAt-1-overhead
	}
	return words.String()
}

// writeQ writes the encoding Q with the characters that stand for themselves in a display name, too (RFC 2047 section 5 (3)).
func writeQ(to *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			to.WriteByte('_')
		case standsInQ(c):
			to.WriteByte(c)
		default:
			to.Write([]byte{'=', hex[c>>4], hex[c&15]})
		}
	}
}

// qLength is how long the encoding Q of s is.
func qLength(s string) int {
	n := 0
	for i := range len(s) {
		if n++; s[i] != ' ' && !standsInQ(s[i]) {
			n += 2
		}
	}
	return n
}

func standsInQ(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

// isHeaderText reports whether a text can stand in a header field as it is: printable ASCII, blanks, and no run of either that no line
// holds.
func isHeaderText(text string) bool {
	run, blank := 0, false
	for i := range len(text) {
		c := text[i]
		if c >= 0x7f || c < ' ' && c != '\t' {
			return false
		}
		if isBlank := c == ' ' || c == '\t'; isBlank != blank {
			run, blank = 0, isBlank
		}
		if run++; run > maxHeaderWord {
			return false
		}
	}
	return true
}

// isStructured says that a field holds addresses: RFC 5322 sections 3.6.2, 3.6.3 and 3.6.6, RFC 8098, and what mail programs use besides.
func isStructured(name string) bool {
	switch strings.ToLower(name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc",
		"disposition-notification-to", "return-receipt-to", "errors-to", "mail-followup-to", "mail-reply-to":
		return true
	}
	return false
}

// headerField is a field whose value may have gaps.
type headerField struct {
	name string
	list []*gapAddress // of a structured field
	text gaps          // of another, and of one whose addresses are more than a list: groups and comments
	// asIs is the field of a raw message, complete with its folding; nil: the field is built.
	asIs *gaps
}

// addressField is a field that holds an option's addresses.
func addressField(name string, list ...*gapAddress) *headerField {
	return &headerField{name: name, list: list}
}

// cutHeaderField reads a field of the option headers, or of a raw message.
func cutHeaderField(name, value string, markers []string) (*headerField, error) {
	h := &headerField{name: name}
	if !isStructured(name) {
		text, err := cutText(value, markers)
		h.text = text
		return h, err
	}
	text := cutGaps(value, markers)
	words := standIns(len(markers), value)
	joined := text.join(func(field int) string { return words[field] })
	for rest := joined; rest != ""; {
		end, item := indexUnquoted(rest, ','), rest
		if rest = ""; end >= 0 {
			item, rest = item[:end], item[end+1:]
		}
		if strings.Trim(item, " \t") == "" {
			continue
		}
		a, err := cutAddress(item, words)
		if err != nil {
			// Groups: what net/mail understands stays as it is. Nothing would keep a field's value in its place there.
			if _, mailErr := mail.ParseAddressList(joined); mailErr == nil && isHeaderText(joined) {
				if text.open() {
					return nil, errNoGap
				}
				h.list, h.text = nil, text
				return h, nil
			}
			return nil, err
		}
		h.list = append(h.list, a)
	}
	h.text = text
	return h, nil
}

// cutText cuts an unstructured value. A gap within an encoded word is no part of its alphabet (RFC 2047 section 2): such words are decoded,
// and encoded again when the gap is filled. In base64, and in a character set that is not known here, nothing can stand in for the gap.
func cutText(value string, markers []string) (gaps, error) {
	text := cutGaps(value, markers)
	if !text.open() || !strings.Contains(value, "=?") {
		return text, nil
	}
	words := standIns(len(markers), value)
	joined := text.join(func(field int) string { return words[field] })
	decoded, err := new(mime.WordDecoder).DecodeHeader(joined)
	if err != nil {
		decoded = joined
	}
	cut := cutGaps(decoded, words)
	if len(cut.parts) != len(text.parts) || holdsWord(decoded, words) {
		return text, errNoGap
	}
	if err != nil {
		return text, nil
	}
	return cut, nil
}

// encodedWord is what RFC 2047 section 2 calls so.
var encodedWord = regexp.MustCompile(`=\?[^?\s]+\?[^?\s]\?[^?\s]*\?=`)

// holdsWord reports that one of the words stands within an encoded word of text.
func holdsWord(text string, words []string) bool {
	for _, encoded := range encodedWord.FindAllString(text, -1) {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(encoded, word) }) {
			return true
		}
	}
	return false
}

func (h *headerField) open() bool {
	for _, a := range h.list {
		if a.open() {
			return true
		}
	}
	return h.text.open()
}

func (h *headerField) uses(field int) bool {
	for _, a := range h.list {
		if a.uses(field) {
			return true
		}
	}
	return h.text.uses(field)
}

// check says why a field can't be filled with values.
func (h *headerField) check(values []string) error {
	for _, a := range h.list {
		switch filled, err := a.fill(values); {
		case err != nil:
			return err
		case filled.mailbox == "":
			return errEmpty
		case len(filled.mailbox) > maxHeaderWord:
			return errTooLong
		}
	}
	if len(h.list) > 0 {
		return nil
	}
	for _, p := range h.text.parts {
		if p.field >= 0 && hasControl(values[p.field]) {
			return errHeaderValue
		}
	}
	return nil
}

// append appends the field filled with values, which check has let pass.
func (h *headerField) append(dst []byte, values []string) []byte {
	if len(h.list) > 0 {
		list := make([]address, 0, len(h.list))
		for _, a := range h.list {
			filled, _ := a.fill(values) // check has seen it
			list = append(list, filled)
		}
		return appendAddresses(dst, h.name, list)
	}
	if h.asIs != nil {
		if text := h.asIs.fill(values); h.staysAsIs(text, values) {
			return append(dst, text...)
		}
	}
	return appendText(dst, h.name, h.text.fill(values))
}

// staysAsIs reports whether a raw message's field needs nothing but its gaps filled: the values are ASCII and no line gets too long.
func (h *headerField) staysAsIs(text string, values []string) bool {
	for _, p := range h.asIs.parts {
		if p.field >= 0 && !isHeaderText(values[p.field]) {
			return false
		}
	}
	for line := range strings.Lines(text) {
		if len(strings.TrimRight(line, "\r\n")) > 998 {
			return false
		}
	}
	return true
}

// hasControl reports what no header field may hold: line breaks and other control characters but for the tab.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return isControl(r) && r != '\t' })
}
