package relay

import (
	"fmt"
	"time"
)

// Spool is what of a relay survives a Kill: the messages that it has answered for, as of their last attempt. It is kept in memory, and
// serves one relay at a time.
type Spool struct {
	last     uint64
	messages map[uint64]*message
}

// message is a message and the recipients that it has to be delivered to yet.
type message struct {
	id         uint64
	arrived    time.Time
	sender     string
	envid, ret string // RFC 3461 sections 4.4 and 4.3
	recipients []recipient
	content    []byte
	hop        string // where it goes

	notification bool
	secret       bool // a copy that no listing shows
	lie          Kind // which it was struck by
	hangUp       bool // still to be done
	tries        int
}

// recipient is one of a message's recipients.
type recipient struct {
	address  string
	notify   string // NOTIFY, as it came; empty: not given
	original string // ORCPT as "type;address", decoded; empty: not given
}

// add gives the message an id and keeps it.
func (s *Spool) add(m *message) {
	if s.messages == nil {
		s.messages = map[uint64]*message{}
	}
	s.last++
	m.id = s.last
	s.messages[m.id] = m
}

// copyOf returns a message with the same content and recipients that is told of nowhere.
func copyOf(m *message) *message {
	c := *m
	c.recipients = append([]recipient(nil), m.recipients...)
	for i := range c.recipients {
		c.recipients[i].notify = "NEVER"
	}
	c.secret, c.lie, c.hangUp, c.tries = true, Truth, false, 0
	return &c
}

// name returns the queue id.
func (m *message) name() string { return fmt.Sprintf("%08X", m.id) }

// stranger returns an address, other for each recipient, that nobody sends anything to.
func (m *message) stranger(n int) string { return fmt.Sprintf("stranger-%d-%d@stranger.test", m.id, n) }
