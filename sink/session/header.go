package session

import (
	"bytes"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// headerCapacity is that of a fresh buffer: most headers fit in.
const headerCapacity = 4 << 10

var headerPool bytebufferpool.Pool

// maxSwitches is how many fields that could ask for a reply are looked at in one message.
const maxSwitches = 32

// header is the captured header of a message. It is a fault.Headers.
type header struct {
	buffer *bytebufferpool.ByteBuffer // nil: not captured
	most   int                        // how many octets are captured: Config.MaxHeader
	done   bool                       // its end was found, or too much was read
	cut    bool                       // too much was read
	line   int                        // where the line begins whose end was not found yet
	last   int                        // where the last field begins whose first line has ended

	unfolded []byte    // scratch space of Header
	searched int       // octets that Header has gone through since takeSearched
	ids      [2][]byte // the X-Storm-Id and the Message-ID
	idsRead  [2]bool   // whether they are final: each of a thousand rows asks for them

	// What each message is asked for is noted while its lines are looked at: one recipient or fifty, nobody searches again.
	switches  []uint32 // where the first maxSwitches fields begin that fault.HeaderSwitch could read
	stormID   int      // 1 + where the first field of that name begins; 0: there is none
	messageID int      // likewise
}

// The fields that identify a message.
const (
	fieldStormID   = "x-storm-id"
	fieldMessageID = "message-id"
)

func (h *header) captured() bool { return h.buffer != nil }

// begin starts the capture of so many octets at most.
func (h *header) begin(most int) {
	if h.buffer == nil {
		h.buffer = getBuffer(&headerPool, headerCapacity)
	}
	buffer := h.buffer
	buffer.B = buffer.B[:0]
	*h = header{buffer: buffer, most: most, unfolded: h.unfolded[:0], switches: h.switches[:0]}
}

func (h *header) release() {
	if h.buffer != nil {
		putBuffer(&headerPool, h.buffer)
		h.buffer = nil
	}
	space := h.unfolded[:0]
	if cap(space) > headerCapacity {
		space = nil
	}
	*h = header{unfolded: space, switches: h.switches[:0]}
}

// add takes octets of the message up to the end of its header.
func (h *header) add(p []byte) {
	if h.done || h.buffer == nil {
		return
	}
	b := h.buffer
	p = p[:min(len(p), h.most-len(b.B))]
	if len(b.B) == 0 { // nothing of the body is copied
		end := h.look(p, 0)
		h.done = end >= 0
		if h.done {
			p = p[:end]
		}
		b.B = append(b.B, p...)
	} else {
		from := len(b.B)
		b.B = append(b.B, p...)
		if end := h.look(b.B, from); end >= 0 {
			b.B, h.done = b.B[:end], true
		}
	}
	if h.cut = !h.done && len(b.B) == h.most; h.cut {
		h.done = true
		h.truncate(h.complete(b.B))
	}
}

// truncate forgets what was captured from n on.
func (h *header) truncate(n int) {
	h.buffer.B = h.buffer.B[:n]
	for _, at := range []*int{&h.stormID, &h.messageID} {
		if *at > n {
			*at = 0
		}
	}
	for i, at := range h.switches {
		if int(at) >= n {
			h.switches = h.switches[:i]
			break
		}
	}
}

// complete returns how much of b, which goes on behind its end, are fields that have ended: the line after the last one shows whether it
// goes on.
func (h *header) complete(b []byte) int {
	if h.line < len(b) && !isBlank(b[h.line]) {
		return h.line
	}
	return h.last
}

// finish says that the message is over, header or not.
func (h *header) finish() {
	if h.buffer == nil || h.done {
		return
	}
	h.done = true
	if rest := h.buffer.B[h.line:]; len(rest) > 0 {
		h.note(rest)
	}
}

// look goes through the lines of b, which is what was captured so far; before from there is no LF that it has not seen. It returns
// where the empty line ends that ends the header (RFC 5322 section 2.1), or -1. A line that ends in LF alone counts as one, too:
// such a message may be accepted.
func (h *header) look(b []byte, from int) int {
	for {
		n := bytes.IndexByte(b[from:], '\n')
		if n < 0 {
			return -1
		}
		from += n + 1
		line := b[h.line:from]
		if len(line) == 1 || len(line) == 2 && line[0] == '\r' {
			return from
		}
		if !isBlank(line[0]) {
			h.last = h.line
		}
		h.note(line)
		h.line = from
	}
}

// note looks at a line that begins at h.line.
func (h *header) note(line []byte) {
	switch line[0] | 0x20 {
	case 'm':
		if h.messageID == 0 && hasName(line, fieldMessageID) {
			h.messageID = 1 + h.line
		}
	case 'x':
		switch {
		case len(line) < 3 || line[1] != '-':
		case hasName(line, fieldStormID):
			if h.stormID == 0 {
				h.stormID = 1 + h.line
			}
		case len(h.switches) < maxSwitches && isSwitch(line):
			h.switches = append(h.switches, uint32(h.line)) // #nosec G115 -- below Config.MaxHeader
		}
	}
}

// isSwitch reports whether a line starts a field that fault.HeaderSwitch reads.
func isSwitch(line []byte) bool {
	for _, name := range fault.SwitchFields() {
		if hasName(line, name) {
			return true
		}
	}
	return false
}

// Header implements fault.Headers. Fields are counted in octets: next is where the next one begins.
func (h *header) Header(name string, from int) (value []byte, next int, ok bool) {
	if h.buffer == nil {
		return nil, 0, false
	}
	b := h.buffer.B
	for begin := from; from < len(b); {
		n := lineEnd(b[from:])
		if hasName(b[from:from+n], name) {
			end := fieldEnd(b[from:], n)
			value, h.unfolded = unfold(h.unfolded[:0], fieldValue(b[from:from+end]))
			h.searched += from + end - begin
			return value, from + end, true
		}
		if from += n; from >= len(b) {
			h.searched += from - begin
		}
	}
	return nil, 0, false
}

// takeSearched returns how many octets Header has gone through since the last call.
func (h *header) takeSearched() (n int) {
	n, h.searched = h.searched, 0
	return n
}

// switchFields are the fields of a header that could ask for a reply, as a fault.Headers that searches nothing else.
type switchFields header

// Header implements fault.Headers. next is an index of switches.
func (f *switchFields) Header(name string, from int) (value []byte, next int, ok bool) {
	h := (*header)(f)
	for ; from < len(h.switches); from++ {
		b := h.buffer.B[h.switches[from]:]
		if n := lineEnd(b); hasName(b[:n], name) {
			value, h.unfolded = unfold(h.unfolded[:0], fieldValue(b[:fieldEnd(b, n)]))
			h.searched += len(value)
			return value, from + 1, true
		}
	}
	return nil, 0, false
}

// The fields that identify a message, as indices of header.ids.
const (
	idStorm = iota
	idMessage
)

// id returns the value of the first X-Storm-Id or Message-ID, nil when there is none, nor any whose first line has ended yet. It is valid
// until more is captured.
func (h *header) id(which int) []byte {
	if h.buffer == nil {
		return nil
	}
	if h.idsRead[which] {
		return h.ids[which]
	}
	at := h.stormID
	if which == idMessage {
		at = h.messageID
	}
	h.idsRead[which] = h.done
	if at == 0 {
		return nil
	}
	b := h.buffer.B[at-1:]
	h.ids[which], _ = unfold(nil, fieldValue(b[:fieldEnd(b, lineEnd(b))]))
	return h.ids[which]
}

// unfold returns a field's value without the ends of its lines (RFC 5322 section 2.2.3): a part of it when it has one line, and otherwise
// appended to dst. space is dst, as large as it has become.
func unfold(dst, value []byte) (unfolded, space []byte) {
	if bytes.IndexByte(value, '\n') < 0 {
		return value, dst
	}
	for len(value) > 0 {
		line := value[:lineEnd(value)]
		value = value[len(line):]
		if text, ended := bytes.CutSuffix(line, lf); ended {
			line = bytes.TrimSuffix(text, cr)
		}
		dst = append(dst, line...)
	}
	return dst, dst
}

var (
	cr = []byte{'\r'}
	lf = []byte{'\n'}
)

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// lineEnd returns where the first line of b ends.
func lineEnd(b []byte) int {
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		return n + 1
	}
	return len(b)
}

