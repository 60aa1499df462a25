package state

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Early reports whether an occurrence comes back to a greylist before its delay is over. The greylist keeps nothing of it.
func (l *Limits) Early(now time.Time, greylist *fault.Limit, o *fault.Occurrence) bool {
	var shape [5]byte
	s, known := l.store.peek(kindGreylist, keyOf(greylist, appendShape(shape[:0], greylist), o))
	if !known {
		return false
	}
	first, last := int64(s.a), int64(s.b) // #nosec G115 -- as they were put there
	at := max(now.UnixNano(), last)
	if first-now.UnixNano() > clockSlack { // the clock was set back: it will be seen anew
		return false
	}
	if time.Duration(last-first) >= greylist.Delay { // it has been let through, and may come again
		return false
	}
	return time.Duration(at-first) < greylist.Delay && time.Duration(at-first) <= greylist.Window
}
