package session

import "unsafe"

// Held returns how many octets of buffers the session owns.
func (s *Session) Held() int {
	n := 0
	if s.out.buffer != nil {
		n += cap(s.out.buffer.B)
	}
	if x := s.extra; x != nil {
		if x.framing.partial != nil {
			n += cap(x.framing.partial.B)
		}
		if x.pieces.reply != nil {
			n += cap(x.pieces.reply.B)
		}
		n += cap(x.response)
	}
	if s.tx != nil {
		n += s.tx.held()
		if s.tx.header.buffer != nil {
			n += cap(s.tx.header.buffer.B)
		}
	}
	return n
}

// AtRest reports whether the session owns nothing that an idle connection should not pay for.
func (s *Session) AtRest() bool {
	return s.out.buffer == nil && s.extra == nil && s.tx == nil && s.exchange == nil
}

// FillEnvelope makes the transaction's envelope as large as it may get.
func (s *Session) FillEnvelope() {
	s.tx.arena = append(make([]byte, 0, DefaultMaxEnvelope), s.tx.arena...)[:DefaultMaxEnvelope*4/5]
}

// Recipients returns how many recipients the transaction has.
func (s *Session) Recipients() int { return len(s.tx.recipients) }

// SizeOfRecipient is what one takes beside its address.
const SizeOfRecipient = unsafe.Sizeof(recipient{})
