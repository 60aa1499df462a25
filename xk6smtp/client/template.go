package client

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// Template is a message with gaps, cut once and filled in for every sending. It is immutable and may be shared.
type Template struct {
	pieces []piece
}

// piece is text as it goes over the wire, and the field behind it.
type piece struct {
	wire     []byte
	field    int  // -1: none
	inHeader bool // the field stands in the header, where it must not break a line
}

// NewTemplate cuts message where markers stand; the field of markers[i] has number i. The message is taken as NewBody takes it.
// Markers are printable ASCII, and none is part of another. The error names a marker that the message does not hold.
func NewTemplate(message []byte, markers []string) (*Template, error) {
	wire := NewBody(message).wire
	wire = wire[:len(wire)-len(finalDot)]
	headerEnd := bytes.Index(wire, []byte("\r\n\r\n"))
	if bytes.HasPrefix(wire, []byte("\r\n")) {
		headerEnd = 0
	}
	t := &Template{}
	seen := make([]bool, len(markers))
	for offset := 0; ; {
		next, field := len(wire), -1
		for i, marker := range markers {
			if at := bytes.Index(wire[offset:], []byte(marker)); at >= 0 && offset+at < next {
				next, field = offset+at, i
			}
		}
		t.pieces = append(t.pieces, piece{wire[offset:next], field, headerEnd < 0 || next < headerEnd})
		if field < 0 {
			break
		}
		seen[field] = true
		offset = next + len(markers[field])
	}
	for i, found := range seen {
		if !found {
			return nil, fmt.Errorf("marker %q is not in the message", markers[i])
		}
	}
	return t, nil
}

// ErrHeaderValue is a value that can't stand in a header.
var ErrHeaderValue = errors.New("a value in the header must not hold line breaks and NUL")

// Check returns ErrHeaderValue if a value can't stand in the header.
func (t *Template) Check(values []string) error {
	for _, p := range t.pieces {
		if p.field >= 0 && p.inHeader && strings.ContainsAny(values[p.field], "\r\n\x00") {
			return ErrHeaderValue
		}
	}
	return nil
}

// Execute fills the gaps with values, in the markers' order, and overwrites body, whose storage it keeps: nothing may be using it. A
// value in the header that is not ASCII becomes an encoded word (RFC 2047); values elsewhere are taken as they are, with their line
// ends made CRLF. The error is ErrHeaderValue.
func (t *Template) Execute(body *Body, values []string) error {
	wire := body.wire[:0]
	if err := t.Check(values); err != nil {
		return err
	}
	eightBit := false
	lineStart := true
	for _, p := range t.pieces {
		if lineStart && len(wire) > 0 && len(p.wire) > 0 && p.wire[0] == '.' { // it was in the middle of a line when it was cut
			wire = append(wire, '.')
		}
		wire = append(wire, p.wire...)
		for i := range p.wire {
			eightBit = eightBit || p.wire[i] >= 0x80
		}
		lineStart = len(wire) == 0 || wire[len(wire)-1] == '\n'
		if p.field < 0 {
			continue
		}
		value := values[p.field]
		if p.inHeader && !isASCII(value) {
			value = mime.BEncoding.Encode("utf-8", value)
		}
		for i := 0; i < len(value); i++ {
			switch c := value[i]; {
			case c == '\r' || c == '\n':
				if c == '\r' && i+1 < len(value) && value[i+1] == '\n' {
					i++
				}
				wire = append(wire, '\r', '\n')
				lineStart = true
			default:
				if lineStart && c == '.' {
					wire = append(wire, '.')
				}
				lineStart = false
				wire = append(wire, c)
				eightBit = eightBit || c >= 0x80
			}
		}
	}
	if !lineStart {
		wire = append(wire, '\r', '\n')
	}
	*body = Body{wire: append(wire, finalDot...)}
	body.eightBit = eightBit
	body.count()
	return nil
}

// count takes size and stuffing from the octets on the wire.
func (b *Body) count() {
	text := b.wire[:len(b.wire)-len(finalDot)]
	b.size = len(text)
	for line := range bytes.Lines(text) {
		if line[0] == '.' {
			b.size--
			b.stuffed = true
		}
	}
}
