package xk6smtp

import (
	"errors"
	"fmt"
	"mime/quotedprintable"
	"strings"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// errHeaderValue is a value that can't stand in a header.
var errHeaderValue = errors.New("must not hold line breaks or control characters where it stands in a header")

// segment is a part of a message with fields: text as it goes out, or what is written anew for each sending. Values go in before anything
// is encoded, folded or stuffed, so that none can leave its place.
type segment struct {
	text  string       // with nothing else: as it is
	field *headerField // a header field
	line  gaps         // lines of text, in quoted-printable
	raw   gaps         // of a raw message: values go out as they are
	// inHeader says that raw stands in the header.
	inHeader bool
}

// template is a message's segments.
type template struct {
	segments []segment
	isRaw    bool
}

func (t *template) add(s segment) { t.segments = append(t.segments, s) }

// addText adds text as it is.
func (t *template) addText(text string) {
	if text != "" {
		t.add(segment{text: text})
	}
}

// uses reports whether a field stands anywhere.
func (t *template) uses(field int) bool {
	for _, s := range t.segments {
		if s.line.uses(field) || s.raw.uses(field) || s.field != nil && s.field.uses(field) {
			return true
		}
	}
	return false
}

// check says why values can't stand where their fields do.
func (t *template) check(values []string) error {
	for _, s := range t.segments {
		if s.field != nil {
			if err := s.field.check(values); errors.Is(err, errHeaderValue) {
				return err
			} else if err != nil {
				return fmt.Errorf("makes no address of %s: %w", s.field.name, err)
			}
		}
		for _, p := range s.raw.parts {
			if s.inHeader && p.field >= 0 && hasControl(values[p.field]) {
				return errHeaderValue
			}
		}
	}
	return nil
}

// fill writes the message with values, which check has let pass, into body, whose storage is kept. utf8 says that its header has addresses
// that are not ASCII.
func (t *template) fill(body *client.Body, values []string) (utf8 bool) {
	w := body.Overwrite()
	var header []byte
	for _, s := range t.segments {
		switch {
		case s.field != nil:
			header = s.field.append(header[:0], values)
			utf8 = utf8 || !t.isRaw && !isASCII(header)
			w.Write(header)
		case len(s.line.parts) > 0:
			encoder := quotedprintable.NewWriter(bodyOctets{&w})
			for _, p := range s.line.parts {
				// The body takes everything, and so do those who write to it.
				_, _ = encoder.Write([]byte(p.text))
				if p.field >= 0 {
					_, _ = encoder.Write([]byte(values[p.field]))
				}
			}
			_ = encoder.Close()
		case len(s.raw.parts) > 0:
			for _, p := range s.raw.parts {
				w.WriteString(p.text)
				if p.field >= 0 {
					w.WriteString(values[p.field])
				}
			}
		default:
			w.WriteString(s.text)
		}
	}
	w.End()
	return utf8
}

// bodyOctets is a client.BodyWriter as an io.Writer.
type bodyOctets struct{ w *client.BodyWriter }

func (b bodyOctets) Write(p []byte) (int, error) {
	b.w.Write(p)
	return len(p), nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// cutRaw cuts a raw message. A header field with a gap is taken apart, so that its values are encoded and folded as they must be; whatever
// has no gap stays octet for octet.
func cutRaw(raw string, markers []string) *template {
	t := &template{isRaw: true}
	rest := raw
	for rest != "" {
		end := fieldEnd(rest)
		field := rest[:end]
		if strings.Trim(field, "\r\n") == "" {
			break // the header is over
		}
		rest = rest[end:]
		text := cutGaps(field, markers)
		if !text.open() {
			t.addText(field)
			continue
		}
		if h := cutRawField(field, markers); h != nil {
			t.add(segment{field: h})
		} else {
			t.add(segment{raw: text, inHeader: true})
		}
	}
	if text := cutGaps(rest, markers); text.open() {
		t.add(segment{raw: text})
	} else {
		t.addText(rest)
	}
	return t
}

// fieldEnd is where the first header field of s is over, with the lines that continue it. CRLF, CR and LF end a line, as for client.Body.
func fieldEnd(s string) int {
	end := 0
	for {
		n := strings.IndexAny(s[end:], "\r\n")
		if n < 0 {
			return len(s)
		}
		first := n == 0 && end == 0
		end += n + 1
		if s[end-1] == '\r' && end < len(s) && s[end] == '\n' {
			end++
		}
		if first || end == len(s) || s[end] != ' ' && s[end] != '\t' {
			return end
		}
	}
}

// cutRawField takes a field of a raw message apart, or returns nil for what is none.
func cutRawField(field string, markers []string) *headerField {
	name, value, ok := strings.Cut(field, ":")
	if !ok || name == "" || cutGaps(name, markers).open() || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil
	}
	unfolded := strings.NewReplacer("\r", "", "\n", "").Replace(value)
	if hasControl(unfolded) {
		return nil
	}
	h, err := cutHeaderField(name, strings.TrimPrefix(unfolded, " "), markers)
	if err != nil { // no addresses, whatever its name says
		text, err := cutText(strings.TrimPrefix(unfolded, " "), markers)
		if err != nil {
			return nil
		}
		h = &headerField{name: name, text: text}
	}
	if len(h.list) == 0 && !strings.Contains(value, "=?") {
		asIs := cutGaps(field, markers)
		h.asIs = &asIs
	}
	return h
}

// lineGaps keeps the lines of a text that have gaps out of the encoding of all others: a stand-in takes the place of each.
type lineGaps struct {
	words []string
	lines []gaps
	ended []bool // whether the line had an end, which is the line's then
}

// cutLines replaces every line with a gap by a stand-in.
func (l *lineGaps) cutLines(text string, markers []string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		cut := cutGaps(line, markers)
		if !cut.open() {
			out.WriteString(line)
			continue
		}
		out.WriteString(l.words[len(l.lines)])
		ended := strings.HasSuffix(line, "\n")
		if ended {
			out.WriteString("\r\n")
		}
		l.lines, l.ended = append(l.lines, cut), append(l.ended, ended)
	}
	return out.String()
}

// cutAt adds a message that was built with stand-ins to a template.
func (l *lineGaps) cutAt(wire string, t *template) {
	for i, cut := range l.lines {
		before, after, _ := strings.Cut(wire, l.words[i])
		t.addText(before)
		t.add(segment{line: cut})
		if wire = after; l.ended[i] {
			wire = strings.TrimPrefix(wire, "\r\n")
		}
	}
	t.addText(wire)
}
