package state

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// limitOf compiles one limit.
func limitOf(t testing.TB, spec fault.LimitSpec) *fault.Limit {
	t.Helper()
	plan, err := fault.NewPlan(fault.PlanSpec{Limits: []fault.LimitSpec{spec}})
	if err != nil {
		t.Fatal(err)
	}
	return plan.AllLimits()[0]
}

func from(client string) *fault.Occurrence {
	return &fault.Occurrence{Client: netip.MustParseAddr(client), Sender: []byte("a@sender.test"), Recipient: []byte("b@recipient.test")}
}

func to(recipient string) *fault.Occurrence {
	return &fault.Occurrence{Client: netip.MustParseAddr("192.0.2.1"), Sender: []byte("a@sender.test"), Recipient: []byte(recipient)}
}

// step is one call of Admit, after a time since midnight.
type step struct {
	after time.Duration
	o     *fault.Occurrence
	want  bool
}

// admit asks a limit as a session does.
func admit(l *Limits, now time.Time, limit *fault.Limit, o *fault.Occurrence) bool {
	if limit.Kind == fault.LimitConcurrency {
		return l.Enter(limit, PlaceOf(limit, o))
	}
	return l.Admit(now, limit, o)
}

func play(t *testing.T, l *Limits, limit *fault.Limit, steps []step) {
	t.Helper()
	for i, s := range steps {
		if got := admit(l, midnight.Add(s.after), limit, s.o); got != s.want {
			t.Errorf("step %d, after %v from %v to %s: admitted is %t, want %t", i+1, s.after, s.o.Client, s.o.Recipient, got, s.want)
		}
	}
}

func TestTokenBucket(t *testing.T) {
	limit := limitOf(t, fault.LimitSpec{Name: "pace", Kind: fault.LimitRate, Rate: 2, Burst: 3})
	one, other := from("192.0.2.1"), from("192.0.2.2")
	play(t, NewLimits(nil), limit, []step{
		{0, one, true}, {0, one, true}, {0, one, true}, // the burst
		{0, one, false},
		{0, other, true},                               // a bucket of its own
		{400 * time.Millisecond, one, false},           // 0.8 of a token
		{500 * time.Millisecond, one, true},            // refusals take none
		{500 * time.Millisecond, one, false},           //
		{100 * time.Millisecond, one, false},           // a clock that goes back gives nothing
		{time.Second, one, true},                       //
		{time.Hour, one, true}, {time.Hour, one, true}, // it never holds more than the burst
		{time.Hour, one, true}, {time.Hour, one, false}, //
		{time.Hour, from("::ffff:192.0.2.1"), false}, // the same client, mapped
		{2 * time.Hour, &fault.Occurrence{}, true},   // a unix socket is a client, too
		{2 * time.Hour, from("::"), true},            // and not the unspecified address
	})
}

func TestSlowBucketGivesEachTokenWhenItIsDue(t *testing.T) {
	limit := limitOf(t, fault.LimitSpec{Name: "pace", Kind: fault.LimitRate, Rate: 1.0 / 3, Burst: 1})
	l, o := NewLimits(nil), from("192.0.2.1")
	for i := range 1000 {
		at := midnight.Add(time.Duration(i) * 3 * time.Second)
		if !l.Admit(at, limit, o) {
			t.Fatalf("occurrence %d, right when its token is due, was refused", i+1)
		}
		if l.Admit(at.Add(2900*time.Millisecond), limit, o) {
			t.Fatalf("occurrence %d was admitted before its token is due", i+2)
		}
	}
}

func TestBucketScopes(t *testing.T) {
	for _, test := range []struct {
		scope fault.Scope
		steps []step
	}{
		{fault.ScopeRecipientDomain, []step{
			{0, to("b@one.test"), true}, {0, to("c@ONE.test"), false}, {0, to("b@two.test"), true}, {0, to("postmaster"), true},
		}},
		{fault.ScopeAll, []step{{0, from("192.0.2.1"), true}, {0, from("192.0.2.2"), false}}},
		{fault.ScopeClient, []step{{0, from("192.0.2.1"), true}, {0, from("192.0.2.2"), true}, {0, from("192.0.2.1"), false}}},
	} {
		t.Run(test.scope.String(), func(t *testing.T) {
			limit := limitOf(t, fault.LimitSpec{Name: "pace", Kind: fault.LimitRate, Scope: test.scope, Rate: 1, Burst: 1})
			play(t, NewLimits(nil), limit, test.steps)
		})
	}
}

