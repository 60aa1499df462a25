package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Defaults of Config.
const (
	DefaultOctets = 1 << 30 // of a directory
	DefaultCount  = 10_000
)

// MinOctets is the least room that Config.Octets may give.
const MinOctets = 64 << 10

// What a store that keeps files takes of memory, in octets: messages that are under way or wait to be written, and what is known of those
// that are kept.
const (
	maxWaiting = 64 << 20
	maxIndex   = 64 << 20
)

// Config says where messages are kept, and how many.
type Config struct {
	Dir     string      // made when it isn't there, gone on with when it is; empty: in memory
	Octets  int64       // of all that is kept, those under way included in memory; 0 means DefaultOctets
	Count   int         // messages; 0 means DefaultCount
	Run     string      // the sink's, of which IDs are made
	Failing func(error) // nil, or told when writing begins to fail, on another goroutine
}

// Store keeps messages. When there is no room for another, the oldest go. All its methods are safe for concurrent use.
type Store struct {
	run     string
	octets  int64
	count   int
	memory  int64        // how much may be used
	used    atomic.Int64 // by octets in memory, and what is known of messages when those are in memory
	files   *files       // nil: everything is in memory
	failing func(error)

	mu      sync.Mutex
	entries []*entry // the oldest first
	size    int64    // of what is kept in files
	index   int64    // of what is known of messages in files
	stats   count.Captures
	changed chan struct{} // closed at the next change; nil while nobody waits

	queue    []*entry // to be written: by a goroutine, so that no client waits for the disk
	unwanted []int    // files to be removed by it
	closing  bool
	wake     chan struct{}
	done     chan struct{}
}

// entry is a message that is kept.
type entry struct {
	Message
	octets []byte // nil once it is in a file
	taken  int64  // of used
	number int    // of its file; 0: it is not in a file yet
	size   int64  // of its files, in octets
	gone   bool   // nobody wants it any more
}

// Open opens a store. The error names what stands in the way.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		run: cfg.Run, octets: cfg.Octets, count: cfg.Count, failing: cfg.Failing,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if s.octets == 0 {
		s.octets = DefaultOctets
	}
	if s.count == 0 {
		s.count = DefaultCount
	}
	if s.octets < MinOctets || s.count < 1 {
		return nil, fmt.Errorf("too little room: %d octets and %d messages (want %d and 1, or more)", s.octets, s.count, MinOctets)
	}
	s.memory = s.octets
	if cfg.Dir == "" {
		close(s.done)
		return s, nil
	}
	s.memory = maxWaiting
	var err error
	if s.files, s.entries, err = openFiles(cfg.Dir); err != nil {
		return nil, err
	}
	for _, e := range s.entries {
		s.size += e.size
		s.index += e.overhead()
	}
	s.mu.Lock()
	s.makeRoom(0, 0)
	s.mu.Unlock()
	go s.write()
	return s, nil
}

// MaxBody is how many octets are kept of one message: no message pushes out all others.
func (s *Store) MaxBody() int { return int(min(s.octets, s.memory) / 2) }

// Take asks for memory; in a store in memory the oldest messages make room. False: there is none.
func (s *Store) Take(octets int) bool {
	n := int64(octets)
	if s.take(n) {
		return true
	}
	if s.files != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.take(n) {
		if len(s.entries) == 0 {
			return false
		}
		s.dropOldest()
	}
	return true
}

func (s *Store) take(n int64) bool {
	if s.used.Add(n) <= s.memory {
		return true
	}
	s.used.Add(-n)
	return false
}

// Give gives memory back.
func (s *Store) Give(octets int) { s.used.Add(-int64(octets)) }

// Add keeps a message. Its octets are the store's from now on; their capacity is what was taken for them.
func (s *Store) Add(m *Message, octets []byte) {
	e := &entry{Message: *m, octets: octets, taken: int64(cap(octets))}
	e.ID, e.Run = ID(s.run, m.Conn, m.Message), s.run
	e.Kept = int64(len(octets))
	e.Cut = e.Kept < e.Size
	if cap(octets)-len(octets) > len(octets)/4 { // the memory of a short message is mostly room to grow
		e.octets = slices.Clip(append(make([]byte, 0, len(octets)), octets...))
		s.used.Add(int64(cap(e.octets)) - e.taken)
		e.taken = int64(cap(e.octets))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		s.used.Add(-e.taken)
		return
	}
	s.stats.Messages++
	if e.Cut {
		s.stats.Cut++
	}
	if s.files == nil {
		e.taken += e.overhead()
		s.used.Add(e.overhead())
		s.entries = append(s.entries, e)
		for len(s.entries) > s.count || s.used.Load() > s.memory && len(s.entries) > 0 {
			s.dropOldest()
		}
	} else {
		s.makeRoom(e.overhead(), 0)
		s.index += e.overhead()
		s.entries = append(s.entries, e)
		s.queue = append(s.queue, e)
		s.look()
	}
	s.tell()
}

