package client

import (
	"bytes"
	"slices"
	"sync"
)

// Body is a message as it goes over the wire after DATA: every line ends with CRLF, leading dots are doubled, and the final dot
// is part of it (RFC 5321 sections 2.3.8 and 4.5.2). It is immutable and may be shared by any number of connections, unless a
// BodyWriter overwrites it.
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
	b := &Body{wire: make([]byte, 0, len(message)+len(message)/32+len("\r\n.\r\n"))}
	w := b.Overwrite()
	w.Write(message)
	w.End()
	b.wire = slices.Clip(b.wire)
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

// BodyWriter makes a Body of a message that comes in pieces, and is the one place where lines end and dots are doubled. Where one
// piece ends and the next begins makes no difference: a CR that ends a piece and an LF that begins the next are one line end, and a
// dot is doubled at the start of a line whatever pieces are in front of it, empty ones too.
type BodyWriter struct {
	body *Body
	// inLine: the last octet was not a line end. afterCR: it was a CR, to which an LF may belong that is still to come.
	inLine, afterCR bool
	high            byte // the OR of all octets
}

// Overwrite starts a message in b's place and keeps b's storage. Nothing may use b until End.
func (b *Body) Overwrite() BodyWriter {
	*b = Body{wire: b.wire[:0]}
	return BodyWriter{body: b}
}

// Write adds a piece, which is not kept.
func (w *BodyWriter) Write(piece []byte) { addPiece(w, piece) }

// WriteString adds a piece.
func (w *BodyWriter) WriteString(piece string) { addPiece(w, piece) }

// End finishes the last line and adds the final dot: the Body can be used.
func (w *BodyWriter) End() {
	if w.inLine {
		w.endLine()
	}
	w.body.eightBit = w.high >= 0x80
	w.body.wire = append(w.body.wire, finalDot...)
}

func (w *BodyWriter) endLine() {
	w.body.wire = append(w.body.wire, '\r', '\n')
	w.body.size += 2
	w.inLine = false
}

func addPiece[T []byte | string](w *BodyWriter, piece T) {
	if len(piece) == 0 {
		return
	}
	b, i := w.body, 0
	if w.afterCR && piece[0] == '\n' {
		i = 1
	}
	w.afterCR = false
	for i < len(piece) {
		end := i
		for end < len(piece) && piece[end] != '\r' && piece[end] != '\n' {
			w.high |= piece[end]
			end++
		}
		if end > i {
			if !w.inLine && piece[i] == '.' {
				b.wire = append(b.wire, '.')
				b.stuffed = true
			}
			b.wire = append(b.wire, piece[i:end]...)
			b.size += end - i
			w.inLine = true
		}
		if end == len(piece) {
			return
		}
		w.endLine()
		if piece[end] == '\r' {
			if end+1 == len(piece) {
				w.afterCR = true
			} else if piece[end+1] == '\n' {
				end++
			}
		}
		i = end + 1
	}
}