// A plan that replaces another goes on with the buckets that are the same in both, and with no other.
func TestSwapKeepsBucketsOfTheSameNameAndParameters(t *testing.T) {
	spec := fault.LimitSpec{Name: "pace", Kind: fault.LimitRate, Rate: 1, Burst: 2}
	l, o := NewLimits(nil), from("192.0.2.1")
	play(t, l, limitOf(t, spec), []step{{0, o, true}, {0, o, true}, {0, o, false}})
	play(t, l, limitOf(t, spec), []step{{0, o, false}})
	for _, change := range []func(*fault.LimitSpec){
		func(s *fault.LimitSpec) { s.Name = "speed" },
		func(s *fault.LimitSpec) { s.Rate = 1.5 },
		func(s *fault.LimitSpec) { s.Burst = 3 },
		func(s *fault.LimitSpec) { s.Scope = fault.ScopeAll },
	} {
		other := spec
		change(&other)
		if !l.Admit(midnight, limitOf(t, other), o) {
			t.Errorf("limit %+v has taken over the bucket of %+v", other, spec)
		}
	}
}

func TestConcurrency(t *testing.T) {
	perClient := limitOf(t, fault.LimitSpec{Name: "crowd", Kind: fault.LimitConcurrency, Max: 2})
	inAll := limitOf(t, fault.LimitSpec{Name: "all", Kind: fault.LimitConcurrency, Scope: fault.ScopeAll, Max: 3})
	l, one, other := NewLimits(nil), from("192.0.2.1"), from("192.0.2.2")
	play(t, l, perClient, []step{{0, one, true}, {0, one, true}, {0, one, false}, {0, other, true}})
	play(t, l, inAll, []step{{0, one, true}, {0, one, true}, {0, other, true}, {0, other, false}})
	if got := l.Stats().Open; got != 3 {
		t.Errorf("%d counts of open connections, want 3", got)
	}
	l.Release(PlaceOf(perClient, one))
	play(t, l, perClient, []step{{0, one, true}, {0, one, false}})
	wider := limitOf(t, fault.LimitSpec{Name: "crowd", Kind: fault.LimitConcurrency, Max: 3})
	play(t, l, wider, []step{{0, one, true}, {0, one, false}}) // a swap goes on with the connections that are open
	l.Occupy(PlaceOf(wider, one))
	l.Occupy(PlaceOf(wider, one)) // beyond the limit: it was open when the limit came
	l.Release(PlaceOf(wider, one))
	l.Release(PlaceOf(wider, one))
	play(t, l, wider, []step{{0, one, false}})
	for range 5 {
		l.Release(PlaceOf(wider, one)) // two more than were granted
		l.Release(PlaceOf(wider, other))
		l.Release(PlaceOf(inAll, other))
	}
	if got := l.Stats().Open; got != 0 {
		t.Errorf("%d counts are left after all connections have gone, want none", got)
	}
}

