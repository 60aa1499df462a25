package session

import (
	"bytes"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxEndlessLine is how many octets a command line may have before the connection is closed, LF or no LF.
const maxEndlessLine = 64 << 10

// maxLinePiece is how many octets of a line are looked at, and perhaps kept, at a time: more than the longest line that is any good.
const maxLinePiece = 16 << 10

var crlf = []byte("\r\n")

// framing finds the lines of commands (RFC 5321 section 2.3.8), and the octets of BDAT chunks (RFC 3030 section 2), in what a client sends.
// The end of a DATA body is in its octets: smtp.BodyScanner finds it. Nothing here knows what a line says, or has an answer to it.
//
//	state      what is kept                       next returns        and goes to
//	empty      nothing                            a line              empty
//	                                              lineUnfinished      partial, or skipping when it is too long
//	partial    the beginning of a line            a line              empty
//	                                              lineUnfinished      partial, or skipping
//	skipping   how much of a line was thrown away lineUnfinished      skipping
//	                                              lineTooLong         empty
//	                                              lineEndless         skipping: the session ends
//	in chunk   how much of a chunk is to come     (take)              in chunk, or empty
//
// The zero framing is empty, which nearly all sessions are between two reads.
type framing struct {
	partial *bytebufferpool.ByteBuffer // nil: not partial
	whole   *bytebufferpool.ByteBuffer // what the last line lies in, if it came in pieces
	skipped uint32                     // octets; 0: not skipping
	last    bool                       // the chunk is the message's last
	left    int64                      // octets of the chunk
}

// lineKind says what was found.
type lineKind uint8

const (
	lineUnfinished lineKind = iota // its end is still to come
	lineGood                       // a command, or an answer to 334
	lineNUL                        // it holds NUL
	lineBareLF                     // it ends with a bare LF
	lineBareCR                     // it holds a bare CR
	lineTooLong                    // it was thrown away
	lineEndless                    // it is longer than anybody waits for
	lineForeign                    // it is of another protocol, and so is what follows, whatever it is
)

// release says that the last line that next returned has been dealt with.
func (f *framing) release() {
	if f.whole != nil {
		putBuffer(&linePool, f.whole)
		f.whole = nil
	}
}

// midLine reports whether a line has begun and not ended.
func (f *framing) midLine() bool { return f.partial != nil || f.skipped > 0 }

// drop forgets the beginning of a line.
func (f *framing) drop() {
	if f.partial != nil {
		putBuffer(&linePool, f.partial)
		f.partial = nil
	}
}

// next takes a line, or the part of one that p holds: n octets. text is a good line without its CRLF, valid until release; one that lies in p as
// a whole is used in place. before is how many octets the client had sent before p; answer says that an answer to 334 is due, and no
// command. most is how many octets a command line may have, as Config.MaxLine says.
func (f *framing) next(p []byte, before uint64, answer bool, most int) (n int, kind lineKind, text []byte) {
	end := bytes.IndexByte(p, '\n')
	ended := end >= 0
	if ended {
		p = p[:end+1]
	}
	if len(p) > maxLinePiece {
		p, ended = p[:maxLinePiece], false
	}
	if f.skipped > 0 {
		return f.skip(p, ended)
	}
	if !answer {
		if f.partial != nil {
			n = f.foreign(p, before)
		} else {
			n = smtp.Foreign(p, before == 0)
		}
		if n > 0 {
			f.drop()
			return n, lineForeign, nil
		}
	}
	text = p
	if !ended || f.partial != nil {
		if f.partial == nil {
			f.partial = getBuffer(&linePool, lineCapacity)
		}
		f.partial.B = append(f.partial.B, p...)
		text = f.partial.B
	}
	if len(text) > lineLimit(text, answer, most) {
		f.skipped = uint32(len(text) - len(p)) // #nosec G115 -- what came before p in a line of at most smtp.MaxAuthLine octets
		f.drop()
		return f.skip(p, ended)
	}
	if !ended {
		return len(p), lineUnfinished, nil
	}
	f.whole, f.partial = f.partial, nil
	kind, text = inspect(text, answer)
	return len(p), kind, text
}

// skip throws away a line, or part of one, that is too long. It is worth one answer: at its end, or when it does not end.
func (f *framing) skip(p []byte, ended bool) (n int, kind lineKind, text []byte) {
	room := maxEndlessLine - int(f.skipped)
	if len(p) > room || len(p) == room && !ended {
		return room, lineEndless, nil
	}
	if ended {
		f.skipped = 0
		return len(p), lineTooLong, nil
	}
	f.skipped += uint32(len(p)) // #nosec G115 -- at most room, and with it maxEndlessLine
	return len(p), lineUnfinished, nil
}

// foreign returns how many octets of p show that the line that p goes on with is of another protocol; 0 when none do.
func (f *framing) foreign(p []byte, before uint64) int {
	kept := len(f.partial.B)
	if kept >= smtp.MaxForeign {
		return 0
	}
	var space [2 * smtp.MaxForeign]byte
	text := append(append(space[:0], f.partial.B...), p[:min(len(p), smtp.MaxForeign)]...)
	n := smtp.Foreign(text, before == uint64(kept)) // #nosec G115 -- a length
	if n == 0 {
		return 0
	}
	return n - kept
}

// inspect looks at a whole line.
func inspect(whole []byte, answer bool) (kind lineKind, text []byte) {
	text, ok := bytes.CutSuffix(whole, crlf)
	switch {
	case !ok && !answer && smtp.ForeignRequest(text[:len(text)-1]):
		return lineForeign, nil
	case bytes.IndexByte(text, 0) >= 0:
		return lineNUL, nil
	case !ok:
		return lineBareLF, nil
	case bytes.IndexByte(text, '\r') >= 0:
		return lineBareCR, nil
	}
	return lineGood, text
}

// lineLimit returns how many octets the line that starts like this may have, CRLF included. It looks at the first
// smtp.MaxCommandLine octets only, so that it says the same of a whole line and of its beginning.
func lineLimit(text []byte, answer bool, most int) int {
	if len(text) <= most {
		return most
	}
	if answer {
		return smtp.MaxAuthLine
	}
	switch smtp.ParseCommand(text[:smtp.MaxCommandLine]).Verb {
	case smtp.VerbMail, smtp.VerbRcpt, smtp.VerbSend, smtp.VerbSoml, smtp.VerbSaml:
		return max(smtp.MaxEnvelopeLine, most)
	case smtp.VerbAuth:
		return smtp.MaxAuthLine
	}
	return most
}

// startChunk makes the next octets those of a chunk.
func (f *framing) startChunk(octets int64, last bool) { f.left, f.last = octets, last }

// chunk returns the octets of p that are the chunk's.
func (f *framing) chunk(p []byte) []byte { return p[:min(f.left, int64(len(p)))] }

// take takes n octets of the chunk, and reports whether it has ended.
func (f *framing) take(n int) bool {
	f.left -= int64(n)
	return f.left == 0
}
