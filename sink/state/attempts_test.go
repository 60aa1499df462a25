package state

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

func TestOrdinalsCountFromOnePerKey(t *testing.T) {
	a := NewAttempts(nil)
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	steps := []struct {
		name string
		next func() uint64
		want uint64
	}{
		{"first connection", func() uint64 { return a.Connection(v4) }, 1},
		{"second connection", func() uint64 { return a.Connection(v4) }, 2},
		{"the same client, mapped into IPv6", func() uint64 { return a.Connection(netip.MustParseAddr("::ffff:192.0.2.1")) }, 3},
		{"another client", func() uint64 { return a.Connection(v6) }, 1},
		{"unix socket", func() uint64 { return a.Connection(netip.Addr{}) }, 1},
		{"the unspecified address is not a unix socket", func() uint64 { return a.Connection(netip.IPv6Unspecified()) }, 1},
		{"sender", func() uint64 { return a.Mail([]byte("a@x")) }, 1},
		{"sender again", func() uint64 { return a.Mail([]byte("a@x")) }, 2},
		{"null sender", func() uint64 { return a.Mail(nil) }, 1},
		{"null sender as an empty slice", func() uint64 { return a.Mail([]byte{}) }, 2},
		{"octets are compared as they are", func() uint64 { return a.Mail([]byte("A@x")) }, 1},
		{"pair", func() uint64 { return a.Recipient([]byte("a@x"), []byte("b@y")) }, 1},
		{"pair again", func() uint64 { return a.Recipient([]byte("a@x"), []byte("b@y")) }, 2},
		{"fields don't run together", func() uint64 { return a.Recipient([]byte("a@xb"), []byte("@y")) }, 1},
		{"pair of the null sender", func() uint64 { return a.Recipient(nil, []byte("b@y")) }, 1},
	}
	for _, s := range steps {
		if got := s.next(); got != s.want {
			t.Errorf("%s: ordinal %d, want %d", s.name, got, s.want)
		}
	}
	if got, want := a.Stats(), (count.Ordinals{Connections: 4, Mails: 3, Recipients: 3}); got != want {
		t.Errorf("Stats() = %+v, want %+v", got, want)
	}
}

func TestCapEvictsAndCounts(t *testing.T) {
	const limit = 10 * shardCount
	a := NewAttempts(NewStore(limit * EntryOctets))
	for i := range 20 * limit {
		a.Mail(fmt.Appendf(nil, "sender-%d@example.org", i))
	}
	got := a.Stats()
	if got.Mails != limit {
		t.Errorf("%d entries after %d distinct keys, want the cap %d", got.Mails, 20*limit, limit)
	}
	if got.Evictions != 19*limit {
		t.Errorf("%d evictions, want %d", got.Evictions, 19*limit)
	}
	for i := range a.store.shards {
		if s := &a.store.shards[i]; len(s.index) != len(s.slots) {
			t.Fatalf("shard %d: %d keys in the index, %d slots", i, len(s.index), len(s.slots))
		}
	}
}

func TestKeyInUseSurvivesAStreamOfNewKeys(t *testing.T) {
	a := NewAttempts(NewStore(4 * shardCount * EntryOctets))
	for i := range 10_000 {
		if got := a.Mail([]byte("busy@example.org")); got != uint64(i+1) {
			t.Fatalf("MAIL %d of a busy sender has ordinal %d: it was evicted", i+1, got)
		}
		a.Mail(fmt.Appendf(nil, "once-%d@example.org", i))
	}
}

func TestConcurrentOrdinalsAreDistinct(t *testing.T) {
	const workers, each = 8, 2_000
	a := NewAttempts(nil)
	seen := make([][]uint64, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				seen[w] = append(seen[w], a.Recipient([]byte("a@x"), []byte("b@y")))
				a.Stats()
			}
		})
	}
	wg.Wait()
	all := make(map[uint64]bool)
	for _, ordinals := range seen {
		for _, n := range ordinals {
			if all[n] {
				t.Fatalf("ordinal %d was given twice", n)
			}
			all[n] = true
		}
	}
	if len(all) != workers*each || !all[workers*each] {
		t.Errorf("%d distinct ordinals, want 1 to %d", len(all), workers*each)
	}
}

// Below the cap the counters are exactly a map from keys to counts.
func TestCountersAgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, model := NewAttempts(nil), map[[2]string]uint64{}
		address := rapid.SampledFrom([]string{"", "a", "b", "ab", "a@x", "b@x", "\x00", "a\x00"})
		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			key := [2]string{address.Draw(t, "sender"), address.Draw(t, "recipient")}
			model[key]++
			if got := a.Recipient([]byte(key[0]), []byte(key[1])); got != model[key] {
				t.Fatalf("Recipient(%q, %q) = %d, want %d", key[0], key[1], got, model[key])
			}
		}
	})
}

func TestOrdinalsDoNotAllocate(t *testing.T) {
	a := NewAttempts(NewStore(shardCount * EntryOctets))
	client := netip.MustParseAddr("2001:db8::1")
	sender, recipient := []byte("sender@example.org"), []byte("recipient@example.com")
	if n := testing.AllocsPerRun(1000, func() {
		a.Connection(client)
		a.Mail(sender)
		a.Recipient(sender, recipient)
	}); n != 0 {
		t.Errorf("%v allocations per transaction, want 0", n)
	}
}

func BenchmarkRecipient(b *testing.B) {
	a := NewAttempts(nil)
	sender, recipient := []byte("sender@example.org"), []byte("recipient-000000@example.com")
	b.ReportAllocs()
	for i := range b.N {
		recipient[10], recipient[11], recipient[12] = '0'+byte(i%10), '0'+byte(i/10%10), '0'+byte(i/100%10)
		a.Recipient(sender, recipient)
	}
}
