package client

import (
	"bytes"
	"slices"
	"sync"
)

// Body is a message as it goes over the wire after DATA: every line ends with CRLF, leading dots are doubled, and the final dot
// is part of it (RFC 5321 sections 2.3.8 and 4.5.2). It is immutable and may be shared by any number of connections.
type Body struct {
	wire     []byte
	size     int
	eightBit bool
	stuffed  bool // a dot was doubled

	once  sync.Once
	plain []byte // of a stuffed body, when it was asked for
}

// NewBody converts a message, header and body, to a Body. A lone CR or LF is taken for a line end, an unfinished last line is
// finished. message is not kept. A message that is empty gives a Body of the final dot alone.
func NewBody(message []byte) *Body {
	b := &Body{}
	wire := make([]byte, 0, len(message)+len(message)/32+len("\r\n.\r\n"))
	lineStart := true
	for i := 0; i < len(message); i++ {
		switch c := message[i]; c {
		case '\r', '\n':
			if c == '\r' && i+1 < len(message) && message[i+1] == '\n' {
				i++
			}
			wire = append(wire, '\r', '\n')
			b.size += 2
			lineStart = true
		default:
			if lineStart && c == '.' {
				wire = append(wire, '.')
				b.stuffed = true
			}
			lineStart = false
			wire = append(wire, c)
			b.size++
			b.eightBit = b.eightBit || c >= 0x80
		}
	}
	if !lineStart {
		wire = append(wire, '\r', '\n')
		b.size += 2
	}
	b.wire = slices.Clip(append(wire, '.', '\r', '\n'))
	return b
}

// Size is the number of octets of the message with its line ends, without doubled and final dots: what SIZE counts (RFC 1870).
func (b *Body) Size() int { return b.size }

// EightBit reports whether an octet is above 127 (RFC 6152).
func (b *Body) EightBit() bool { return b.eightBit }

// Wire returns the octets as they are sent, the final dot included. The caller must not change them.
func (b *Body) Wire() []byte { return b.wire }

// Plain returns the message as it is without doubled and final dots: what BDAT sends. The caller must not change it.
func (b *Body) Plain() []byte {
	text := b.wire[:len(b.wire)-len(finalDot)]
	if !b.stuffed {
		return text
	}
	b.once.Do(func() {
		b.plain = make([]byte, 0, len(text))
		for line := range bytes.Lines(text) {
			b.plain = append(b.plain, bytes.TrimPrefix(line, []byte{'.'})...)
		}
	})
	return b.plain
}

// finalDot ends a body that has no line at all: all that RFC 2920 section 3.1 lets a client send when every recipient was
// refused and DATA was answered by 354 nevertheless.
var finalDot = []byte(".\r\n")
