package state

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Attempts counts connections per client, MAIL commands per sender and RCPT commands per (sender, recipient) pair, however these are
// spelt. All methods
// are safe for concurrent use; none keeps a slice that it was given; none allocates once its store has grown to its load.
type Attempts struct{ store *Store }

// NewAttempts returns empty counters that lie in a store; nil means one of their own. When the store is full the keys that were not
// used for the longest time are forgotten, and start again at 1 when they come back.
func NewAttempts(store *Store) *Attempts {
	if store == nil {
		store = NewStore(0)
	}
	return &Attempts{store: store}
}

// Connection returns the ordinal, from 1, of a connection that the client opens now. The zero Addr (a unix socket) is a client
// like any other.
func (a *Attempts) Connection(client netip.Addr) uint64 {
	octets := clientOctets(client)
	return a.store.next(kindConnection, fingerprintOf(octets[:], nil))
}

// clientOctets returns what tells a client from others: 192.0.2.1 and ::ffff:192.0.2.1 are one, a unix socket is one of its own.
func clientOctets(client netip.Addr) (octets [17]byte) {
	*(*[16]byte)(octets[:]) = client.As16()
	if client.IsValid() {
		octets[16] = 1
	}
	return octets
}

// Mail returns the ordinal, from 1, of a MAIL command of the sender. The null sender is the empty slice.
func (a *Attempts) Mail(sender []byte) uint64 {
	var space [320]byte
	return a.store.next(kindMail, fingerprintOf(smtp.AppendAddress(space[:0], sender), nil))
}

// Recipient returns the ordinal, from 1, of a RCPT command for the recipient in a transaction of the sender.
func (a *Attempts) Recipient(sender, recipient []byte) uint64 {
	var senders, recipients [320]byte
	return a.store.next(kindRecipient, fingerprintOf(smtp.AppendAddress(senders[:0], sender), smtp.AppendAddress(recipients[:0], recipient)))
}

// Stats returns the figures without stopping anyone: they may be apart by the calls that are under way.
func (a *Attempts) Stats() count.Ordinals {
	t := a.store
	return count.Ordinals{
		Connections: t.count(kindConnection), Mails: t.count(kindMail), Recipients: t.count(kindRecipient),
		Evictions: t.evictions[kindConnection].Load() + t.evictions[kindMail].Load() + t.evictions[kindRecipient].Load(),
	}
}

// fingerprintOf hashes two fields with the length of the first before them, so that ("ab", "c") is not ("a", "bc").
func fingerprintOf(first, second []byte) fingerprint {
	return fingerprint{hash(0, first, second), hash(otherSeed, first, second)}
}

// otherSeed makes the second half of a fingerprint independent of the first.
const otherSeed = 0x9e3779b97f4a7c15

func hash(seed uint64, first, second []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	writeLength(&d, len(first))
	_, _ = d.Write(first)
	_, _ = d.Write(second)
	return d.Sum64()
}

func writeLength(d *xxhash.Digest, n int) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(n)) // #nosec G115 -- a length
	_, _ = d.Write(length[:])
}
