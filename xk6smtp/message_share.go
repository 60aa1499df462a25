package xk6smtp

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// messages are the messages of a process by their content: every VU runs the same script, and so asks for the same ones. They are not kept: a message
// goes when the last VU that has it does.
type messages struct {
	mu   sync.Mutex
	made map[messageKey]*sharedMessage
}

func newMessages() *messages { return &messages{made: make(map[messageKey]*sharedMessage)} }

// messageKey is the digest of all that a message is made of.
type messageKey [sha256.Size]byte

// sharedMessage is a place where one VU builds, and the others wait for it.
type sharedMessage struct {
	mu    sync.Mutex
	built weak.Pointer[message]
	users int // that are about to look at built; guarded by messages.mu
}

// get returns the message of these options, which it builds if no VU has it.
func (s *messages) get(o *messageOptions) (*message, error) {
	key := o.key()
	s.mu.Lock()
	at := s.made[key]
	if at == nil {
		at = &sharedMessage{}
		s.made[key] = at
	}
	at.users++
	s.mu.Unlock()
	defer s.left(key, at)

	at.mu.Lock()
	defer at.mu.Unlock()
	if m := at.built.Value(); m != nil {
		return m, nil
	}
	m, err := newMessage(o)
	if err != nil {
		return nil, err
	}
	at.built = weak.Make(m)
	runtime.AddCleanup(m, func(key messageKey) { s.forget(key) }, key)
	return m, nil
}

// left drops a place that nobody uses.
func (s *messages) left(key messageKey, at *sharedMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at.users--
	s.dropUnused(key, at)
}

// forget drops the place of a message that is gone, unless it was built again.
func (s *messages) forget(key messageKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.made[key]; at != nil {
		s.dropUnused(key, at)
	}
}

func (s *messages) dropUnused(key messageKey, at *sharedMessage) {
	if at.users == 0 && at.built.Value() == nil {
		delete(s.made, key)
	}
}

// key digests the options. Every part is written with its length, so that no two different messages have the same input.
func (o *messageOptions) key() (key messageKey) {
	d := digest{sha256.New()}
	d.text(o.from, o.subject, o.text, o.html)
	d.list(o.to)
	d.list(o.cc)
	d.list(o.bcc)
	d.list(o.replyTo)
	d.pairs(o.headers)
	d.pairs(o.fields)
	d.number(o.size)
	d.bytes(o.raw)
	d.files(o.attachments)
	d.files(o.inline)
	d.list(slices.Sorted(maps.Keys(o.given)))
	d.Sum(key[:0])
	return key
}

type digest struct{ hash.Hash }

func (d digest) number(n int) {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(n)) // #nosec G115 -- a length, or a bound
	_, _ = d.Write(buf[:])                        // a hash takes everything
}

func (d digest) bytes(b []byte) {
	d.number(len(b))
	_, _ = d.Write(b)
}

func (d digest) text(list ...string) {
	for _, s := range list {
		d.bytes([]byte(s))
	}
}

func (d digest) list(list []string) {
	d.number(len(list))
	d.text(list...)
}

func (d digest) pairs(list []pair) {
	d.number(len(list))
	for _, p := range list {
		d.text(p.name, p.value)
	}
}

func (d digest) files(list []attachment) {
	d.number(len(list))
	for _, a := range list {
		d.text(a.name, a.contentType, a.cid)
		d.bytes(a.content)
	}
}
