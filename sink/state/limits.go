package state

import (
	"encoding/binary"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Limits keeps what the limits of a plan count across connections: token buckets, open connections and greylists. All methods are
// safe for concurrent use; none keeps a slice that it was given, and none allocates once its store has grown to its load.
//
// Nothing here names a plan: a bucket is known by the name and parameters of its limit, a count of connections by its limit's name
// and scope, and a greylist by its limit's name. So a swap of plans keeps what is still meant, and two limits never share a count.
type Limits struct {
	store *Store
	open  [shardCount]openShard
}

// openShard counts open connections. It needs no cap: an entry goes when its last connection has gone.
type openShard struct {
	mu     sync.Mutex
	counts map[fingerprint]int64
	_      [48]byte
}

// NewLimits returns empty counts, whose buckets and triples lie in a store; nil means one of their own. When the store is full those that
// were not used for the longest time are forgotten: a bucket is full when it comes back, and a triple is new.
func NewLimits(store *Store) *Limits {
	if store == nil {
		store = NewStore(0)
	}
	l := &Limits{store: store}
	for i := range l.open {
		l.open[i].counts = make(map[fingerprint]int64)
	}
	return l
}

// Admit counts the occurrence and reports whether it is within the limit. It is for limits of the kinds rate (of any scope but
// connection), concurrency and greylist; those of other kinds admit. A time before an earlier one counts as that.
func (l *Limits) Admit(now time.Time, limit *fault.Limit, o *fault.Occurrence) bool {
	switch limit.Kind {
	case fault.LimitRate:
		return l.takeToken(now.UnixNano(), limit, o)
	case fault.LimitConcurrency:
		return l.enter(limit, o.Client)
	case fault.LimitGreylist:
		return l.sight(now.UnixNano(), limit, o.Client, o.Sender, o.Recipient)
	}
	return true
}

// Return gives back the token of a rate that Admit took.
func (l *Limits) Return(limit *fault.Limit, o *fault.Occurrence) {
	if limit.Kind != fault.LimitRate {
		return
	}
	b, fresh, shard := l.store.acquire(kindBucket, bucketKey(limit, o))
	defer shard.mu.Unlock()
	bucket := FullBucket(limit, 0) // if it was forgotten meanwhile: as full as any, at no time yet
	if !fresh {
		bucket = b.bucket()
		bucket.Return(limit)
	}
	*b = bucket.value()
}

// Occupy counts an open connection towards a concurrency limit without asking it.
func (l *Limits) Occupy(limit *fault.Limit, client netip.Addr) {
	key := openKey(limit, client)
	s := &l.open[key.hi%shardCount]
	s.mu.Lock()
	s.counts[key]++
	s.mu.Unlock()
}

// Release gives back what Admit granted of a concurrency limit, or Occupy counted; what was never counted it ignores.
func (l *Limits) Release(limit *fault.Limit, client netip.Addr) {
	if limit.Kind != fault.LimitConcurrency {
		return
	}
	key := openKey(limit, client)
	s := &l.open[key.hi%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.counts[key]; n > 1 {
		s.counts[key] = n - 1
	} else {
		delete(s.counts, key)
	}
}

// Continues reports whether a limit goes on with what one of the plan before has counted across connections.
func Continues(limit, before *fault.Limit) bool {
	if limit.Name != before.Name || limit.Kind != before.Kind {
		return false
	}
	switch limit.Kind {
	case fault.LimitRate:
		return limit.Scope != fault.ScopeConnection && limit.Scope == before.Scope && limit.Stage == before.Stage &&
			limit.Rate == before.Rate && limit.Burst == before.Burst
	case fault.LimitConcurrency:
		return limit.Scope == before.Scope
	}
	return limit.Kind == fault.LimitGreylist
}

// Sighted tells of a RCPT in the past, as a ledger has it: the greylist keeps what Admit would have kept of it.
func (l *Limits) Sighted(at time.Time, greylist *fault.Limit, client netip.Addr, sender, recipient []byte) {
	l.sight(at.UnixNano(), greylist, client, sender, recipient)
}

// Stats returns the figures without stopping anyone for long: they may be apart by the calls that are under way.
func (l *Limits) Stats() count.Limits {
	s := count.Limits{
		Buckets:   l.store.count(kindBucket),
		Greylist:  l.store.count(kindGreylist),
		Evictions: l.store.evictions[kindBucket].Load() + l.store.evictions[kindGreylist].Load(),
	}
	for i := range l.open {
		shard := &l.open[i]
		shard.mu.Lock()
		s.Open += uint64(len(shard.counts))
		shard.mu.Unlock()
	}
	return s
}

// bucket returns the bucket that is kept as this value.
func (v value) bucket() Bucket {
	return Bucket{math.Float64frombits(v.a), int64(v.b)} // #nosec G115 -- as it was put there
}

func (b Bucket) value() value {
	return value{math.Float64bits(b.tokens), uint64(b.at)} // #nosec G115 -- two's complement comes back as it was
}

// takeToken takes a token of a bucket, whose time is in Unix nanoseconds.
func (l *Limits) takeToken(now int64, limit *fault.Limit, o *fault.Occurrence) bool {
	b, fresh, shard := l.store.acquire(kindBucket, bucketKey(limit, o))
	defer shard.mu.Unlock()
	bucket := FullBucket(limit, now)
	if !fresh {
		bucket = b.bucket()
	}
	granted := bucket.Take(limit, now)
	*b = bucket.value()
	return granted
}

func (l *Limits) enter(limit *fault.Limit, client netip.Addr) bool {
	key := openKey(limit, client)
	s := &l.open[key.hi%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[key]
	if n >= limit.Max {
		return false
	}
	s.counts[key] = n + 1
	return true
}

// sight notes a RCPT of a triple. The window runs from the first sight until the delay is over, and from the last one after that:
// no flag says that a triple was let through, so that what a ledger holds is enough to go on.
// Its value is the first and the last sight, in Unix nanoseconds.
func (l *Limits) sight(now int64, limit *fault.Limit, client netip.Addr, sender, recipient []byte) bool {
	s, fresh, shard := l.store.acquire(kindGreylist, greyKey(limit.Name, client, sender, recipient))
	defer shard.mu.Unlock()
	first, last := int64(s.a), int64(s.b) // #nosec G115 -- as they were put there
	if !fresh {
		now = max(now, last)
		from := first
		if time.Duration(last-first) >= limit.Delay {
			from = last
		}
		fresh = time.Duration(now-from) > limit.Window
	}
	if fresh {
		first = now
	}
	*s = value{uint64(first), uint64(now)} // #nosec G115 -- two's complement comes back as it was
	return !fresh && time.Duration(now-first) >= limit.Delay
}

// bucketKey names a bucket: the limit's name and all that shapes the bucket, and whose it is.
func bucketKey(limit *fault.Limit, o *fault.Occurrence) fingerprint {
	var shape [18]byte
	binary.LittleEndian.PutUint64(shape[0:], math.Float64bits(limit.Rate))
	binary.LittleEndian.PutUint64(shape[8:], math.Float64bits(limit.Burst))
	shape[16], shape[17] = byte(limit.Scope), byte(limit.Stage)
	switch limit.Scope {
	case fault.ScopeClient:
		client := clientOctets(o.Client)
		return limitKey(limit.Name, shape[:], client[:])
	case fault.ScopeRecipientDomain:
		var space [320]byte
		return limitKey(limit.Name, shape[:], smtp.DomainOf(fault.AppendAddress(space[:0], o.Recipient)))
	}
	return limitKey(limit.Name, shape[:], nil)
}

func openKey(limit *fault.Limit, client netip.Addr) fingerprint {
	scope := [1]byte{byte(limit.Scope)}
	if limit.Scope == fault.ScopeClient {
		octets := clientOctets(client)
		return limitKey(limit.Name, scope[:], octets[:])
	}
	return limitKey(limit.Name, scope[:], nil)
}

func limitKey(name string, shape, whose []byte) fingerprint {
	return fingerprint{hashLimit(0, name, shape, whose), hashLimit(otherSeed, name, shape, whose)}
}

func hashLimit(seed uint64, name string, shape, whose []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	writeLength(&d, len(name))
	_, _ = d.WriteString(name)
	_, _ = d.Write(shape) // its length is the same for all keys of a table
	_, _ = d.Write(whose)
	return d.Sum64()
}

// greyKey names a triple of a greylist. Addresses are compared as rules compare them.
func greyKey(name string, client netip.Addr, sender, recipient []byte) fingerprint {
	network := fault.GreylistNetwork(client)
	octets := clientOctets(network.Addr())
	var senderSpace, recipientSpace [320]byte
	sender = fault.AppendAddress(senderSpace[:0], sender)
	recipient = fault.AppendAddress(recipientSpace[:0], recipient)
	return fingerprint{hashTriple(0, name, &octets, sender, recipient), hashTriple(otherSeed, name, &octets, sender, recipient)}
}

func hashTriple(seed uint64, name string, network *[17]byte, sender, recipient []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	writeLength(&d, len(name))
	_, _ = d.WriteString(name)
	_, _ = d.Write(network[:])
	writeLength(&d, len(sender))
	_, _ = d.Write(sender)
	_, _ = d.Write(recipient)
	return d.Sum64()
}