// dropOldest forgets the oldest message. s.mu is held.
func (s *Store) dropOldest() {
	s.drop(s.entries[0])
	s.entries[0] = nil
	s.entries = s.entries[1:]
	s.stats.Dropped++
}

// drop gives up what an entry takes. s.mu is held.
func (s *Store) drop(e *entry) {
	e.gone = true
	if s.files == nil {
		s.used.Add(-e.taken)
		e.octets = nil
		return
	}
	s.index -= e.overhead()
	if e.number > 0 {
		s.size -= e.size
		s.unwanted = append(s.unwanted, e.number)
		s.look()
	} // else the writer finds out
}

// makeRoom lets the oldest files go, until there is room for so many octets more of what is known, and of files. s.mu is held.
func (s *Store) makeRoom(known, octets int64) {
	more := 0
	if known > 0 {
		more = 1
	}
	for len(s.entries) > 0 && (len(s.entries)+more > s.count || s.index+known > maxIndex || s.size+octets > s.octets) {
		s.dropOldest()
	}
}

// tell wakes those who wait. s.mu is held.
func (s *Store) tell() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// List returns the messages that are meant, the oldest first. What it returns must not be changed.
func (s *Store) List(q Query) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list(&q)
}

func (s *Store) list(q *Query) []Message {
	entries := s.entries
	if q.After != "" {
		if i := slices.IndexFunc(entries, func(e *entry) bool { return e.ID == q.After }); i >= 0 {
			entries = entries[i+1:]
		}
	}
	var out []Message
	for _, e := range entries {
		if q.Limit > 0 && len(out) == q.Limit {
			break
		}
		if q.matches(&e.Message) {
			out = append(out, e.Message)
		}
	}
	return out
}

// ErrGone says that a message was there once, or never.
var ErrGone = errors.New("no such message: it was never captured, or had to make room")

// Get returns a message with its octets, which must not be changed. The error wraps ErrGone when it isn't there.
func (s *Store) Get(id string) (Message, []byte, error) {
	s.mu.Lock()
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.ID == id })
	if i < 0 {
		s.mu.Unlock()
		return Message{}, nil, fmt.Errorf("%q: %w", id, ErrGone)
	}
	e := s.entries[i]
	m, octets, number := e.Message, e.octets, e.number
	s.mu.Unlock()
	if number == 0 {
		return m, octets, nil
	}
	octets, err := s.files.read(number)
	if err != nil {
		return Message{}, nil, err
	}
	return m, octets, nil
}

// Raw returns the octets of the connection's n-th message in this run, as Get does, and whether they are there.
func (s *Store) Raw(conn, message uint64) ([]byte, bool) {
	_, octets, err := s.Get(ID(s.run, conn, message))
	return octets, err == nil
}

// Clear forgets all messages.
func (s *Store) Clear() { s.Delete(Query{}) }

// Delete forgets the messages that are meant, and returns how many those were.
func (s *Store) Delete(q Query) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	meant := make(map[string]bool)
	for _, m := range s.list(&q) {
		meant[m.ID] = true
	}
	s.entries = slices.DeleteFunc(s.entries, func(e *entry) bool {
		if meant[e.ID] {
			s.drop(e)
		}
		return meant[e.ID]
	})
	return len(meant)
}

// Remove forgets one message, and reports whether it was there.
func (s *Store) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.ID == id })
	if i < 0 {
		return false
	}
	s.drop(s.entries[i])
	s.entries = slices.Delete(s.entries, i, i+1)
	return true
}

// Wait returns once enough says so of the messages that are meant, which it is asked at first and whenever there is another one. The error
// is the context's.
func (s *Store) Wait(ctx context.Context, q Query, enough func([]Message) bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, list := s.changed, s.list(&q)
		s.mu.Unlock()
		if enough(list) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("after %d messages: %w", len(list), context.Cause(ctx))
		}
	}
}

// Stats returns what was captured since Open, and what is kept now.
func (s *Store) Stats() count.Captures {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Kept, out.Octets = uint64(len(s.entries)), uint64(max(s.size+s.used.Load(), 0)) // #nosec G115 -- not below 0
	return out
}

// Close writes what is left and ends the use of the directory. What is in memory stays readable.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.look()
	<-s.done
	if s.files == nil {
		return nil
	}
	return s.files.close()
}
