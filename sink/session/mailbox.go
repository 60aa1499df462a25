package session

// Mailbox takes the messages that come, whatever they are answered. Nothing waits for it: it must be quick, and it changes no reply. It
// must be safe for concurrent use if its sessions are driven by several goroutines.
type Mailbox interface {
	// Take asks for memory of so many octets. When there is none, the message is kept as far as it was read.
	Take(octets int) bool
	// Give gives memory back.
	Give(octets int)
	// MaxBody is how many octets are kept of one message.
	MaxBody() int
	// Body is told of each message whose body has come to its end, before the attempts that its end decides.
	Body(b *Body)
}

// Body is a message as it came, for a Mailbox.
type Body struct {
	Message    uint64 // the connection's n-th MAIL
	Recipients int    // that were accepted: so many attempts follow that have Attempt.Whole
	// Octets are the message, dots unstuffed, without the final dot; less than Size when there was no room for more. They are the
	// Mailbox's from now on, and their capacity is what it gave by Take.
	Octets []byte
	Size   int64
}

// mailed is a message on its way to the Mailbox.
type mailed struct {
	octets []byte
	size   int64 // of all that came
	full   bool
}

// mailedStart is how much memory such a message has at first, in octets.
const mailedStart = 2 << 10

// beginMail starts to keep the message whose body begins.
func (s *Session) beginMail() {
	if tx := s.tx; tx.mailed == nil && !tx.withoutMail {
		tx.mailed = new(mailed)
	}
}

// mailOn keeps octets of the message as they came.
func (s *Session) mailOn(p []byte) {
	m, box := s.tx.mailed, s.env.Mailbox
	m.size += int64(len(p))
	if m.full {
		return
	}
	if room := box.MaxBody() - len(m.octets); len(p) > room {
		p, m.full = p[:room], true
	}
	if need := len(m.octets) + len(p); need > cap(m.octets) {
		grown := min(max(need, 2*cap(m.octets), mailedStart), max(box.MaxBody(), need))
		if !box.Take(grown - cap(m.octets)) {
			p, m.full = p[:cap(m.octets)-len(m.octets)], true
		} else {
			m.octets = append(make([]byte, 0, grown), m.octets...)
		}
	}
	m.octets = append(m.octets, p...)
}

// postMail hands the message over, whose body has come to its end.
func (s *Session) postMail() {
	tx := s.tx
	m := tx.mailed
	b := Body{Message: uint64(s.messages), Recipients: len(tx.recipients), Octets: m.octets, Size: tx.octets()}
	if !tx.chunked() {
		b.Octets = unstuffed(b.Octets, int64(len(b.Octets)) == m.size)
	}
	tx.mailed = nil
	s.env.Mailbox.Body(&b)
}

// dropMail forgets a message whose body never came to its end.
func (s *Session) dropMail() {
	if m := s.tx.mailed; m != nil {
		s.env.Mailbox.Give(cap(m.octets))
		s.tx.mailed = nil
	}
}
