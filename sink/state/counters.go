package state

import (
	"sync"
	"sync/atomic"
)

// fingerprint identifies a key by 128 bits of hash, so that a counter has a fixed size whatever the length of its address and a
// lookup never copies the key. Among ten million keys two share a fingerprint with a probability of about 10^-25.
type fingerprint struct{ hi, lo uint64 }

// slot is one counter. The map finds it by fingerprint; the slice gives the clock hand an order to walk in.
type slot struct {
	key  fingerprint
	n    uint64
	used bool // touched since the clock hand came by last
}

// shard is one lock's part of a table. Pad it to its own cache lines: neighbouring locks are taken by different loops.
type shard struct {
	mu    sync.Mutex
	index map[fingerprint]uint32
	slots []slot
	hand  int
	_     [72]byte
}

const shardCount = 64

// counters is a capped table of counters that start at zero. When a shard is full, a new key takes the place of one that was
// not used lately (the clock algorithm: second chance in arrival order).
type counters struct {
	shards    [shardCount]shard
	perShard  int
	entries   atomic.Int64
	evictions atomic.Uint64
}

func newCounters(maxEntries int) *counters {
	c := &counters{perShard: max(1, maxEntries/shardCount)}
	for i := range c.shards {
		c.shards[i].index = make(map[fingerprint]uint32)
	}
	return c
}

// next adds one to the key's counter and returns it: 1 for a key that is new or was evicted.
func (c *counters) next(key fingerprint) uint64 {
	s := &c.shards[key.hi%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[key]; ok {
		s.slots[i].n++
		s.slots[i].used = true
		return s.slots[i].n
	}
	fresh := slot{key: key, n: 1}
	if len(s.slots) < c.perShard {
		s.index[key] = uint32(len(s.slots))
		s.slots = append(s.slots, fresh)
		c.entries.Add(1)
		return 1
	}
	for s.slots[s.hand].used {
		s.slots[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.slots)
	}
	delete(s.index, s.slots[s.hand].key)
	s.slots[s.hand] = fresh
	s.index[key] = uint32(s.hand)
	s.hand = (s.hand + 1) % len(s.slots)
	c.evictions.Add(1)
	return 1
}
