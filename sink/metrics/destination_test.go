package metrics

import (
	"fmt"
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

func TestDestinations(t *testing.T) {
	m := NewSet(2, 0)
	a, b := m.Shard(0), m.Shard(1)
	a.Attempt("one", []byte("Example.ORG"), Delivered)
	b.Attempt("one", []byte("example.org"), Deferred)
	b.Attempt("one", nil, Bounced)
	a.Attempt("two", []byte("example.org"), Unanswered)
	got := snapshot(m)
	want := []count.Destination{
		{Listener: "one", Domain: "", Attempts: count.Attempts{Bounced: 1}},
		{Listener: "one", Domain: "example.org", Attempts: count.Attempts{Delivered: 1, Deferred: 1}},
		{Listener: "two", Domain: "example.org", Attempts: count.Attempts{Unanswered: 1}},
	}
	if !slices.Equal(got.Destinations, want) {
		t.Errorf("destinations %+v, want %+v", got.Destinations, want)
	}
	if all := (count.Attempts{Delivered: 1, Deferred: 1, Bounced: 1, Unanswered: 1}); got.Attempts != all {
		t.Errorf("attempts in all %+v, want %+v", got.Attempts, all)
	}
}

// A client that makes domains up is counted, and costs no more than DefaultDomains of them.
func TestDestinationsAreBounded(t *testing.T) {
	m := NewSet(1, 0)
	const extra = 100
	for i := range DefaultDomains + extra {
		m.Shard(0).Attempt("one", fmt.Appendf(nil, "d%d.test", i), Delivered)
	}
	got := snapshot(m).Destinations
	if len(got) != DefaultDomains+1 || got[0].Domain != count.Other || got[0].Attempts.Delivered != extra {
		t.Errorf("%d destinations, first %+v; want %d with %d attempts under %s", len(got), got[0], DefaultDomains+1, extra, count.Other)
	}
	domain := []byte("D1.test")
	if n := testing.AllocsPerRun(100, func() { m.Shard(0).Attempt("one", domain, Delivered) }); n != 0 {
		t.Errorf("%v allocations per attempt at a known destination, want 0", n)
	}
}
