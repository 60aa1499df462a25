package state

import (
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

func TestQuota(t *testing.T) {
	one, other := from("192.0.2.1"), from("192.0.2.2")
	const h = time.Hour
	for _, c := range []struct {
		name  string
		spec  fault.LimitSpec
		steps []step
	}{
		{"from the first use", fault.LimitSpec{Max: 2, Per: 24 * h}, []step{
			{5 * h, one, true}, {6 * h, one, true}, {7 * h, one, false}, {7 * h, other, true},
			{29*h - 1, one, false}, {29 * h, one, true}, {52 * h, one, true}, {53*h - 1, one, false},
			{60 * h, one, true}, // begins when it is used again, not a day after it began
			{83 * h, one, true}, {84*h - 1, one, false}, {84 * h, one, true},
		}},
		{"by the clock", fault.LimitSpec{Max: 2, Per: 24 * h, From: fault.QuotaClock}, []step{
			{23 * h, one, true}, {24*h - 1, one, true}, {24*h - 1, one, false},
			{24 * h, one, true}, {25 * h, one, true}, {48*h - 1, one, false}, {200 * h, one, true},
		}},
		{"weeks begin on Monday", fault.LimitSpec{Max: 1, Per: 7 * 24 * h, From: fault.QuotaClock}, []step{ // midnight is that of a Sunday
			{0, one, true}, {24*h - 1, one, false}, {24 * h, one, true}, {8*24*h - 1, one, false}, {8 * 24 * h, one, true},
		}},
		{"a period that divides no day", fault.LimitSpec{Max: 1, Per: 7 * time.Minute, From: fault.QuotaClock}, []step{
			{0, one, true}, {7 * time.Minute, one, true}, {7*time.Minute + 1, one, false}, {14 * time.Minute, one, true},
		}},
		{"a clock that is a little late counts as now", fault.LimitSpec{Max: 2, Per: h}, []step{
			{h, one, true}, {h - time.Second, one, true}, {h - time.Second, one, false}, {2*h - 1, one, false}, {2 * h, one, true},
		}},
		{"a clock that was set back a year begins anew", fault.LimitSpec{Max: 1, Per: h}, []step{
			{8760 * h, one, true}, {0, one, true}, {time.Minute, one, false}, {h, one, true},
		}},
		{"set back a year, by the clock", fault.LimitSpec{Max: 1, Per: h, From: fault.QuotaClock}, []step{
			{8760 * h, one, true}, {time.Minute, one, true}, {2 * time.Minute, one, false}, {h, one, true},
		}},
		{"set ahead a year, and back", fault.LimitSpec{Max: 1, Per: h}, []step{
			{0, one, true}, {8760 * h, one, true}, {2 * time.Minute, one, true}, {3 * time.Minute, one, false},
		}},
		{"of all", fault.LimitSpec{Max: 2, Per: h, Scope: fault.ScopeAll}, []step{{0, one, true}, {0, other, true}, {0, from("::1"), false}}},
		{"of a network", fault.LimitSpec{Max: 2, Per: h, Scope: fault.ScopeNetwork}, []step{{0, one, true}, {0, other, true}, {0, one, false}, {0, from("192.0.3.1"), true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Name, c.spec.Kind = "q", fault.LimitQuota
			play(t, NewLimits(nil), limitOf(t, c.spec), c.steps)
		})
	}
}

// A use that another limit refuses is given back, and begins no window.
func TestQuotaReturns(t *testing.T) {
	l, o := NewLimits(nil), from("192.0.2.1")
	limit := limitOf(t, fault.LimitSpec{Name: "q", Kind: fault.LimitQuota, Max: 1, Per: time.Hour})
	play(t, l, limit, []step{{0, o, true}, {0, o, false}})
	l.Return(limit, o)
	play(t, l, limit, []step{{59 * time.Minute, o, true}, {time.Hour, o, false}, {118 * time.Minute, o, false}, {119 * time.Minute, o, true}})
	for range 3 {
		l.Return(limit, o) // more than was taken
	}
	play(t, l, limit, []step{{120 * time.Minute, o, true}, {120 * time.Minute, o, false}})
	l.Return(limit, from("192.0.2.77")) // who was forgotten
	play(t, l, limit, []step{{0, from("192.0.2.77"), true}, {0, from("192.0.2.77"), false}})
}

// A plan that replaces another goes on with the windows of a quota, whatever its maximum, and with no other's.
func TestSwapKeepsWindows(t *testing.T) {
	spec := fault.LimitSpec{Name: "q", Kind: fault.LimitQuota, Max: 2, Per: time.Hour}
	l, o := NewLimits(nil), from("192.0.2.1")
	before := limitOf(t, spec)
	play(t, l, before, []step{{0, o, true}, {0, o, true}, {0, o, false}})
	for _, c := range []struct {
		name   string
		change func(*fault.LimitSpec)
		goesOn bool
	}{
		{"nothing", func(*fault.LimitSpec) {}, true},
		{"a lower maximum", func(s *fault.LimitSpec) { s.Max = 1 }, true},
		{"a reply", func(s *fault.LimitSpec) { s.Code = 552 }, true},
		{"name", func(s *fault.LimitSpec) { s.Name = "other" }, false},
		{"period", func(s *fault.LimitSpec) { s.Per = 2 * time.Hour }, false},
		{"from", func(s *fault.LimitSpec) { s.From = fault.QuotaClock }, false},
		{"scope", func(s *fault.LimitSpec) { s.Scope = fault.ScopeNetwork }, false},
		{"network", func(s *fault.LimitSpec) { s.Scope = fault.NetworkScope(8, 8) }, false},
	} {
		changed := spec
		c.change(&changed)
		limit := limitOf(t, changed)
		if admitted, continues := l.Admit(midnight, limit, o), Continues(limit, before); admitted == c.goesOn || continues != c.goesOn {
			t.Errorf("another %s: admitted is %v, and it goes on: %v; want %v", c.name, admitted, continues, c.goesOn)
		}
	}
	raised := spec
	raised.Max = 3
	play(t, l, limitOf(t, raised), []step{{time.Minute, o, true}, {time.Minute, o, false}})
}

func BenchmarkAdmit(b *testing.B) {
	for name, spec := range map[string]fault.LimitSpec{
		"rate of a client":                  {Kind: fault.LimitRate, Rate: 1e9, Scope: fault.ScopeClient},
		"quota of a client":                 {Kind: fault.LimitQuota, Max: 1 << 40, Per: time.Hour, Scope: fault.ScopeClient},
		"quota by the clock":                {Kind: fault.LimitQuota, Max: 1 << 40, Per: time.Hour, Scope: fault.ScopeClient, From: fault.QuotaClock},
		"quota of a client, sender, domain": {Kind: fault.LimitQuota, Max: 1 << 40, Per: time.Hour, Scope: fault.ScopeClient | fault.ScopeSender | fault.ScopeRecipientDomain},
	} {
		b.Run(name, func(b *testing.B) {
			spec.Name = "l"
			limit, l, o := limitOf(b, spec), NewLimits(nil), to("recipient@recipient.test")
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				l.Admit(now, limit, o)
			}
		})
	}
}
