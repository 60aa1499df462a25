package state

import (
	"sync"
	"sync/atomic"
)

// fingerprint identifies a key by 128 bits of hash, so that an entry has a fixed size whatever the length of its address and a
// lookup never copies the key. Among ten million keys two share a fingerprint with a probability of about 10^-25.
type fingerprint struct{ hi, lo uint64 }

// slot is one entry. The map finds it by fingerprint; the slice gives the clock hand an order to walk in.
type slot[V any] struct {
	key   fingerprint
	value V
	used  bool // touched since the clock hand came by last
}

// shard is one lock's part of a table. It is padded to its own cache lines: neighbouring locks are taken by different loops.
type shard[V any] struct {
	mu    sync.Mutex
	index map[fingerprint]uint32
	slots []slot[V]
	hand  int
	_     [72]byte
}

const shardCount = 64

// table is a capped table of values that start at their zero. When a shard is full, a new key takes the place of one that was
// not used lately (the clock algorithm: second chance in arrival order).
type table[V any] struct {
	shards    [shardCount]shard[V]
	perShard  int
	entries   atomic.Uint64
	evictions atomic.Uint64
}

func newTable[V any](maxEntries int) *table[V] {
	if maxEntries <= 0 {
		maxEntries = DefaultMaxEntries
	}
	t := &table[V]{perShard: max(1, maxEntries/shardCount)}
	for i := range t.shards {
		t.shards[i].index = make(map[fingerprint]uint32)
	}
	return t
}

// acquire returns the key's value, and its shard locked: the caller unlocks it. fresh says that the key is new, or was evicted.
func (t *table[V]) acquire(key fingerprint) (v *V, fresh bool, s *shard[V]) {
	s = &t.shards[key.hi%shardCount]
	s.mu.Lock()
	if i, ok := s.index[key]; ok {
		s.slots[i].used = true
		return &s.slots[i].value, false, s
	}
	if len(s.slots) < t.perShard {
		s.index[key] = uint32(len(s.slots)) // #nosec G115 -- 2^32 slots of a shard would not fit in memory
		s.slots = append(s.slots, slot[V]{key: key})
		t.entries.Add(1)
		return &s.slots[len(s.slots)-1].value, true, s
	}
	for s.slots[s.hand].used {
		s.slots[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.slots)
	}
	taken := &s.slots[s.hand]
	delete(s.index, taken.key)
	*taken = slot[V]{key: key}
	s.index[key] = uint32(s.hand) // #nosec G115 -- an index of slots, as above
	s.hand = (s.hand + 1) % len(s.slots)
	t.evictions.Add(1)
	return &taken.value, true, s
}

// next adds one to the key's counter and returns it: 1 for a key that is new or was evicted.
func next(t *table[uint64], key fingerprint) uint64 {
	n, _, s := t.acquire(key)
	*n++
	ordinal := *n
	s.mu.Unlock()
	return ordinal
}
