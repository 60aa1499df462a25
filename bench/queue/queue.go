package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// State says where an entry is.
type State uint8

// The states. An entry that was sent, refused or expired is in the queue no more.
const (
	Incoming State = iota // not tried yet
	Active                // taken, and being tried
	Deferred              // tried, and to be tried again
)

// String returns the state as MTAs name the queues of their listings.
func (s State) String() string { return [...]string{"incoming", "active", "deferred"}[s] }

// Entry is one thing to be delivered to one destination.
type Entry struct {
	ID          uint64
	Destination string
	Arrived     time.Time
	Due         time.Time // of the next attempt; of an active entry, when it was due
	Deferrals   int
	State       State
}

// entry is an Entry in its place.
type entry struct {
	Entry
	order uint64 // of arrival
	index int    // in its destination's heap
}

// destination holds what waits for one destination, and how much of it is active.
type destination struct {
	waiting byDue
	active  int
}

// Queue holds entries until they are done. It is not safe for concurrent use.
type Queue struct {
	policy       Policy
	seed         uint64
	entries      map[uint64]*entry
	destinations map[string]*destination
	arrivals     uint64
}

// New returns an empty queue. The error says what is wrong with the policy.
func New(policy Policy, seed uint64) (*Queue, error) {
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	return &Queue{policy: policy, seed: seed, entries: map[uint64]*entry{}, destinations: map[string]*destination{}}, nil
}

// Add takes an entry that arrives now and is first due at a time of its own. It reports false, and does nothing, if the id is taken.
func (q *Queue) Add(id uint64, to string, now, due time.Time) bool {
	if q.entries[id] != nil {
		return false
	}
	q.arrivals++
	e := &entry{Entry: Entry{ID: id, Destination: to, Arrived: now, Due: due}, order: q.arrivals}
	q.entries[id] = e
	d := q.destinations[to]
	if d == nil {
		d = &destination{}
		q.destinations[to] = d
	}
	heap.Push(&d.waiting, e)
	return true
}

// Take makes the entry that has been due for the longest time active and returns it; of entries that are due at the same time the one
// that arrived first. ok is false when none is due at a destination that has room.
func (q *Queue) Take(now time.Time) (taken Entry, ok bool) {
	d := q.next()
	if d == nil || d.waiting[0].Due.After(now) {
		return Entry{}, false
	}
	e := heap.Pop(&d.waiting).(*entry)
	e.State = Active
	d.active++
	return e.Entry, true
}

// Next returns when the next entry is due at a destination that has room; ok is false when nothing is going to be due before an active
// entry is done.
func (q *Queue) Next() (due time.Time, ok bool) {
	d := q.next()
	if d == nil {
		return time.Time{}, false
	}
	return d.waiting[0].Due, true
}

// next returns the destination with room whose first entry is due first.
func (q *Queue) next() (first *destination) {
	for _, d := range q.destinations {
		if len(d.waiting) > 0 && d.active < q.policy.Concurrency && (first == nil || before(d.waiting[0], first.waiting[0])) {
			first = d
		}
	}
	return first
}

// Done takes an active entry out of the queue: it was sent, or refused for good. It reports false for entries that are not active.
func (q *Queue) Done(id uint64) bool {
	e := q.release(id)
	if e == nil {
		return false
	}
	delete(q.entries, id)
	if d := q.destinations[e.Destination]; d.active == 0 && len(d.waiting) == 0 {
		delete(q.destinations, e.Destination)
	}
	return true
}

// Defer puts an active entry back, to be tried again when the policy says, and returns that time; or, if its lifetime is over, it
// takes it out of the queue. Of entries that are not active it says that they have expired.
func (q *Queue) Defer(id uint64, now time.Time) (due time.Time, expired bool) {
	if e := q.entries[id]; e == nil || now.Sub(e.Arrived) >= q.policy.Lifetime {
		q.Done(id)
		return time.Time{}, true
	}
	e := q.release(id)
	if e == nil {
		return time.Time{}, true
	}
	e.Deferrals++
	e.State = Deferred
	e.Due = now.Add(q.policy.Delay(q.seed, id, e.Deferrals))
	heap.Push(&q.destinations[e.Destination].waiting, e)
	return e.Due, false
}

// release returns the active entry, which occupies its destination no more; nil if there is none.
func (q *Queue) release(id uint64) *entry {
	e := q.entries[id]
	if e == nil || e.State != Active {
		return nil
	}
	q.destinations[e.Destination].active--
	return e
}

// Flush makes an entry that waits due before all others, whatever the policy says, as an operator would. Its Due is the zero time. It
// reports false for entries that don't wait.
func (q *Queue) Flush(id uint64) bool {
	e := q.entries[id]
	if e == nil || e.State == Active {
		return false
	}
	e.Due = time.Time{}
	heap.Fix(&q.destinations[e.Destination].waiting, e.index)
	return true
}

// Len returns how many entries there are.
func (q *Queue) Len() int { return len(q.entries) }

// Entries returns all entries, in the order of their arrival.
func (q *Queue) Entries() []Entry {
	all := make([]*entry, 0, len(q.entries))
	for _, e := range q.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	out := make([]Entry, len(all))
	for i, e := range all {
		out[i] = e.Entry
	}
	return out
}

// byDue is a heap.Interface: what is due first comes first.
type byDue []*entry

func before(a, b *entry) bool {
	if !a.Due.Equal(b.Due) {
		return a.Due.Before(b.Due)
	}
	return a.order < b.order
}

// Len implements heap.Interface.
func (h byDue) Len() int { return len(h) }

// Less implements heap.Interface.
func (h byDue) Less(i, j int) bool { return before(h[i], h[j]) }

// Swap implements heap.Interface.
func (h byDue) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byDue) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byDue) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
