package fault

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Purpose separates the draws that one occurrence needs, so that its code says nothing about its delay.
type Purpose uint8

// The purposes. Their names are part of the hash: new purposes change no draw of the old ones.
const (
	PurposeCode  Purpose = iota // which outcome
	PurposeDelay                // how long it is held back
	PurposeRamp                 // whether the rules of a phase with a ramp apply
	PurposeID                   // what a message is called, see QueueID
)

// String returns the name that goes into the hash.
func (p Purpose) String() string {
	switch p {
	case PurposeDelay:
		return "delay"
	case PurposeRamp:
		return "ramp"
	case PurposeID:
		return "id"
	}
	return "code"
}

// Draw returns 64 uniformly distributed bits for (seed, key, stage, purpose). It is xxhash64 with seed 0 over four fields, each
// preceded by its length in octets as a 32-bit little-endian integer:
//
//	seed     8 octets, little-endian
//	key      as the caller built it, see AppendKey
//	stage    the stage's name, such as "rcpt"
//	purpose  the purpose's name, such as "code"
//
// It is stable: golden vectors in the tests pin it, and a change would break the replay of every recorded run. It does not
// allocate for keys of up to 400 octets.
func Draw(seed uint64, stage smtp.Stage, purpose Purpose, key []byte) uint64 {
	var space [448]byte
	b := binary.LittleEndian.AppendUint32(space[:0], 8)
	b = binary.LittleEndian.AppendUint64(b, seed)
	b = appendField(b, key)
	b = appendField(b, stage.String())
	b = appendField(b, purpose.String())
	return xxhash.Sum64(b)
}

// Uniform maps a draw to [0, 1) with 53 bits.
func Uniform(draw uint64) float64 { return float64(draw>>11) / (1 << 53) }

// below maps a draw to 0 <= index < n and the fraction that is left, in units of 2^-64, by one multiplication.
func below(draw, n uint64) (index, fraction uint64) { return bits.Mul64(draw, n) }

// HashRecipient returns the hash of one recipient address. A session adds up the hashes of the accepted recipients (wrapping
// around): the sum doesn't depend on their order. Spellings of one address are the same recipient.
func HashRecipient(address []byte) uint64 {
	var space [320]byte
	return xxhash.Sum64(smtp.AppendAddress(space[:0], address))
}

// KeyKind says which facts a rule's draws depend on: two occurrences with the same key meet the same fate.
type KeyKind uint8

// The kinds of keys.
const (
	KeyDefault    KeyKind = iota // attempt
	KeyAttempt                   // each attempt anew: the default of every stage, see AppendKey
	KeyRecipient                 // as attempt but without n: a recipient keeps its fate over retries ("sticky")
	KeyMessage                   // (sender, its n-th MAIL): the recipients of one message share a fate
	KeyConnection                // (client address, its n-th connection): a connection keeps its fate
)

var keyKinds = [...]string{"", "attempt", "recipient", "message", "connection"}

// String returns "attempt", "recipient", "message" or "connection"; the empty string for KeyDefault.
func (k KeyKind) String() string { return nameOf(keyKinds[:], int(k)) }

// ParseKeyKind parses the name of a kind; the error names the valid ones.
func ParseKeyKind(name string) (KeyKind, error) {
	return parseName[KeyKind]("key", name, keyKinds[:], 1)
}

// AppendKey appends the key of an occurrence to dst: fields that are each preceded by their length as a 32-bit little-endian
// integer; numbers are 8 octets little-endian, addresses as smtp.AppendAddress writes them, client addresses 16 octets (IPv4
// mapped into IPv6; empty for a unix socket).
//
//	attempt (default)  rcpt, and message in LMTP   sender, recipient, RcptN
//	                   mail                        sender, MailN
//	                   data bdat message           sender, RecipientsHash, MaxRcptN
//	                   connect pregreet helo ehlo
//	                   starttls auth               client, ConnN
//	                   any other stage             client, ConnN, Nth
//	recipient          as attempt, without the last field; only where recipients are known
//	message            sender, MailN; only from mail to message
//	connection         client, ConnN
func AppendKey(dst []byte, kind KeyKind, o *Occurrence) []byte {
	switch {
	case kind == KeyConnection:
		return appendConnection(dst, o)
	case o.OutOfOrder:
		return appendNumber(appendConnection(dst, o), o.Nth)
	case kind == KeyMessage || (o.Stage == smtp.StageMail && kind != KeyRecipient):
		return appendNumber(appendAddressField(dst, o.Sender), o.MailN)
	}
	switch scopeOf(o.Stage) {
	case scopeConnection:
		return appendConnection(dst, o)
	case scopeCommand:
		return appendNumber(appendConnection(dst, o), o.Nth)
	}
	dst = appendAddressField(dst, o.Sender)
	n := o.MaxRcptN
	if len(o.Recipient) > 0 {
		dst, n = appendAddressField(dst, o.Recipient), o.RcptN
	} else {
		dst = appendNumber(dst, o.RecipientsHash)
	}
	if kind == KeyRecipient {
		return dst
	}
	return appendNumber(dst, n)
}

// scope says how long the facts live that a stage's default key is made of.
type scope uint8

const (
	scopeCommand     scope = iota // outside a transaction, may occur any number of times
	scopeConnection               // before the first transaction
	scopeTransaction              // from MAIL to the reply after the body
)

func scopeOf(s smtp.Stage) scope {
	switch s {
	case smtp.StageConnect, smtp.StagePregreet, smtp.StageHelo, smtp.StageEhlo, smtp.StageStartTLS, smtp.StageAuth:
		return scopeConnection
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage:
		return scopeTransaction
	}
	return scopeCommand
}

// knowsRecipients reports whether a recipient is known when the stage occurs.
func knowsRecipients(s smtp.Stage) bool { return scopeOf(s) == scopeTransaction && s != smtp.StageMail }

// keyNeeds returns the shared counters that keys of this kind are made of at the stage.
func keyNeeds(kind KeyKind, s smtp.Stage) Needs {
	switch {
	case kind == KeyConnection, scopeOf(s) != scopeTransaction:
		return Needs{Connections: true}
	case kind == KeyMessage, s == smtp.StageMail:
		return Needs{Mails: true}
	}
	return Needs{Recipients: true}
}

// appendLength appends the length of a field: an address or an identifier of one line, or the name of a rule.
func appendLength(dst []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(n)) // #nosec G115 -- neither a line of the dialogue nor a plan comes near 4 GiB
}

func appendField[T []byte | string](dst []byte, field T) []byte {
	dst = appendLength(dst, len(field))
	return append(dst, field...)
}

func appendAddressField(dst, address []byte) []byte {
	at := len(dst)
	dst = smtp.AppendAddress(appendLength(dst, 0), address)
	setLength(dst, at)
	return dst
}

// setLength puts the length of the field that begins at at, and ends dst, before it.
func setLength(dst []byte, at int) {
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4)) // #nosec G115 -- of a command line
}

func appendNumber(dst []byte, n uint64) []byte {
	dst = appendLength(dst, 8)
	return binary.LittleEndian.AppendUint64(dst, n)
}

func appendConnection(dst []byte, o *Occurrence) []byte {
	return appendNumber(appendClient(dst, o.Client), o.ConnN)
}

func appendClient(dst []byte, client netip.Addr) []byte {
	if !client.IsValid() {
		return appendField(dst, "")
	}
	a := client.As16()
	return appendField(dst, a[:])
}
