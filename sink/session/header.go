package session

import (
	"bytes"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxHeader is how many octets of a message's header are captured. What lies behind is as if absent.
const maxHeader = 64 << 10

// headerCapacity is that of a fresh buffer: most headers fit in.
const headerCapacity = 4 << 10

var headerPool bytebufferpool.Pool

// header is the captured header of a message. It is a fault.Headers.
type header struct {
	buffer *bytebufferpool.ByteBuffer // nil: not captured
	done   bool                       // its end was found, or too much was read
}

func (h *header) captured() bool { return h.buffer != nil }

// begin starts the capture.
func (h *header) begin() {
	if h.buffer == nil {
		h.buffer = getBuffer(&headerPool, headerCapacity)
	}
	h.buffer.B, h.done = h.buffer.B[:0], false
}

func (h *header) release() {
	if h.buffer != nil {
		putBuffer(&headerPool, h.buffer)
		h.buffer = nil
	}
}

// add takes octets of the message up to the end of its header.
func (h *header) add(p []byte) {
	if h.done || h.buffer == nil {
		return
	}
	b := h.buffer
	p = p[:min(len(p), maxHeader-len(b.B))]
	if len(b.B) == 0 {
		end := headerEnd(p, 0)
		h.done = end >= 0
		if h.done {
			p = p[:end]
		}
		b.B = append(b.B, p...)
	} else {
		from := len(b.B)
		b.B = append(b.B, p...)
		if end := headerEnd(b.B, from); end >= 0 {
			b.B, h.done = b.B[:end], true
		}
	}
	h.done = h.done || len(b.B) == maxHeader
}

// headerEnd returns where the empty line is that ends a header (RFC 5322 section 2.1), or -1. What lies before from was searched
// already. A line that ends in LF alone counts as one, too: such a message may be accepted.
func headerEnd(b []byte, from int) int {
	for i := max(from-len(crlf), 0); i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		if line := i + n; emptyLine(b[:line]) {
			return line + 1
		}
		i += n + 1
	}
	return -1
}

// emptyLine reports whether the last line of b, which misses its LF, is empty.
func emptyLine(b []byte) bool {
	b = bytes.TrimSuffix(b, crlf[:1])
	return len(b) == 0 || b[len(b)-1] == '\n'
}

// Header implements fault.Headers: the first field of that name, which is in lower case.
func (h *header) Header(name string) (value []byte, ok bool) {
	if h.buffer == nil {
		return nil, false
	}
	for b := h.buffer.B; len(b) > 0; {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		if hasName(b[:n], name) {
			n = fieldEnd(b, n)
			_, value, _ = bytes.Cut(b[:n], colon)
			return bytes.TrimSpace(value), true
		}
		b = b[n:]
	}
	return nil, false
}

var colon = []byte{':'}

// hasName reports whether a line starts the field of that name: blanks before the colon are obsolete but legal (RFC 5322 section 4.5).
func hasName(line []byte, name string) bool {
	if len(line) <= len(name) {
		return false
	}
	for i := range len(name) {
		c := line[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	rest := bytes.TrimLeft(line[len(name):], " \t")
	return len(rest) > 0 && rest[0] == ':'
}

// fieldEnd returns where the field ends whose first line has n octets: the lines after it that start with a blank belong to it.
func fieldEnd(b []byte, n int) int {
	for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
		more := bytes.IndexByte(b[n:], '\n') + 1
		if more == 0 {
			return len(b)
		}
		n += more
	}
	return n
}

// mayAsk reports whether any field could be one of those that fault.HeaderSwitch reads, so that most headers are searched once.
func (h *header) mayAsk() bool {
	if h.buffer == nil {
		return false
	}
	for b := h.buffer.B; len(b) > len("x-storm"); {
		if (b[0] == 'x' || b[0] == 'X') && b[1] == '-' {
			if c := b[2] | 0x20; c == 's' || c == 'b' {
				return true
			}
		}
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return false
}

// capture starts to capture the message's header if anybody needs it.
func (s *Session) capture() {
	if s.cfg.Triggers || s.cfg.CaptureHeaders || s.view.Needs().Headers {
		s.tx.header.begin()
	}
}

// switchFor returns what a tester asks for by the recipient's address or the message's header, or nil.
func (s *Session) switchFor(stage smtp.Stage) *fault.Switch {
	w := s.work
	switch stage {
	case smtp.StageRcpt:
		ask, malformed := fault.AddressTrigger(w.recipient)
		if malformed {
			s.lasting().badSwitches++
		}
		if ask.IsZero() {
			return nil
		}
		w.ask = ask
		return &w.ask
	case smtp.StageMessage:
		return s.tx.asked(s)
	}
	return nil
}

// asked returns what the message's header asks for, or nil. It is read once, and forgotten with the transaction.
func (tx *transaction) asked(s *Session) *fault.Switch {
	if !tx.askRead {
		tx.askRead = true
		if tx.header.mayAsk() {
			ask, malformed := fault.HeaderSwitch(&tx.header)
			if malformed > 0 {
				s.lasting().badSwitches += uint32(malformed)
			}
			if !ask.IsZero() {
				tx.ask = &ask
			}
		}
	}
	return tx.ask
}
