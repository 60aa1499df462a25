package smtp

import (
	"bytes"
	"fmt"
	"slices"
)

// What a ReplyParser keeps of one reply at the most. RFC 5321 section 4.5.3.1.5 allows 512 octets a line, but asks to accept more
// where possible.
const (
	MaxParsedReplyLine  = 4096      // octets of one line in front of LF
	MaxParsedReplyLines = 200       // lines of one reply
	MaxParsedReply      = 64 * 1024 // octets of one reply, line ends left out
)

// ReplySyntaxError says that what a server sent is no reply. The connection can't be used any longer: where the next reply
// would start is unknown.
type ReplySyntaxError struct {
	Reason string // what is wrong
	Line   string // the start of the culprit line, at most 64 octets
}

// Error returns one line with the reason and the culprit.
func (e *ReplySyntaxError) Error() string {
	return fmt.Sprintf("malformed reply: %s: %q", e.Reason, e.Line)
}

// ReplyParser cuts a stream of octets into replies (RFC 5321 section 4.2). The stream may come in any pieces: they make no
// difference. The zero value is ready to use. A parser keeps at most MaxParsedReply octets, and does not allocate once it has
// seen a reply as large as the present one.
//
// It accepts what real servers send: LF without CR as the end of a line (what stands in front of it is the line, less one CR), a
// code without a text, any octets in the text, and lines of up to MaxParsedReplyLine octets. It is an error when a line doesn't
// start with three digits from 200 to 599, when what follows them is neither space nor "-" nor the end, when the lines of a reply
// have different codes, and when a limit is exceeded.
//
// A ReplyParser may not be used by several goroutines at once.
type ReplyParser struct {
	code     Code
	enhanced Enhanced
	buf      []byte // the lines of the present reply in full, one after the other; the last may be incomplete
	lines    []textSpan
	start    int // where the incomplete line starts in buf
	complete bool
	err      *ReplySyntaxError

	lastDecides bool
}

// LastLineDecides has replies whose lines differ in their codes mean what their last line says, instead of being errors. Greetings are
// read so: Postfix's postscreen says "220-" while it makes up its mind, and then "521 " on the last line.
func (r *ReplyParser) LastLineDecides(on bool) { r.lastDecides = on }

// textSpan is where a line's text stands in buf.
type textSpan struct{ from, to int32 }

// Feed reads octets up to the end of one reply. n is how many were read; done says that the reply is complete, and then the
// octets behind it belong to the next one and are to be fed again. When done is false, n is len(p) and more is needed. The error
// is a *ReplySyntaxError, stays, and leaves n without meaning. Feed doesn't keep p.
//
// The call after a complete reply starts the next one, and invalidates what Line returned.
func (r *ReplyParser) Feed(p []byte) (n int, done bool, err error) {
	if r.err != nil {
		return 0, false, r.err
	}
	if r.complete {
		r.Reset()
	}
	for n < len(p) {
		end := bytes.IndexByte(p[n:], '\n')
		piece := p[n:]
		if end >= 0 {
			piece = piece[:end]
		}
		lineRoom, room := MaxParsedReplyLine-(len(r.buf)-r.start), MaxParsedReply-len(r.buf)
		if over := min(lineRoom, room) + 1; len(piece) >= over {
			if room < lineRoom {
				return 0, false, r.fail(piece[:over], fmt.Sprintf("more than %d octets", MaxParsedReply))
			}
			return 0, false, r.fail(piece[:over], fmt.Sprintf("line of more than %d octets", MaxParsedReplyLine))
		}
		r.buf = append(r.buf, piece...)
		n += len(piece)
		if end < 0 {
			break
		}
		n++
		if err := r.endLine(); err != nil {
			return 0, false, err
		}
		if r.complete {
			return n, true, nil
		}
	}
	return n, false, nil
}

// endLine takes in the line that buf ends with.
func (r *ReplyParser) endLine() error {
	line := r.buf[r.start:]
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return r.fail(nil, "line does not start with a reply code from 200 to 599")
	}
	if len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return r.fail(nil, "reply code is not followed by a space or \"-\"")
	}
	code := Code(line[0]-'0')*100 + Code(line[1]-'0')*10 + Code(line[2]-'0')
	text := line[min(4, len(line)):]
	enhanced, rest, ok := CutEnhanced(text)
	switch {
	case len(r.lines) == 0 || r.lastDecides && code != r.code:
		r.code, r.enhanced = code, Enhanced{}
		if ok && enhanced.Class == code.Class() { // RFC 2034 section 4
			r.enhanced, text = enhanced, rest
		}
	case code != r.code:
		return r.fail(nil, fmt.Sprintf("reply code differs from %d in the lines before", r.code))
	case ok && enhanced == r.enhanced:
		text = rest
	}
	to := r.start + len(line)
	r.lines = append(r.lines, textSpan{int32(to - len(text)), int32(to)}) // #nosec G115 -- offsets in buf, which has at most MaxParsedReply octets
	r.start = len(r.buf)
	r.complete = len(line) < 4 || line[3] == ' '
	if !r.complete && len(r.lines) == MaxParsedReplyLines {
		return r.fail(line, fmt.Sprintf("more than %d lines", MaxParsedReplyLines))
	}
	return nil
}

func (r *ReplyParser) fail(piece []byte, reason string) *ReplySyntaxError {
	line := bytes.TrimSuffix(slices.Concat(r.buf[r.start:], piece), []byte{'\r'})
	r.err = &ReplySyntaxError{Reason: reason, Line: string(line[:min(64, len(line))])}
	return r.err
}

// Reset forgets the present reply and an error, and keeps the memory.
func (r *ReplyParser) Reset() {
	r.code, r.enhanced = 0, Enhanced{}
	r.buf, r.lines = r.buf[:0], r.lines[:0]
	r.start, r.complete, r.err = 0, false, nil
}

// Pending reports whether a reply has started and is not complete: an end of the stream would cut it off.
func (r *ReplyParser) Pending() bool { return !r.complete && len(r.buf) > 0 }

// Code returns the code of the reply, which is known once its first line is complete, and 0 before.
func (r *ReplyParser) Code() Code { return r.code }

// Enhanced returns the enhanced status code of the reply: the one that its first line has, provided that its class is the first
// digit of the code. It is absent otherwise, and then what looks like one is text.
func (r *ReplyParser) Enhanced() Enhanced { return r.enhanced }

// NumLines returns the number of complete lines, which is at least one when the reply is complete.
func (r *ReplyParser) NumLines() int { return len(r.lines) }

// Line returns the text of the i-th line, from 0: without the code, the enhanced status code of the reply and the line end. It is
// valid until the next call of Feed or Reset.
func (r *ReplyParser) Line(i int) []byte {
	s := r.lines[i]
	return r.buf[s.from:s.to:s.to]
}

// Reply returns a copy of the reply that stays valid.
func (r *ReplyParser) Reply() *Reply {
	reply := &Reply{Code: r.code, Enhanced: r.enhanced, Lines: make([]string, len(r.lines))}
	for i := range reply.Lines {
		reply.Lines[i] = string(r.Line(i))
	}
	return reply
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
