package state

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// DefaultMaxEntries is the cap of each of the three tables when none is given. An entry takes about 80 octets: a full table
// takes about 80 MiB, and grows to that only when it meets as many distinct keys.
const DefaultMaxEntries = 1 << 20

// Attempts counts connections per client, MAIL commands per sender and RCPT commands per (sender, recipient) pair. All methods
// are safe for concurrent use; none keeps a slice that it was given; none allocates once its table has grown to its load.
type Attempts struct {
	connections, mails, recipients *table[uint64]
}

// NewAttempts returns empty counters. maxEntries caps the distinct keys of each table; 0 means DefaultMaxEntries. Beyond the cap
// the keys that were not used lately are forgotten, and start again at 1 when they come back.
func NewAttempts(maxEntries int) *Attempts {
	return &Attempts{
		connections: newTable[uint64](maxEntries),
		mails:       newTable[uint64](maxEntries),
		recipients:  newTable[uint64](maxEntries),
	}
}

// Connection returns the ordinal, from 1, of a connection that the client opens now. The zero Addr (a unix socket) is a client
// like any other.
func (a *Attempts) Connection(client netip.Addr) uint64 {
	octets := clientOctets(client)
	return next(a.connections, fingerprintOf(octets[:], nil))
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
	return next(a.mails, fingerprintOf(sender, nil))
}

// Recipient returns the ordinal, from 1, of a RCPT command for the recipient in a transaction of the sender.
func (a *Attempts) Recipient(sender, recipient []byte) uint64 {
	return next(a.recipients, fingerprintOf(sender, recipient))
}

// Stats says how full the tables are. Evictions other than 0 mean that ordinals started again, and so that a replay of the same
// load may draw otherwise.
type Stats struct {
	Connections uint64 `json:"connections,omitempty"` // distinct clients now
	Mails       uint64 `json:"mails,omitempty"`       // distinct senders now
	Recipients  uint64 `json:"recipients,omitempty"`  // distinct (sender, recipient) pairs now
	Evictions   uint64 `json:"evictions,omitempty"`   // keys forgotten because a table was full, since the start
}

// Stats returns the figures without stopping anyone: they may be apart by the calls that are under way.
func (a *Attempts) Stats() Stats {
	return Stats{
		Connections: a.connections.entries.Load(),
		Mails:       a.mails.entries.Load(),
		Recipients:  a.recipients.entries.Load(),
		Evictions:   a.connections.evictions.Load() + a.mails.evictions.Load() + a.recipients.evictions.Load(),
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
