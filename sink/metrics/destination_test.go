package metrics

import (
	"fmt"
	"slices"
	"testing"
)

func TestDestinations(t *testing.T) {
	m := NewSet(2)
	a, b := m.Shard(0), m.Shard(1)
	a.Attempt("one", []byte("Example.ORG"), Delivered)
	b.Attempt("one", []byte("example.org"), Deferred)
	b.Attempt("one", nil, Bounced)
	a.Attempt("two", []byte("example.org"), Unanswered)
	got := m.Snapshot()
	want := []DestinationCount{
		{"one", "", AttemptCounts{Bounced: 1}},
		{"one", "example.org", AttemptCounts{Delivered: 1, Deferred: 1}},
		{"two", "example.org", AttemptCounts{Unanswered: 1}},
	}
	if !slices.Equal(got.Destinations, want) {
		t.Errorf("destinations %+v, want %+v", got.Destinations, want)
	}
	if all := (AttemptCounts{Delivered: 1, Deferred: 1, Bounced: 1, Unanswered: 1}); got.Attempts != all {
		t.Errorf("attempts in all %+v, want %+v", got.Attempts, all)
	}
}

// A client that makes domains up is counted, and costs no more than MaxDomains of them.
func TestDestinationsAreBounded(t *testing.T) {
	m := NewSet(1)
	const extra = 100
	for i := range MaxDomains + extra {
		m.Shard(0).Attempt("one", fmt.Appendf(nil, "d%d.test", i), Delivered)
	}
	got := m.Snapshot().Destinations
	if len(got) != MaxDomains+1 || got[0].Domain != OtherDomains || got[0].Attempts.Delivered != extra {
		t.Errorf("%d destinations, first %+v; want %d with %d attempts under %s", len(got), got[0], MaxDomains+1, extra, OtherDomains)
	}
	domain := []byte("D1.test")
	if n := testing.AllocsPerRun(100, func() { m.Shard(0).Attempt("one", domain, Delivered) }); n != 0 {
		t.Errorf("%v allocations per attempt at a known destination, want 0", n)
	}
}