func TestConcurrentGrantsNeverExceedTheMaximum(t *testing.T) {
	limit := limitOf(t, fault.LimitSpec{Name: "crowd", Kind: fault.LimitConcurrency, Max: 100})
	l, o := NewLimits(nil), from("192.0.2.1")
	granted := make([]int, 8)
	var wg sync.WaitGroup
	for w := range granted {
		wg.Go(func() {
			for range 50 {
				if admit(l, midnight, limit, o) {
					granted[w]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range granted {
		sum += n
	}
	if sum != 100 {
		t.Errorf("%d connections were admitted, want 100", sum)
	}
}

func TestGreylist(t *testing.T) {
	limit := limitOf(t, fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: 5 * time.Minute, Window: time.Hour})
	minute := time.Minute
	one := from("192.0.2.1")
	play(t, NewLimits(nil), limit, []step{
		{0, one, false},
		{4 * minute, one, false},               // too early
		{4 * minute, from("192.0.3.1"), false}, // another network begins anew
		{5 * minute, one, true},                // counted from the first sight, not from the last
		{6 * minute, from("192.0.2.99"), true}, // another host of the network
		{6 * minute, to("c@recipient.test"), false},
		{6 * minute, to("b@RECIPIENT.test"), true},
		{65 * minute, one, true},   // the window runs from the last use
		{124 * minute, one, true},  //
		{185 * minute, one, false}, // and is over
		{190 * minute, one, true},
	})
	play(t, NewLimits(nil), limit, []step{
		{0, one, false},
		{61 * minute, one, false}, // a retry that late is a first one
		{62 * minute, one, false},
		{66 * minute, one, true},
	})
	v6 := func(host string) *fault.Occurrence { return from("2001:db8:0:1::" + host) }
	play(t, NewLimits(nil), limit, []step{{0, v6("1"), false}, {5 * minute, v6("2"), true}, {5 * minute, from("2001:db8:0:2::1"), false}})
}

// Two greylists of one plan share no sightings; one that a swap brings again under its name goes on, whatever its parameters.
func TestGreylistsAreKnownByName(t *testing.T) {
	spec := fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: 5 * time.Minute, Window: time.Hour}
	grey := limitOf(t, spec)
	spec.Name, spec.Delay = "greyer", time.Minute
	greyer := limitOf(t, spec)
	spec.Name = "grey"
	quicker := limitOf(t, spec)
	l, o := NewLimits(nil), from("192.0.2.1")
	play(t, l, grey, []step{{0, o, false}})
	play(t, l, greyer, []step{{10 * time.Minute, o, false}, {11 * time.Minute, o, true}})
	play(t, l, quicker, []step{{12 * time.Minute, o, true}})
}

// A sink that starts again goes on where the ledger ends.
func TestGreylistFromALedger(t *testing.T) {
	limit := limitOf(t, fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: 5 * time.Minute, Window: time.Hour})
	o := from("192.0.2.1")
	l := NewLimits(nil)
	l.Sighted(midnight, limit, o)
	play(t, l, limit, []step{{4 * time.Minute, o, false}, {5 * time.Minute, o, true}})
	l = NewLimits(nil)
	l.Sighted(midnight, limit, o)
	l.Sighted(midnight.Add(2*time.Hour), limit, o)
	play(t, l, limit, []step{{2*time.Hour + time.Minute, o, false}, {2*time.Hour + 5*time.Minute, o, true}})
}

func TestLimitsAreCapped(t *testing.T) {
	const most = 10 * shardCount
	l := NewLimits(NewStore(most * EntryOctets))
	pace := limitOf(t, fault.LimitSpec{Name: "pace", Kind: fault.LimitRate, Scope: fault.ScopeRecipientDomain, Rate: 1})
	grey := limitOf(t, fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: time.Minute, Window: time.Hour})
	for i := range 20 * most {
		o := to(fmt.Sprintf("b@%d.test", i))
		l.Admit(midnight, pace, o)
		l.Admit(midnight, grey, o)
	}
	if got := l.Stats(); got.Buckets+got.Greylist != most || got.Evictions != 2*20*most-most {
		t.Errorf("Stats() = %+v, want %d buckets and triples, and the others evicted", got, most)
	}
}

func TestLimitsDoNotAllocate(t *testing.T) {
	l, o := NewLimits(nil), to("recipient@recipient.test")
	limits := []*fault.Limit{
		limitOf(t, fault.LimitSpec{Name: "client", Kind: fault.LimitRate, Rate: 1}),
		limitOf(t, fault.LimitSpec{Name: "domain", Kind: fault.LimitRate, Scope: fault.ScopeRecipientDomain, Rate: 1}),
		limitOf(t, fault.LimitSpec{Name: "crowd", Kind: fault.LimitConcurrency, Max: 1}),
		limitOf(t, fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: time.Minute, Window: time.Hour}),
	}
	if n := testing.AllocsPerRun(1000, func() {
		for _, limit := range limits {
			admit(l, midnight, limit, o)
			l.Release(PlaceOf(limit, o))
		}
	}); n != 0 {
		t.Errorf("%v allocations per round, want 0", n)
	}
}

// TestReturn: a token that is given back is there, and no bucket gets fuller than full.
func TestReturn(t *testing.T) {
	limits := NewLimits(nil)
	l := &fault.Limit{Name: "pace", Kind: fault.LimitRate, Scope: fault.ScopeAll, Rate: 1.0 / 3600, Burst: 2}
	o := &fault.Occurrence{}
	now := time.Unix(1000, 0)
	for i, step := range []string{"take", "take", "none", "return", "take", "none", "return", "return", "return", "take", "take", "none"} {
		switch step {
		case "return":
			limits.Return(l, o)
		default:
			if got := limits.Admit(now, l, o); got != (step == "take") {
				t.Errorf("step %d, %s: admitted is %v", i, step, got)
			}
		}
	}
}
