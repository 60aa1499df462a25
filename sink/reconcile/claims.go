package reconcile

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Ack is what a sender says about the reply to its message.
type Ack uint8

// The values of Ack.
const (
	AckYes     Ack = iota // told 2xx: somebody is responsible for the message now
	AckNo                 // told a refusal
	AckUnknown            // no reply was read
)

// Claim says that a message was sent to a recipient: one line of sent.jsonl. The unit is (token, recipient); claims of one unit are
// merged, but one that knows the reply takes the place of one with AckUnknown (docs/reconciliation.md, Files).
type Claim struct {
	Token       string // required: an ENVID, or a sender of its own
	Recipient   string // required
	Sender      string // without HasSender: the token
	HasSender   bool   // Sender was given, perhaps as the empty null sender
	Run         string // the run's id
	StormID     string // X-Storm-Id
	MessageID   string // Message-ID
	Hashed      bool   // Body is known
	Body        uint64 // xxh64 of the first 64 KiB of the canonical body
	Size        int64  // octets of the canonical body; 0 when not known
	EightBit    bool   // the body has 8-bit octets
	Notify      string // NOTIFY of RCPT (RFC 3461 section 4.1), such as NEVER or SUCCESS,FAILURE; empty: not given
	DeliveredTo []string
	Ack         Ack
	Intended    time.Time // when it should have been sent; these may be zero
	Sent        time.Time
	Replied     time.Time
	Code        int
}

