package smtp

import (
	"bytes"
	"encoding/binary"
)

// BodyScanner finds the end of a message body, CRLF "." CRLF (RFC 5321 section 4.1.1.4), in a stream of octets that may come in
// any pieces, and tells what the body consists of. The zero value is ready to scan the octets behind the reply 354.
//
// Only CRLF ends a line: neither LF nor CR alone starts a line whose dot would count (RFC 5321 section 2.3.8). The dot that a
// client puts in front of a line's own dot is recognised but stays in place: Scan never changes or keeps the octets.
//
// A BodyScanner may not be used by several goroutines at once.
type BodyScanner struct {
	total uint64 // octets scanned
	dots  uint64 // of them, dots at the start of a line
	lines uint64 // and LF
	high  uint64 // octets scanned, or-ed together
	state bodyState
	flags bodyFlags
}

// bodyState is how much of CRLF "." CRLF the last octets were.
type bodyState uint8

const (
	bodyLineStart bodyState = iota // CRLF, or the start of the body
	bodyText                       // none of it
	bodyCR                         // CR
	bodyDot                        // CRLF "."
	bodyDotCR                      // CRLF "." CR
	bodyEnd                        // all of it
)

type bodyFlags uint8

const (
	bodyBareLF bodyFlags = 1 << iota
	bodyBareCR
)

// Scan reads octets up to the end of the body. n is how many belong to the body, CRLF "." CRLF included; done says that they
// end it. When done is false, n is len(p) and more is needed. After the end, Scan reads nothing until Reset.
func (s *BodyScanner) Scan(p []byte) (n int, done bool) {
	n = s.scan(p)
	s.total += uint64(n) // #nosec G115 -- at most len(p), from 0
	return n, s.state == bodyEnd
}

func (s *BodyScanner) scan(p []byte) int {
	i := 0
	for i < len(p) && s.state != bodyEnd {
		if s.state == bodyLineStart || s.state == bodyText {
			i += s.scanBlock(p[i:min(i+bodyBlock, len(p))])
		} else {
			s.step(p[i])
			i++
		}
	}
	return i
}

// step takes one octet in the states in which the octet before was CR, or a dot at the start of a line.
func (s *BodyScanner) step(c byte) {
	s.high |= uint64(c)
	if c == '\n' {
		s.lines++
	}
	switch {
	case c == '\n' && s.state == bodyCR:
		s.state = bodyLineStart
		return
	case c == '\n' && s.state == bodyDotCR:
		s.state = bodyEnd
		return
	case c == '\r' && s.state == bodyDot:
		s.state = bodyDotCR
		return
	}
	if s.state != bodyDot {
		s.flags |= bodyBareCR
	}
	s.state = bodyText
	switch c {
	case '\r':
		s.state = bodyCR
	case '\n':
		s.flags |= bodyBareLF
	}
}

// bodyBlock is how many octets are taken at once: few enough that they stay in the first-level cache while they are looked at
// four times, and that little is wasted when the body ends early in a block.
const bodyBlock = 8 << 10

// scanBlock takes at least one octet in the states bodyLineStart and bodyText and returns how many it took: all of p unless
// the body ends in it.
func (s *BodyScanner) scanBlock(p []byte) int {
	b := walkLines(p, s.state, true)
	if b.guessed && bytes.Count(p[:b.n], lf) != b.lfs {
		b = walkLines(p, s.state, false)
	}
	s.state = b.state
	s.dots += uint64(b.dots) // #nosec G115 -- a count
	s.lines += uint64(b.lfs) // #nosec G115 -- a count
	if b.lfs != b.crlfs {
		s.flags |= bodyBareLF
	}
	if !s.BareCR() {
		paired := b.crlfs
		if b.state == bodyCR || b.state == bodyDotCR {
			paired++ // step sees to it
		}
		if bytes.Count(p[:b.n], cr) != paired {
			s.flags |= bodyBareCR
		}
	}
	if !s.EightBit() {
		s.high |= orAll(p[:b.n])
	}
	return b.n
}

