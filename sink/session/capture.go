package session

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Capture says which messages of a listener are captured whole: see EffectCapture.
type Capture uint8

// The choices.
const (
	CaptureNone Capture = iota
	CaptureNull         // those with the null sender, as notifications have it (RFC 3461 section 6.1)
	CaptureAll
)

// Captures bounds what sessions keep of the messages that they capture. It is safe for concurrent use.
type Captures struct {
	message, all int64 // octets
	used         atomic.Int64
}

// NewCaptures lets sessions keep at most so many octets of one message, and of all together: a message longer than the first is cut there,
// and one for which there is no memory left is refused with 452 4.3.1.
func NewCaptures(message, all int64) *Captures { return &Captures{message: message, all: all} }

// Release gives back the memory of a message that EffectCapture has handed over, and that is not needed any more.
func (c *Captures) Release(m *Captured) {
	c.used.Add(-int64(cap(m.Octets)))
	m.Octets = nil
}

// take asks for memory.
func (c *Captures) take(octets int) bool {
	if c.used.Add(int64(octets)) > c.all {
		c.used.Add(-int64(octets))
		return false
	}
	return true
}

// Captured is a message as EffectCapture hands it over. It belongs to the driver, who gives it to Captures.Release in the end.
type Captured struct {
	Recipient []byte    // the first one for whom it is delivered, without <>
	Octets    []byte    // the message, dots unstuffed; as far as Captures lets it be kept
	Size      int64     // of the whole message, in octets
	Time      time.Time // when its body came to its end
}

// capturing is a message under capture.
type capturing struct {
	octets []byte
	size   int64 // of all that came
	state  captureState
}

type captureState uint8

const (
	captureOpen   captureState = iota
	captureFull                // there was no memory left
	captureKept                // it is where the driver puts it
	captureFailed              // the driver could not put it there, or not in time
)

// captureStart is how much memory a captured message has at first, in octets: most notifications fit in.
const captureStart = 8 << 10

// beginCapture starts to keep the message whose body begins, if it is to be captured.
func (s *Session) beginCapture() {
	tx := s.tx
	if s.cfg.Capture == CaptureNull && len(tx.sender()) > 0 || tx.withoutMail || s.env.Captures == nil || tx.captured != nil {
		return
	}
	tx.captured = new(capturing)
}

// keep keeps octets of the message as they came.
func (s *Session) keep(p []byte) {
	c, bounds := s.tx.captured, s.env.Captures
	c.size += int64(len(p))
	n := min(int64(len(p)), bounds.message-int64(len(c.octets)))
	if c.state != captureOpen || n <= 0 {
		return
	}
	if need := len(c.octets) + int(n); need > cap(c.octets) {
		grown := int(min(int64(max(need, 2*cap(c.octets), captureStart)), max(bounds.message, int64(need))))
		if !bounds.take(grown - cap(c.octets)) {
			bounds.used.Add(-int64(cap(c.octets)))
			c.octets, c.state = nil, captureFull
			return
		}
		c.octets = append(make([]byte, 0, grown), c.octets...)
	}
	c.octets = append(c.octets, p[:n]...)
}

// dropCapture forgets the message under capture.
func (s *Session) dropCapture() {
	if c := s.tx.captured; c != nil {
		s.env.Captures.used.Add(-int64(cap(c.octets)))
		s.tx.captured = nil
	}
}

// captures reports whether the reply that was decided makes the message one that is delivered, and that has yet to be captured.
func (s *Session) captures() bool {
	e, tx := s.exchange, s.tx
	if tx == nil || tx.captured == nil || tx.captured.state == captureKept || tx.next >= len(tx.recipients) {
		return false
	}
	if f := e.faults; f != nil && f.Unsent() {
		return f.Delivery == fault.DeliveryKeep
	}
	return s.delivers(e.decision.Reply)
}

// handOver holds the reply that was decided back until the message is where the driver puts it. A message that can't be captured is
// refused, so that its sender tries again: none is lost silently.
func (s *Session) handOver() {
	switch s.tx.captured.state {
	case captureFull:
		s.refuse(smtp.StageMessage, &replyNoRoom)
	case captureFailed:
		s.refuse(smtp.StageMessage, &replyNotCommitted)
	default:
		s.waitFor(waitCapture, s.cfg.maxCommit())
	}
}

// captureEffect hands the message over.
func (s *Session) captureEffect() Effect {
	tx := s.tx
	c := tx.captured
	m := &Captured{
		Recipient: bytes.Clone(tx.bytes(tx.recipients[tx.next].address)), Octets: c.octets, Size: tx.octets(), Time: s.at(s.exchange.now),
	}
	if !tx.chunked() {
		m.Octets = unstuffed(m.Octets, int64(len(m.Octets)) == c.size)
	}
	c.octets = nil
	return Effect{Kind: EffectCapture, Ticket: s.ticket(), Captured: m}
}

// unstuffed takes out the dots that the client has put in front of dots (RFC 5321 section 4.5.2), and, of a whole body, its end. The
// memory stays the same.
func unstuffed(body []byte, whole bool) []byte {
	if whole {
		body = body[:len(body)-len(".\r\n")]
	}
	out := body[:0]
	for len(body) > 0 {
		if body[0] == '.' {
			body = body[1:]
		}
		n := bytes.Index(body, crlf) + len(crlf)
		if n < len(crlf) {
			n = len(body)
		}
		out = append(out, body[:n]...)
		body = body[n:]
	}
	return out
}

// giveUpCapture refuses a message that was not captured in time.
func (s *Session) giveUpCapture() {
	s.resume()
	s.tx.captured.state = captureFailed
	s.refuse(smtp.StageMessage, &replyNotCommitted)
}

// capturedAs goes on with the reply once the message is where the driver puts it, or can't be put there.
func (s *Session) capturedAs(err error) {
	if err != nil {
		s.tx.captured.state = captureFailed
		s.refuse(smtp.StageMessage, &replyNotCommitted)
		return
	}
	s.tx.captured.state = captureKept
	s.reply()
}
