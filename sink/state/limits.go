package state

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Limits keeps what the limits of a plan count across connections: token buckets, open connections and greylists. All methods are
// safe for concurrent use; none keeps a slice that it was given, and none allocates once its store has grown to its load.
//
// Nothing here names a plan: a bucket and a window are known by the name and parameters of their limit, a count of connections or
// transactions by its limit's name, scope and stage, and a greylist by its limit's name and scope. So a swap of plans keeps what is still meant, and two limits never share a count.
type Limits struct {
	store *Store
	open  [shardCount]openShard
}

// openShard counts open connections and transactions. It needs no cap: an entry goes when the last of them has gone.
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

// Admit counts the occurrence and reports whether it is within the limit. It is for limits of the kinds rate and quota (of any scope but
// connection alone) and greylist; those of other kinds admit. A time before an earlier one counts as that.
func (l *Limits) Admit(now time.Time, limit *fault.Limit, o *fault.Occurrence) bool {
	switch limit.Kind {
	case fault.LimitRate:
		return l.takeToken(now.UnixNano(), limit, o)
	case fault.LimitQuota:
		w, fresh, shard := l.store.acquire(kindQuota, quotaKey(limit, o))
		defer shard.mu.Unlock()
		window := Window{}
		if !fresh {
			window = w.window()
		}
		granted := window.Take(limit, now.UnixNano())
		*w = window.value()
		return granted
	case fault.LimitGreylist:
		return l.sight(now.UnixNano(), limit, o)
	}
	return true
}

// Return gives back what Admit took of a rate or a quota.
func (l *Limits) Return(limit *fault.Limit, o *fault.Occurrence) {
	switch limit.Kind {
	case fault.LimitRate:
		b, fresh, shard := l.store.acquire(kindBucket, bucketKey(limit, o))
		defer shard.mu.Unlock()
		bucket := FullBucket(limit, 0) // if it was forgotten meanwhile: as full as any, at no time yet
		if !fresh {
			bucket = b.bucket()
			bucket.Return(limit)
		}
		*b = bucket.value()
	case fault.LimitQuota:
		w, fresh, shard := l.store.acquire(kindQuota, quotaKey(limit, o))
		defer shard.mu.Unlock()
		if !fresh {
			window := w.window()
			window.Return()
			*w = window.value()
		}
	}
}

// Place is what a limit of concurrency counts an occurrence under: who has it open. Places are comparable.
type Place struct{ key fingerprint }

// PlaceOf returns the occurrence's place.
func PlaceOf(limit *fault.Limit, o *fault.Occurrence) Place {
	var shape [5]byte
	return Place{keyOf(limit, appendShape(shape[:0], limit), o)}
}

// Enter counts one more at a place of a limit of concurrency, unless that is beyond the limit; it reports whether it did.
func (l *Limits) Enter(limit *fault.Limit, p Place) bool {
	s := &l.open[p.key.hi%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[p.key]
	if n >= limit.Max {
		return false
	}
	s.counts[p.key] = n + 1
	return true
}

// Occupy counts one more at a place without asking the limit.
func (l *Limits) Occupy(p Place) {
	s := &l.open[p.key.hi%shardCount]
	s.mu.Lock()
	s.counts[p.key]++
	s.mu.Unlock()
}

// Release takes back what Enter granted, or Occupy counted; what was never counted it ignores.
func (l *Limits) Release(p Place) {
	s := &l.open[p.key.hi%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.counts[p.key]; n > 1 {
		s.counts[p.key] = n - 1
	} else {
		delete(s.counts, p.key)
	}
}

// Continues reports whether a limit goes on with what one of the plan before has counted across connections.
func Continues(limit, before *fault.Limit) bool {
	if limit.Name != before.Name || limit.Kind != before.Kind || limit.Scope != before.Scope || limit.Scope == fault.ScopeConnection {
		return false
	}
	switch limit.Kind {
	case fault.LimitRate:
		return limit.Stage == before.Stage && limit.Rate == before.Rate && limit.Burst == before.Burst
	case fault.LimitConcurrency:
		return limit.Stage == before.Stage
	case fault.LimitQuota:
		return limit.Stage == before.Stage && limit.Per == before.Per && limit.From == before.From
	}
	return limit.Kind == fault.LimitGreylist
}

// Sighted tells of a RCPT in the past, as a ledger has it: the greylist keeps what Admit would have kept of it.
func (l *Limits) Sighted(at time.Time, greylist *fault.Limit, o *fault.Occurrence) {
	l.sight(at.UnixNano(), greylist, o)
}

// Stats returns the figures without stopping anyone for long: they may be apart by the calls that are under way.
func (l *Limits) Stats() count.Limits {
	s := count.Limits{
		Buckets:   l.store.count(kindBucket),
		Quotas:    l.store.count(kindQuota),
		Greylist:  l.store.count(kindGreylist),
		Evictions: l.store.evictions[kindBucket].Load() + l.store.evictions[kindQuota].Load() + l.store.evictions[kindGreylist].Load(),
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

// sight notes a RCPT of a triple. The window runs from the first sight until the delay is over, and from the last one after that:
// no flag says that a triple was let through, so that what a ledger holds is enough to go on.
// Its value is the first and the last sight, in Unix nanoseconds.
func (l *Limits) sight(now int64, limit *fault.Limit, o *fault.Occurrence) bool {
	var shape [5]byte
	s, fresh, shard := l.store.acquire(kindGreylist, keyOf(limit, appendShape(shape[:0], limit), o))
	defer shard.mu.Unlock()
	first, last := int64(s.a), int64(s.b)                // #nosec G115 -- as they were put there
	if fresh = fresh || first-now > clockSlack; !fresh { // else the clock was set back meanwhile
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
	var space [21]byte
	limit = limit.Base()
	shape := appendShape(space[:0], limit)
	shape = binary.LittleEndian.AppendUint64(shape, math.Float64bits(limit.Rate))
	shape = binary.LittleEndian.AppendUint64(shape, math.Float64bits(limit.Burst))
	return keyOf(limit, shape, o)
}

// quotaKey names the window of a quota, likewise. How many it has room for is no part of it: a quota that is raised goes on.
func quotaKey(limit *fault.Limit, o *fault.Occurrence) fingerprint {
	var space [14]byte
	shape := appendShape(space[:0], limit)
	shape = binary.LittleEndian.AppendUint64(shape, uint64(limit.Per)) // #nosec G115 -- not negative
	return keyOf(limit, append(shape, byte(limit.From)), o)
}

// appendShape appends what of a limit keeps counts of the same name apart, whatever it counts.
func appendShape(dst []byte, limit *fault.Limit) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(limit.Scope)), byte(limit.Stage))
}

// keyOf names a count: by the limit's name and shape, and whose it is. The shape's length is the same for all keys of a table.
func keyOf(limit *fault.Limit, shape []byte, o *fault.Occurrence) fingerprint {
	var space [400]byte
	whose := limit.Scope.AppendKey(space[:0], o)
	return fingerprint{hashLimit(0, limit.Name, shape, whose), hashLimit(otherSeed, limit.Name, shape, whose)}
}

func hashLimit(seed uint64, name string, shape, whose []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	writeLength(&d, len(name))
	_, _ = d.WriteString(name)
	_, _ = d.Write(shape)
	_, _ = d.Write(whose)
	return d.Sum64()
}