var (
	cr = []byte{'\r'}
	lf = []byte{'\n'}
)

// walked is what walkLines found.
type walked struct {
	n          int // octets taken
	lfs, crlfs int
	dots       int  // dots at the start of a line
	guessed    bool // whether a LF was looked for in one place only
	state      bodyState
}

// walkLines goes from LF to LF. With guess it expects that a line is as long as the two lines before it, when those were
// equally long, and doesn't look for a LF within it: in base64, and in what load generators send, that is nearly always so. The
// result then holds if the number of LF in p is that of the result.
func walkLines(p []byte, state bodyState, guess bool) (b walked) {
	length, before := -1, -2
	for b.n < len(p) {
		rest := p[b.n:]
		if state == bodyLineStart && rest[0] == '.' {
			b.dots++
			switch {
			case len(rest) == 1:
				b.n, b.state = len(p), bodyDot
				return b
			case rest[1] != '\r':
			case len(rest) == 2:
				b.n, b.state = len(p), bodyDotCR
				return b
			case rest[2] == '\n':
				b.lfs++
				b.crlfs++
				b.n, b.state = b.n+3, bodyEnd
				return b
			}
		}
		end := length
		if guess && length == before && end < len(rest) && rest[end] == '\n' {
			b.guessed = true
		} else if end = bytes.IndexByte(rest, '\n'); end < 0 {
			b.n, b.state = len(p), bodyText
			if rest[len(rest)-1] == '\r' {
				b.state = bodyCR
			}
			return b
		}
		b.lfs++
		state = bodyText
		if end > 0 && rest[end-1] == '\r' {
			b.crlfs++
			state = bodyLineStart
		}
		length, before = end, length
		b.n += end + 1
	}
	b.state = state
	return b
}

const bit7 = 0x8080808080808080

// orAll returns a word whose bits 7 tell whether p has an octet above 127.
func orAll(p []byte) uint64 {
	var a, b, c, d uint64
	for len(p) >= 64 {
		q := p[:64:64]
		a |= binary.LittleEndian.Uint64(q) | binary.LittleEndian.Uint64(q[8:])
		b |= binary.LittleEndian.Uint64(q[16:]) | binary.LittleEndian.Uint64(q[24:])
		c |= binary.LittleEndian.Uint64(q[32:]) | binary.LittleEndian.Uint64(q[40:])
		d |= binary.LittleEndian.Uint64(q[48:]) | binary.LittleEndian.Uint64(q[56:])
		p = p[64:]
	}
	for len(p) >= 8 {
		a |= binary.LittleEndian.Uint64(p)
		p = p[8:]
	}
	for _, x := range p {
		a |= uint64(x)
	}
	return a | b | c | d
}

// Octets returns the size of the body so far, as it would be without the dots that the client added and without the final "."
// CRLF: what SIZE counts (RFC 1870 section 5). It is exact after the end; before, the start of a final "." CRLF may be counted.
func (s *BodyScanner) Octets() int64 {
	n := s.total - s.dots
	if s.state == bodyEnd {
		n -= uint64(len("\r\n"))
	}
	return int64(n) // #nosec G115 -- no body comes near 2^63 octets
}

// ShortLines reports whether the lines so far have fewer than 16 octets on average, which take several times as long to scan as others.
func (s *BodyScanner) ShortLines() bool { return s.total < 16*s.lines }

// Done reports whether the end of the body was read.
func (s *BodyScanner) Done() bool { return s.state == bodyEnd }

// BareLF reports whether there was LF without CR in front of it.
func (s *BodyScanner) BareLF() bool { return s.flags&bodyBareLF != 0 }

// BareCR reports whether there was CR without LF behind it. A CR that was read last is not counted yet.
func (s *BodyScanner) BareCR() bool { return s.flags&bodyBareCR != 0 }

// EightBit reports whether there was an octet above 127.
func (s *BodyScanner) EightBit() bool { return s.high&bit7 != 0 }

// Reset starts the next body.
func (s *BodyScanner) Reset() { *s = BodyScanner{} }
