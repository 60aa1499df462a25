package state

import (
	"math"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// standing is what is kept of a key for one reaction: 32 octets. The zero value has counted nothing. Times are in Unix nanoseconds.
type standing struct {
	until   int64  // when it ends; at first it doesn't hold
	changed int64  // when its level changed last, or it was prolonged; no two changes of one have the same time
	window  int64  // when the window of what is counted began
	n       uint32 // counted in it
	level   uint8
	begun   bool // it has held before, or does
	came    bool // the key came back while it held
}

// forever is the end of a standing that holds as long as the sink runs.
const forever = math.MaxInt64

// at returns the level; 0 when it doesn't hold.
func (x *standing) at(now int64) int {
	if x.level > 0 && now < x.until {
		return int(x.level)
	}
	return 0
}

// rise raises the level by one, from 0 when it begins and up to the highest, and makes it hold for that level's time from now on.
func (x *standing) rise(r *fault.Reaction, level int, now int64) {
	level = min(level+1, fault.MaxLevel)
	x.change(level, now)
	x.until = forever
	if d := r.Duration(level); d > 0 && now < forever-int64(d) {
		x.until = now + int64(d)
	}
}

// change gives it another level, with nothing counted. Times of changes rise even where the clocks of event loops differ: they tell the order
// of a ledger's rows.
func (x *standing) change(level int, now int64) {
	x.level, x.changed, x.n = uint8(level), max(now, x.changed+1), 0 // #nosec G115 -- at most MaxLevel
}

// settle moves what lies ahead because the clock was set back: the standing holds as long as it would have.
func (x *standing) settle(now int64) {
	if x.window > now+clockSlack {
		x.window = now
	}
	if ahead := x.changed - now; ahead > clockSlack {
		x.changed = now
		if x.until != forever {
			x.until -= ahead
		}
	}
}

// see counts an occurrence, and returns why the level has changed by that, or the standing was prolonged; empty when neither is so. Once it is counted enough, a rise waits for the pace.
func (x *standing) see(r *fault.Reaction, when, worse, back bool, now int64) (reason string) {
	level := x.at(now)
	if level == 0 {
		if x.level > 0 { // it has ended meanwhile
			x.level, x.n = 0, 0
		}
		if !when || !x.count(r.When, now) {
			return ""
		}
		x.rise(r, 0, now)
		return event.StandingWhen
	}
	switch {
	case back && (level > 1 || !r.FirstSight):
		x.change(level-1, now)
		return event.StandingBack
	case !back && worse && x.count(r.Worse, now) && max(now-x.changed, 0) >= int64(r.Pace):
		if level == fault.MaxLevel && x.until == forever { // it can't change
			x.n = 0
			return ""
		}
		x.rise(r, level, now)
		return event.StandingWorse
	}
	return ""
}

// count counts one more in the window, and reports whether it is enough.
func (x *standing) count(w *fault.When, now int64) bool {
	if x.n == 0 || w.Within > 0 && now-x.window >= int64(w.Within) {
		x.window, x.n = now, 0
	}
	x.n = min(x.n, math.MaxUint32-1) + 1
	return x.n >= w.After
}

// Change is a standing that has begun or ended, has another level, or holds for longer.
type Change struct {
	Reaction    *fault.Reaction
	Key         string // whose it is, see fault.Scope.KeyText
	Fingerprint [16]byte
	Time        time.Time // of no two changes of one standing the same
	From, Level int       // 0: it did not hold, or does no longer
	Until       time.Time // the zero time: without end
	Reason      string    // as in event.Standing
}

// prolonged reports whether all that a change has led to is that the standing, at the highest level as before, ends later, and that this has
// happened in the same second before: nobody is told of it each time.
func (x *standing) prolonged(before *standing) bool {
	return x.level == before.level && x.changed/int64(time.Second) == before.changed/int64(time.Second)
}

func untilTime(until int64) time.Time {
	if until == forever {
		return time.Time{}
	}
	return time.Unix(0, until)
}
