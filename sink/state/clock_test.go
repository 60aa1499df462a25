package state

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestTheClockIsSet sets the clock ahead and back, by hours and by little, and asks a limit ten times a second: in no stretch of time that has really
// passed are more let through than the limit has it, but for what a clock that is set ahead gives once, and nobody waits longer for it.
func TestTheClockIsSet(t *testing.T) {
	rate := limitOf(t, fault.LimitSpec{Name: "rate", Kind: fault.LimitRate, Scope: fault.ScopeClient, HasStage: true, Stage: smtp.StageMail, Rate: 0.2, Burst: 3})
	quota := limitOf(t, fault.LimitSpec{Name: "quota", Kind: fault.LimitQuota, Scope: fault.ScopeClient, HasStage: true, Stage: smtp.StageMail, Max: 3, Per: 15 * time.Second})
	clock := limitOf(t, fault.LimitSpec{Name: "clock", Kind: fault.LimitQuota, Scope: fault.ScopeClient, HasStage: true, Stage: smtp.StageMail, Max: 3, Per: 15 * time.Second, From: fault.QuotaClock})
	for _, limit := range []*fault.Limit{rate, quota, clock} {
		for _, set := range []time.Duration{time.Hour, 20 * time.Second, 10 * time.Second, 3 * time.Second, time.Second, 100 * time.Millisecond} {
			t.Run(fmt.Sprint(limit.Name, " ", set), func(t *testing.T) {
				l := NewLimits(nil)
				const setAhead, setBack, end = 40, 80, 200 // seconds that have really passed
				granted := make([]int, end)
				for i := range end * 10 {
					passed := time.Duration(i) * 100 * time.Millisecond
					now := midnight.Add(passed)
					if passed >= setAhead*time.Second && passed < setBack*time.Second {
						now = now.Add(set)
					}
					if l.Admit(now, limit, from("192.0.2.1")) {
						granted[i/10]++
					}
				}
				for from := range end - 60 {
					n := 0
					for _, g := range granted[from : from+60] {
						n += g
					}
					// A minute has 12, and 3 more at its ends; a clock that was set ahead fills a bucket or begins a window, once.
					if n < 12-4 || n > 12+3+3+3 {
						t.Errorf("%d are let through from %d s on in a minute, want about 12: %v", n, from, granted)
						return
					}
				}
			})
		}
	}
}

// TestTheClockIsSetForAGreylist: whom it saw first while the clock was ahead has his delay from the next time on, and whom it has let through stays so.
func TestTheClockIsSetForAGreylist(t *testing.T) {
	grey := limitOf(t, fault.LimitSpec{Name: "grey", Kind: fault.LimitGreylist, Delay: time.Minute, Window: 24 * time.Hour})
	l := NewLimits(nil)
	o := func(who string) *fault.Occurrence {
		return &fault.Occurrence{Stage: smtp.StageRcpt, Client: netip.MustParseAddr("192.0.2.1"), Sender: []byte("a@a.test"), Recipient: []byte(who)}
	}
	for i, step := range []struct {
		after time.Duration // on the clock, since midnight
		who   string
		want  bool
	}{
		{0, "before@x", false},
		{time.Minute, "before@x", true},
		{time.Hour, "ahead@x", false},
		{time.Hour + 10*time.Second, "before@x", true},
		{2 * time.Minute, "ahead@x", false}, // the clock was set back
		{2*time.Minute + 59*time.Second, "ahead@x", false},
		{3 * time.Minute, "ahead@x", true},
		{3 * time.Minute, "before@x", true},
	} {
		if early := l.Early(midnight.Add(step.after), grey, o(step.who)); early && step.want {
			t.Errorf("step %d: %s is early", i, step.who)
		}
		if got := l.Admit(midnight.Add(step.after), grey, o(step.who)); got != step.want {
			t.Errorf("step %d: %s is let through: %v, want %v", i, step.who, got, step.want)
		}
	}
}

// TestTheClockIsSetForStandings: one that rose while the clock was ahead holds no longer than it says, and rises as it should.
func TestTheClockIsSetForStandings(t *testing.T) {
	r := &fault.Reaction{For: []time.Duration{time.Minute}, Pace: 10 * time.Second, When: &fault.When{After: 2, Within: 20 * time.Second}}
	r.Worse = r.When
	var x standing
	play := func(seconds int, want int) {
		t.Helper()
		now := int64(seconds) * int64(time.Second)
		x.settle(now)
		x.see(r, true, false, false, now)
		if got := x.at(now); got != want {
			t.Errorf("at %d s: level %d, want %d: %+v", seconds, got, want, x)
		}
	}
	const ahead = 3600
	play(ahead, 0)
	play(ahead+1, 1)
	play(2, 1) // set back by an hour
	x.settle(61 * int64(time.Second))
	if got := x.at(61*int64(time.Second)) + x.at(62*int64(time.Second)); got != 1 {
		t.Errorf("it holds until %v, want 62 s", time.Duration(x.until))
	}
	r.Worse = &fault.When{After: 1}
	worse := func(seconds int64) { x.see(r, false, true, false, seconds*int64(time.Second)) }
	worse(11)
	if x.level != 1 {
		t.Error("it rises before its pace")
	}
	worse(12)
	if x.level != 2 {
		t.Errorf("it does not rise at its pace: %+v", x)
	}
}
