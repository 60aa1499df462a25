package state

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Bounds of Next.
const (
	MaxNext        = 1000 // outcomes at the same time
	DefaultNextTTL = 10 * time.Minute
	MaxNextTTL     = 24 * time.Hour
)

// Errors of Next.Add.
var (
	ErrNextTaken = errors.New("the id is taken by another")
	ErrNextFull  = fmt.Errorf("there are %d already (the most that there may be)", MaxNext)
)

// Next keeps the outcomes that were asked for from outside, for the next occurrences that match. They are met in the order in which
// they were asked for, whatever plan is in force. All methods are safe for concurrent use. A nil Next has none.
type Next struct {
	stages atomic.Uint32 // a bit for each stage at which one may wait: where none does, nobody takes a lock

	mu      sync.Mutex
	entries []nextEntry
	ids     uint64
}

type nextEntry struct {
	next    *fault.Next
	hits    int
	expires time.Time
}

// NextStatus is what has become of an outcome that was asked for. It is kept until it expires, used up or not.
type NextStatus struct {
	ID        string
	Stage     smtp.Stage
	Match     fault.Match
	Outcome   fault.OutcomeSpec // as it was asked for; not to be changed
	Remaining int               // occurrences that will meet it
	Hits      int               // occurrences that have met it
	Expires   time.Time
}

const _ = uint32(1) << (smtp.NumStages - 1) // a bit for each

// Waits reports whether an outcome may wait at the stage.
func (n *Next) Waits(stage smtp.Stage) bool { return n != nil && n.stages.Load()>>stage&1 != 0 }

// Take returns the first outcome that waits for the occurrence, which has met it now; ok is false when none does.
func (n *Next) Take(now time.Time, o *fault.Occurrence) (d fault.Decision, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(now)
	for i := range n.entries {
		e := &n.entries[i]
		if e.hits < e.next.Times && e.next.Stage == o.Stage && e.next.Matches(o) {
			e.hits++
			n.note()
			return e.next.Decide(uint64(e.hits)), true // #nosec G115 -- a count
		}
	}
	return fault.Decision{}, false
}

// Add has the outcome wait until it is used up or ttl is over; 0 means DefaultNextTTL. One that has the same id is replaced if replace
// says so, and otherwise the reason for ErrNextTaken.
func (n *Next) Add(now time.Time, next *fault.Next, ttl time.Duration, replace bool) (NextStatus, error) {
	if ttl == 0 {
		ttl = DefaultNextTTL
	}
	if ttl < 0 || ttl > MaxNextTTL {
		return NextStatus{}, &fault.SpecError{Path: "next", Name: next.ID, Field: "ttl", Err: fmt.Errorf("%v is out of range (want above 0s, at most %v)", ttl, MaxNextTTL)}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(now)
	e := nextEntry{next: next, expires: now.Add(ttl)}
	at := n.find(next.ID)
	switch {
	case at >= 0 && !replace:
		return NextStatus{}, ErrNextTaken
	case at >= 0:
		n.entries[at] = e
	case len(n.entries) >= MaxNext:
		return NextStatus{}, ErrNextFull
	default:
		n.entries = append(n.entries, e)
	}
	n.note()
	return e.status(), nil
}

// NewID returns an id that no outcome has.
func (n *Next) NewID() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		n.ids++
		if id := fmt.Sprintf("n%d", n.ids); n.find(id) < 0 {
			return id
		}
	}
}

// Remove takes an outcome back, and reports whether it was there.
func (n *Next) Remove(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.find(id)
	if at < 0 {
		return false
	}
	n.entries = slices.Delete(n.entries, at, at+1)
	n.note()
	return true
}

// Clear takes all outcomes back.
func (n *Next) Clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entries = nil
	n.note()
}

// List returns what has become of each, in the order in which they were asked for.
func (n *Next) List(now time.Time) []NextStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(now)
	list := make([]NextStatus, len(n.entries))
	for i := range n.entries {
		list[i] = n.entries[i].status()
	}
	return list
}

func (e *nextEntry) status() NextStatus {
	return NextStatus{
		ID: e.next.ID, Stage: e.next.Stage, Match: e.next.Match, Outcome: e.next.Outcome, Remaining: e.next.Times - e.hits, Hits: e.hits, Expires: e.expires,
	}
}

// find returns the index of an id, or -1. n.mu is held.
func (n *Next) find(id string) int {
	return slices.IndexFunc(n.entries, func(e nextEntry) bool { return e.next.ID == id })
}

// expire drops what nobody has met in time. n.mu is held.
func (n *Next) expire(now time.Time) {
	before := len(n.entries)
	n.entries = slices.DeleteFunc(n.entries, func(e nextEntry) bool { return !now.Before(e.expires) })
	if len(n.entries) < before {
		n.note()
	}
}

// note notes at which stages an outcome waits. n.mu is held.
func (n *Next) note() {
	var stages uint32
	for i := range n.entries {
		if e := &n.entries[i]; e.hits < e.next.Times {
			stages |= 1 << e.next.Stage
		}
	}
	n.stages.Store(stages)
}
