package state

import (
	"math"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// standing is what is kept of a key for one reaction: 32 octets. The zero value has counted nothing. Times are in Unix nanoseconds.
type standing struct {
	until   int64  // when it ends; at first it doesn't hold
	changed int64  // when its level changed last
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
	x.level, x.changed, x.n, x.until = uint8(level), now, 0, forever // #nosec G115 -- at most MaxLevel
	if d := r.Duration(level); d > 0 && now < forever-int64(d) {
		x.until = now + int64(d)
	}
}

// see counts an occurrence, and reports whether the level has changed by that. Once it is counted enough, a rise waits for the pace.
func (x *standing) see(r *fault.Reaction, when, worse, back bool, now int64) (changed bool) {
	level := x.at(now)
	if level == 0 {
		if x.level > 0 { // it has ended meanwhile
			x.level, x.n = 0, 0
		}
		if !when || !x.count(r.When, now) {
			return false
		}
		x.rise(r, 0, now)
		return true
	}
	switch {
	case back && (level > 1 || !r.FirstSight):
		x.level, x.changed, x.n = uint8(level-1), now, 0 // #nosec G115 -- at most MaxLevel
		return true
	case !back && worse && x.count(r.Worse, now) && now-x.changed >= int64(r.Pace):
		x.rise(r, level, now)
		return true
	}
	return false
}

// count counts one more in the window, and reports whether it is enough.
func (x *standing) count(w *fault.When, now int64) bool {
	if x.n == 0 || w.Within > 0 && now-x.window >= int64(w.Within) {
		x.window, x.n = now, 0
	}
	x.n = min(x.n, math.MaxUint32-1) + 1
	return x.n >= w.After
}

// Change is a standing that has begun, or whose level has changed.
type Change struct {
	Reaction *fault.Reaction
	Key      string    // whose it is, see fault.Scope.KeyText
	Level    int       // 0: it has ended
	Until    time.Time // the zero time: as long as the sink runs
}

func untilTime(until int64) time.Time {
	if until == forever {
		return time.Time{}
	}
	return time.Unix(0, until)
}
