package reconcile

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// sight is all by which something seen may be known: an attempt in a ledger, a line of a queue, a notification.
type sight struct {
	envid     []byte // ENVID as it came, in xtext, or a token
	sender    []byte
	stormID   []byte
	messageID []byte
	hashed    bool
	body      uint64
	recipient []byte
	orcpt     []byte // as it came
}

// found says what a sight belongs to.
type found struct {
	unit    int32 // or none
	message int32 // the message that an identity names though the recipient is not its own; or none
	flags   flags // how the recipient had changed
	shared  bool  // several units have the identities and the recipient, and nothing tells which of them it is
}

// lookup finds the unit of a sight (docs/reconciliation.md, Identity). The envelope goes first: ENVID, then the sender. Then what the message
// says: X-Storm-Id, Message-ID, body. The first that names a unit by its exact recipient decides; only when none does, a recipient
// whose ORCPT is claimed or that differs in the case of its local part alone is taken for the claimed one.
func (j *Judge) lookup(s *sight) found {
	rcpt := appendAddress(j.rcptBuf[:0], s.recipient)
	j.rcptBuf = rcpt
	var named [6]int32 // messages, in the order of what names them
	n, shared := 0, false
	name := func(m int32) {
		if m >= 0 {
			named[n] = m
			n++
		}
	}
	try := func(x *ids, id []byte, canonical bool) int32 {
		if len(id) == 0 {
			return none
		}
		if !canonical {
			j.idBuf = appendID(j.idBuf[:0], id)
			id = j.idBuf
		}
		m := x.message(&j.texts, id)
		if m == several {
			if n > 0 { // what one claim alone has names another message: that this sender has a claim to the recipient proves nothing
				return none
			}
			u := x.unit(j, id, rcpt)
			shared = shared || u == several
			return u
		}
		name(m)
		if m >= 0 {
			return j.unitOf(m, rcpt)
		}
		return none
	}
	u := int32(none)
	if len(s.envid) > 0 {
		if decoded, ok := smtp.DecodeXText(j.xtextBuf[:0], s.envid); ok && bytes.IndexByte(s.envid, '+') >= 0 {
			j.xtextBuf = decoded
			u = try(&j.tokens, decoded, false)
		}
		if u < 0 && n == 0 {
			u = try(&j.tokens, s.envid, false)
		}
	}
	trusted := !j.torn || j.trusts(appendID(nil, s.sender))
	switch {
	case u >= 0:
	case trusted:
		u = try(&j.senders, s.sender, false)
	default:
		shared = j.claimed(rcpt)
	}
	if u < 0 {
		u = try(&j.stormIDs, s.stormID, false)
	}
	if u < 0 {
		u = try(&j.messageIDs, s.messageID, false)
	}
	if u < 0 && s.hashed {
		switch e := j.bodies.find(s.body, anyEntry); {
		case e == nil:
		case e.value >= 0 && !j.torn:
			name(e.value)
			u = j.unitOf(e.value, rcpt)
		default:
			shared = shared || j.claimed(rcpt)
		}
	}
	if u < 0 && n == 0 && !shared && trusted && len(s.sender) > 0 {
		if sender := j.likelySender(appendID(nil, s.sender)); sender != nil {
			u = try(&j.senders, sender, true)
		}
	}
	if u >= 0 {
		return found{unit: u, message: none}
	}
	f := j.nearly(s, rcpt, named[:n])
	f.shared = shared && n == 0 && f.unit < 0
	return f
}

// nearly finds the unit of one of the messages whose recipient a relay has changed.
func (j *Judge) nearly(s *sight, rcpt []byte, named []int32) found {
	if original, ok := decodeORCPT(nil, s.orcpt); ok {
		original = appendAddress(nil, original)
		for _, m := range named {
			if u := j.unitOf(m, original); u >= 0 {
				return found{unit: u, message: none, flags: recipientRewritten}
			}
		}
		j.idBuf = appendID(j.idBuf[:0], s.sender)
		if u := j.senders.unit(j, j.idBuf, original); u >= 0 && j.trusts(j.idBuf) {
			return found{unit: u, message: none, flags: recipientRewritten}
		}
	}
	for _, m := range named {
		for u := j.messages.at(m).first; u >= 0; u = j.units.at(u).next {
			if sameButForCase(j.texts.get(j.units.at(u).recipient), rcpt) {
				return found{unit: u, message: none, flags: caseChanged}
			}
		}
	}
	if len(named) > 0 {
		return found{unit: none, message: named[0]}
	}
	return found{unit: none, message: none}
}

// messageOf returns the only message that ENVID or sender name, for what has no recipient: a MAIL command.
func (j *Judge) messageOf(token, sender []byte) int32 {
	if !bytes.Equal(token, sender) && len(token) > 0 {
		if decoded, ok := smtp.DecodeXText(nil, token); ok {
			if m := j.tokens.message(&j.texts, appendID(nil, decoded)); m >= 0 {
				return m
			}
		}
		if m := j.tokens.message(&j.texts, appendID(nil, token)); m >= 0 {
			return m
		}
	}
	if len(sender) == 0 {
		return none
	}
	j.idBuf = appendID(j.idBuf[:0], sender)
	if m := j.senders.message(&j.texts, j.idBuf); m >= 0 && j.trusts(j.idBuf) {
		return m
	}
	return none
}

// content compares what a delivered message says with what was claimed of the message in whose envelope it came (docs/reconciliation.md,
// Bodies).
func (j *Judge) content(m int32, c *contents) flags {
	msg := j.messages.at(m)
	var f flags
	other := func(x *ids, id []byte) (another, own bool) {
		j.idBuf = appendID(j.idBuf[:0], id)
		e := x.find(&j.texts, j.idBuf)
		return e != nil && e.value != m && e.value != several, e != nil && (e.value == m || e.value == several)
	}
	foreignHeader := false
	if c.headers {
		if msg.flags&hasStormID != 0 {
			switch another, own := other(&j.stormIDs, c.stormID); {
			case another:
				foreignHeader = true
			case !own:
				f |= stormIDLost
			}
		}
		if msg.flags&hasMessageID != 0 {
			switch another, own := other(&j.messageIDs, c.messageID); {
			case another:
				foreignHeader = true
			case own:
			case len(c.messageID) == 0:
				f |= messageIDLost
			default:
				f |= messageIDRewritten
			}
		}
	}
	compared := c.hashed && msg.flags&hashed != 0
	if compared && c.sevenBit && msg.flags&eightBit != 0 {
		compared = false
		f |= bodyNotCompared
		if c.body != msg.body {
			f |= reEncoded
		}
	}
	switch {
	case compared && c.body == msg.body && (c.size == msg.size || msg.size == 0):
		if foreignHeader { // the body is its own, the header another's
			f |= stormIDLost
		}
	case compared:
		f |= altered
		if e := j.bodies.find(c.body, anyEntry); e != nil && e.value != m || foreignHeader {
			f |= swapped
		}
	case foreignHeader:
		f |= altered | swapped
	}
	return f
}

// contents is what is known of a message's headers and body.
type contents struct {
	headers            bool
	stormID, messageID []byte
	hashed             bool
	body               uint64
	size               int64
	sevenBit           bool
}

func addressHash(address []byte) uint64 { return xxhash.Sum64(address) }