// begun returns the earliest time that the claim names.
func (c *Claim) begun() time.Time {
	var first time.Time
	for _, t := range [...]time.Time{c.Intended, c.Sent, c.Replied} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// unit is a claimed (message, recipient) and what is known of it.
type unit struct {
	message, next    int32 // next unit of the message, or none
	recipient        uint32
	firstTry         int32 // of attempts, or none
	lastTry          int32
	delivery         int32 // the last of its deliveries, or none
	yes, no, unknown uint16
	flags            flags
	refused          int64 // when the first told 5xx was handed over; 0: none
	refusal          int64 // the first reply of 4yz or 5yz; 0: none
	listed           uint32
	refusalCode      uint16
	refusalStage     uint8
}

// message is what claims of one token share.
type message struct {
	token, sender uint32
	first, last   int32 // units
	body          uint64
	size          int64
	sent          int64 // the earliest time at which a claim says that it was sent; 0: not known
	mailRefused   int64 // when a told 5xx to MAIL was handed over; 0: never
	mailRefusal   int64 // the first 4yz or 5yz to MAIL
	flags         messageFlags
	mailCode      uint16
	storm         uint32 // hash of its X-Storm-Id
	elsewhere     uint32 // the last listing of the queue that has it for a recipient whom it does not claim
}

type messageFlags uint16

const (
	hashed messageFlags = 1 << iota
	eightBit
	hasStormID
	hasMessageID
	noNotify        // failure is not to be notified
	nullSender      // nobody could be notified
	dsnQueued       // its notification is in the queue
	dsnUnclear      // a notification in the queue may be its
	expands         // a recipient has aliases
	unreadRecipient // one of its recipients was refused, since RCPT could not be read
	dsnUnreadable   // a notification that could not be read, or that the sink refused, may be its
)

const none = -1

// Claim takes a claim. All claims come before all else, see Judge.
func (j *Judge) Claim(c *Claim) error {
	if j.units.n >= math.MaxInt32-1 {
		return errTooMuch
	}
	m, err := j.claimMessage(c)
	if err != nil {
		return err
	}
	rcpt := appendAddress(j.buf[:0], []byte(c.Recipient))
	j.buf = rcpt
	u := j.unitOf(m, rcpt)
	if u < 0 {
		name, ok := j.texts.add(rcpt)
		if !ok {
			return errTooMuch
		}
		u = j.units.add(unit{message: m, next: none, recipient: name, firstTry: none, lastTry: none, delivery: none})
		msg := j.messages.at(m)
		if msg.first < 0 {
			msg.first = u
		} else {
			j.units.at(msg.last).next = u
		}
		msg.last = u
		j.byUnit.add(entry{hash: unitHash(m, xxhash.Sum64(rcpt)), text: name, value: u})
	}
	if err := j.aliases(c, m, u); err != nil {
		return err
	}
	if err := j.claimIDs(c, m, u); err != nil {
		return err
	}
	e := j.units.at(u)
	e.claim(c.Ack)
	j.recurs = j.recurs || e.yes+e.no+e.unknown > 1
	j.begins(c)
	return nil
}

// TornClaims says that claims are missing, since who wrote them could not go on. It comes after the claims and before all else: what is seen
// of a message without a claim is nobody's fault then, and what such a message may have in common with a claimed one proves nothing.
func (j *Judge) TornClaims() {
	j.torn = true
	j.result.TornClaims = 1
}

// trusts reports whether a canonical sender by itself tells whose something is. Where claims are missing it has to be a token: others may be
// those of unclaimed messages, too.
func (j *Judge) trusts(sender []byte) bool { return !j.torn || j.tokens.find(&j.texts, sender) != nil }

// claim counts a claim; one that knows the reply takes the place of one that didn't. Of a message that was sent again since no reply came the
// first claim stands: a server may have taken it both times.
func (u *unit) claim(ack Ack) {
	if ack != AckUnknown && u.unknown > 0 {
		u.unknown--
	}
	place := [...]*uint16{AckYes: &u.yes, AckNo: &u.no, AckUnknown: &u.unknown}[ack]
	if *place < math.MaxUint16 {
		*place++
	}
}

// most returns how many deliveries of the unit may be due.
func (u *unit) most() int { return max(1, int(u.yes)+int(u.unknown)) }

// begins notes when the run began, and its id.
func (j *Judge) begins(c *Claim) {
	if t := c.begun(); !t.IsZero() {
		if ns := t.UnixNano(); j.begin == 0 || ns < j.begin {
			j.begin = ns
		}
	}
	if c.Ack == AckYes {
		for _, t := range [...]time.Time{c.Sent, c.Replied} {
			if !t.IsZero() {
				j.latest = max(j.latest, t.UnixNano())
			}
		}
	}
	if c.Run != "" && c.Run != j.lastRun {
		j.lastRun = c.Run
		j.runs[c.Run] = struct{}{}
	}
}

// claimMessage returns the message of the claim's token.
func (j *Judge) claimMessage(c *Claim) (int32, error) {
	token := appendID(j.idBuf[:0], []byte(c.Token))
	j.idBuf = token
	m := j.variant(c, token, j.tokens.message(&j.texts, token))
	if m < 0 {
		name := uint32(0)
		if e := j.tokens.find(&j.texts, token); e != nil {
			name = e.text
		} else {
			var ok bool
			if name, ok = j.texts.add(token); !ok {
				return none, errTooMuch
			}
		}
		m = j.messages.add(message{token: name, sender: name, first: none, last: none})
		j.variants.keep(c, token, m)
		j.tokens.claim(j, name, token, m, none)
		if c.HasSender {
			sender := appendID(nil, []byte(c.Sender))
			if string(sender) != string(token) {
				var ok bool
				if name, ok = j.texts.add(sender); !ok {
					return none, errTooMuch
				}
				j.messages.at(m).sender = name
			}
		}
	}
	msg := j.messages.at(m)
	if !c.Sent.IsZero() && (msg.sent == 0 || c.Sent.UnixNano() < msg.sent) {
		msg.sent = c.Sent.UnixNano()
	}
	if c.StormID != "" {
		msg.storm = stormHash(c)
	}
	if c.Hashed {
		msg.body, msg.size = c.Body, c.Size
		msg.flags |= hashed
	}
	for _, f := range [...]struct {
		on   bool
		flag messageFlags
	}{{c.EightBit, eightBit}, {c.StormID != "", hasStormID}, {c.MessageID != "", hasMessageID}, {!wantsFailure(c.Notify), noNotify}, {c.HasSender && c.Sender == "", nullSender}} {
		if f.on {
			msg.flags |= f.flag
		}
	}
	return m, nil
}

// claimIDs makes the message known by its other identities.
func (j *Judge) claimIDs(c *Claim, m, u int32) error {
	if msg := j.messages.at(m); msg.flags&nullSender == 0 {
		sender := j.texts.get(msg.sender)
		j.senders.claim(j, msg.sender, sender, m, u)
	}
	if err := j.otherSender(c, m, u); err != nil {
		return err
	}
	if len(j.variants) > 0 {
		name := j.messages.at(m).token
		if token := j.texts.get(name); j.tokens.message(&j.texts, token) == several {
			j.tokens.claim(j, name, token, m, u)
		}
	}
	for _, id := range [...]struct {
		x    *ids
		text string
	}{{&j.stormIDs, c.StormID}, {&j.messageIDs, c.MessageID}} {
		if id.text == "" {
			continue
		}
		text := appendID(j.idBuf[:0], []byte(id.text))
		j.idBuf = text
		name := uint32(0)
		if e := id.x.find(&j.texts, text); e == nil { // else it is kept already
			var ok bool
			if name, ok = j.texts.add(text); !ok {
				return errTooMuch
			}
		}
		id.x.claim(j, name, text, m, u)
	}
	if c.Hashed {
		if e := j.bodies.find(c.Body, anyEntry); e == nil {
			j.bodies.add(entry{hash: c.Body, value: m})
		} else if e.value >= 0 && e.value != m {
			e.value = several
		}
	}
	return nil
}

// otherSender makes the message known by the sender of this claim where it is not that of the first one with its token.
func (j *Judge) otherSender(c *Claim, m, u int32) error {
	if !c.HasSender || c.Sender == "" || string(j.texts.get(j.messages.at(m).sender)) == c.Sender {
		return nil
	}
	sender := appendID(j.idBuf[:0], []byte(c.Sender))
	j.idBuf = sender
	if string(j.texts.get(j.messages.at(m).sender)) == string(sender) {
		return nil
	}
	var name uint32
	if e := j.senders.find(&j.texts, sender); e == nil {
		var ok bool
		if name, ok = j.texts.add(sender); !ok {
			return errTooMuch
		}
	}
	j.senders.claim(j, name, sender, m, u)
	return nil
}

func anyEntry(*entry) bool { return true }

// aliases notes the other addresses that a delivery of the unit may have.
func (j *Judge) aliases(c *Claim, m, u int32) error {
	for _, to := range c.DeliveredTo {
		j.messages.at(m).flags |= expands
		alias := appendAddress(nil, []byte(to))
		if j.unitOf(m, alias) >= 0 {
			continue
		}
		name, ok := j.texts.add(alias)
		if !ok {
			return errTooMuch
		}
		j.byUnit.add(entry{hash: unitHash(m, xxhash.Sum64(alias)), text: name, value: u})
	}
	return nil
}

// unitOf returns the unit of a message that has the canonical recipient, or has it as an alias.
func (j *Judge) unitOf(m int32, rcpt []byte) int32 {
	e := j.byUnit.find(unitHash(m, xxhash.Sum64(rcpt)), func(e *entry) bool {
		return j.units.at(e.value).message == m && j.texts.is(e.text, rcpt)
	})
	if e == nil {
		return none
	}
	return e.value
}

func unitHash(m int32, rcpt uint64) uint64 { return mix(rcpt ^ uint64(m)<<32) } // #nosec G115 -- a hash

// mix spreads the bits of a hash.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