// fieldValue returns the value of a field without the blanks around it, folded as it came.
func fieldValue(field []byte) []byte {
	_, value, _ := bytes.Cut(field, colon)
	return bytes.Trim(value, " \t\r\n")
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

// mayAsk reports whether any field could be one of those that fault.HeaderSwitch reads, so that most headers are never searched.
func (h *header) mayAsk() bool { return len(h.switches) > 0 }

// capture starts to look at the message whose body begins, in chunks or not, as far as anybody needs it.
func (s *Session) capture(chunks bool) {
	if s.cfg.Capture != CaptureNone {
		s.beginCapture()
	}
	if s.env.Mailbox != nil {
		s.beginMail()
	}
	if s.cfg.HashBodies {
		s.tx.digest.Begin(chunks)
	}
	if s.cfg.Triggers || s.cfg.CaptureHeaders || s.view.Needs().Headers {
		s.tx.header.begin(s.cfg.maxHeader())
	}
}

// switchFor returns what a tester asks for by the recipient's address or the message's header, or nil.
func (s *Session) switchFor(stage smtp.Stage) *fault.Switch {
	e := s.exchange
	switch stage {
	case smtp.StageRcpt:
		ask, malformed := fault.AddressTrigger(e.recipient)
		if malformed {
			s.noteBadSwitches(fault.BadSwitches{Count: 1, First: fault.CutSwitch("RCPT " + string(e.recipient))})
		}
		if ask.IsZero() {
			return nil
		}
		e.ask = ask
		return &e.ask
	case smtp.StageMessage:
		return s.tx.asked(s)
	}
	return nil
}

// noteBadSwitches notes switches that mean nothing, for the row of the connection.
func (s *Session) noteBadSwitches(bad fault.BadSwitches) {
	x := s.lasting()
	if x.badSwitches == 0 {
		x.badSwitch = bad.First
	}
	x.badSwitches += uint64(bad.Count) // #nosec G115 -- a count of fields
}

// asked returns what the message's header asks for, or nil. It is read once, and forgotten with the transaction.
func (tx *transaction) asked(s *Session) *fault.Switch {
	if !tx.askRead {
		tx.askRead = true
		if tx.header.mayAsk() {
			ask, bad := fault.HeaderSwitch((*switchFields)(&tx.header))
			if bad.Count > 0 {
				s.noteBadSwitches(bad)
			}
			if !ask.IsZero() {
				tx.ask = &ask
			}
		}
	}
	return tx.ask
}
