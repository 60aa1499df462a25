package state

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Window is the window of a quota: how many occurrences were counted since it began. The zero value is one that has not begun. It is not
// safe for concurrent use.
type Window struct {
	start int64 // Unix nanoseconds
	n     int64
}

// Take counts one more, if the window has room for it, and begins another window when this one is over; now is in Unix nanoseconds. A
// time before the window's start counts as that, unless the clock was set back: then the window begins again at that time, with what it has
// counted, or without where it was set back by a whole window.
func (w *Window) Take(l *fault.Limit, now int64) bool {
	per := int64(l.Per)
	switch since := now - w.start; {
	case w.n == 0 || since >= per || since <= -per:
		w.start, w.n = beginning(l, now), 0
	case since < -clockSlack:
		w.start = beginning(l, now)
	}
	if w.n >= l.Max {
		return false
	}
	w.n++
	return true
}

// beginning returns when the window began that now lies in, and that nobody was counted in yet.
func beginning(l *fault.Limit, now int64) int64 {
	if l.From == fault.QuotaClock {
		return time.Unix(0, now).Truncate(l.Per).UnixNano()
	}
	return now
}

// Return takes back one that was counted.
func (w *Window) Return() { w.n = max(0, w.n-1) }

// window returns the window that is kept as this value.
func (v value) window() Window {
	return Window{int64(v.a), int64(v.b)} // #nosec G115 -- as they were put there
}

func (w Window) value() value {
	return value{uint64(w.start), uint64(w.n)} // #nosec G115 -- two's complement comes back as it was
}
