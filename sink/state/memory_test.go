package state

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// A store takes no more memory than it was given, whichever kinds of entries it is full of.
func TestStoreTakesTheMemoryThatItWasGiven(t *testing.T) {
	const octets = 16 << 20
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	store := NewStore(octets)
	a := NewAttempts(store)
	most := 0.0
	for i := range 3 * octets / EntryOctets {
		a.Recipient([]byte("s@x.test"), fmt.Appendf(nil, "r%d@x.test", i))
		if i%(octets/EntryOctets/20) == 0 {
			most = max(most, float64(heap())-float64(before))
		}
	}
	if most > octets*1.02 {
		t.Errorf("a store of %d octets took up to %.0f", octets, most)
	}
	if got := a.Stats(); got.Recipients != store.Capacity() || got.Evictions != 2*store.Capacity() {
		t.Errorf("%+v, with room for %d", got, store.Capacity())
	}
	t.Logf("%.0f octets an entry", most/float64(store.Capacity()))
	i := 0
	pair := []byte("r-0000000@x.test")
	if n := testing.AllocsPerRun(10_000, func() {
		i++
		pair[2], pair[3], pair[4] = byte(i), byte(i>>8), byte(i>>16)
		a.Recipient([]byte("s@x.test"), pair)
	}); n > 0 {
		t.Errorf("%v allocations per new pair of a full store, want 0", n)
	}
}

// A store of any size remembers nearly as many entries as it has room for before it forgets one.
func TestStoreIsNearlyFullWhenItForgets(t *testing.T) {
	for _, octets := range []int64{64 << 10, 1 << 20, 4 << 20, 40 << 20} {
		a := NewAttempts(NewStore(octets))
		room := octets / EntryOctets
		for i := range room * 95 / 100 {
			a.Recipient([]byte("s@x.test"), fmt.Appendf(nil, "r%d@x.test", i))
		}
		if got := a.Stats(); got.Evictions > 0 {
			t.Errorf("a store of %d octets, with room for %d, has forgotten %d of %d entries", octets, room, got.Evictions, room*95/100)
		}
	}
}

// What was not used for the longest time goes first, of whatever kind it is.
func TestTheOldestIsForgottenFirst(t *testing.T) {
	store := NewStore(0)
	store.perShard = 4
	key := func(i uint64) fingerprint { return fingerprint{hi: 7, lo: i << 8} } // all in one shard
	use := func(k kind, i uint64) (fresh bool) {
		_, fresh, s := store.acquire(k, key(i))
		s.mu.Unlock()
		return fresh
	}
	kinds := []kind{kindRecipient, kindGreylist, kindBucket, kindMail}
	for i, k := range kinds {
		if !use(k, uint64(i)) {
			t.Fatalf("key %d is known", i)
		}
	}
	if use(kindRecipient, 0) { // used again: now key 1 is the oldest
		t.Fatal("key 0 was forgotten")
	}
	for i, want := range []uint64{1, 2, 3} {
		use(kindConnection, uint64(100+i))
		if _, known := store.shards[7].index[fingerprint{hi: 7, lo: key(want).lo ^ uint64(kinds[want])}]; known {
			t.Errorf("after new key %d the old key %d is still there", i, want)
		}
	}
	if use(kindRecipient, 0) {
		t.Error("key 0, which was used, was forgotten before older ones")
	}
	if got := NewLimits(store).Stats(); got.Evictions != 2 || got.Buckets != 0 || got.Greylist != 0 {
		t.Errorf("limits %+v, want 2 evictions and nothing left", got)
	}
	if got := NewAttempts(store).Stats(); got.Evictions != 1 || got.Connections != 3 || got.Recipients != 1 {
		t.Errorf("attempts %+v, want one eviction, 3 connections, 1 recipient", got)
	}
}

// The ordinals of different kinds never meet, however full the store is.
func TestKindsDoNotMix(t *testing.T) {
	a := NewAttempts(NewStore(shardCount * EntryOctets))
	for i := range 1000 {
		for _, n := range []uint64{a.Mail(nil), a.Connection(netip.Addr{})} {
			if n == 0 || n > uint64(i+1) {
				t.Fatalf("ordinal %d in round %d", n, i)
			}
		}
	}
}
