package state

import (
	"sync"
	"sync/atomic"
)

// EntryOctets is what an entry is reckoned to take, whatever its kind: the measured worst case, with the room that growing tables have
// to spare.
const EntryOctets = 128

// DefaultMemory is the memory of a Store when none is given, in octets: room for two million entries.
const DefaultMemory = 256 << 20

// kind is what an entry counts.
type kind uint8

const (
	kindConnection kind = iota // connections of a client
	kindMail                   // MAIL commands of a sender
	kindRecipient              // RCPT commands of a pair
	kindBucket                 // a token bucket
	kindQuota                  // a window of a quota
	kindGreylist               // a triple of a greylist
	numKinds
)

// fingerprint identifies a key by 128 bits of hash, so that an entry has a fixed size whatever the length of its address and a
// lookup never copies the key. Among ten million keys two share a fingerprint with a probability of about 10^-25.
type fingerprint struct{ hi, lo uint64 }

// value is what is kept of a key: its meaning is the kind's.
type value struct{ a, b uint64 }

// entry is what a store keeps of a key, of which it is one kind of many.
type entry struct {
	value
	kind kind
}

// shard is one lock's part of a store. It is padded to its own cache lines: neighbouring locks are taken by different loops.
type shard struct {
	mu    sync.Mutex
	index map[fingerprint]int32
	slots nodes[entry]
	uses  order
	_     [72]byte
}

const shardCount = 64

// leastPerShard is how many entries a shard has room for before there is another: keys fall into shards by chance, and when one is
// full, entries go that are not the oldest of all. With so many the store is 97% full by then.
const leastPerShard = 4096

// Store is the memory that Attempts and Limits share: entries of all kinds, as many as fit. When a shard is full, a new key takes the
// place of the entry that was not used for the longest time. It is safe for concurrent use.
type Store struct {
	shards    [shardCount]shard
	used      uint64 // how many of them there are
	perShard  int
	entries   [numKinds]atomic.Int64
	evictions [numKinds]atomic.Uint64
}

// NewStore returns an empty store that takes so many octets of memory at most, once it is full; 0 means DefaultMemory. It holds
// at least 64 entries.
func NewStore(memory int64) *Store {
	if memory <= 0 {
		memory = DefaultMemory
	}
	entries := max(64, memory/EntryOctets)
	used := min(max(1, entries/leastPerShard), shardCount)
	t := &Store{used: uint64(used), perShard: int(min(entries/used, 1<<30))} // #nosec G115 -- used is 1 to shardCount
	for i := range t.shards {
		t.shards[i].index = make(map[fingerprint]int32)
		t.shards[i].uses = emptyOrder()
	}
	return t
}

// Capacity returns how many entries there is room for.
func (t *Store) Capacity() uint64 { return uint64(t.perShard) * t.used } // #nosec G115 -- New makes perShard at least 1, and it counts entries of one map

// Clear forgets all entries.
func (t *Store) Clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.slots {
			t.entries[s.slots[j].value.kind].Add(-1)
		}
		clear(s.index)
		s.slots, s.uses = nil, emptyOrder()
		s.mu.Unlock()
	}
}

// acquire returns the key's value, and its shard locked: the caller unlocks it. fresh says that the key is new, or was evicted.
func (t *Store) acquire(k kind, key fingerprint) (v *value, fresh bool, s *shard) {
	key.lo ^= uint64(k) // the same words of two kinds are two keys
	s = &t.shards[key.hi%t.used]
	s.mu.Lock()
	i, known := s.index[key]
	switch {
	case known:
		if s.uses.newest != i {
			s.slots.unlink(&s.uses, i)
			s.slots.link(&s.uses, i)
		}
		return &s.slots[i].value.value, false, s
	case len(s.slots) < t.perShard:
		i = int32(len(s.slots)) // #nosec G115 -- below perShard
		s.slots = append(s.slots, node[entry]{})
	default:
		i = s.uses.oldest
		s.slots.unlink(&s.uses, i)
		old := &s.slots[i]
		delete(s.index, old.key)
		t.entries[old.value.kind].Add(-1)
		t.evictions[old.value.kind].Add(1)
	}
	s.slots[i] = node[entry]{key: key, value: entry{kind: k}}
	s.index[key] = i
	s.slots.link(&s.uses, i)
	t.entries[k].Add(1)
	return &s.slots[i].value.value, true, s
}

// peek returns the value of a key, if it is known, and leaves it as it is.
func (t *Store) peek(k kind, key fingerprint) (v value, known bool) {
	key.lo ^= uint64(k)
	s := &t.shards[key.hi%t.used]
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[key]
	if known {
		v = s.slots[i].value.value
	}
	return v, known
}

// next adds one to the key's counter and returns it: 1 for a key that is new or was evicted.
func (t *Store) next(k kind, key fingerprint) uint64 {
	n, _, s := t.acquire(k, key)
	n.a++
	ordinal := n.a
	s.mu.Unlock()
	return ordinal
}

func (t *Store) count(k kind) uint64 { return uint64(max(t.entries[k].Load(), 0)) } // #nosec G115 -- not negative
