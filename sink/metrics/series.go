package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Totals merges all shards for a series: what was counted since the start, as a window.
func (m *Set) Totals(connections, bytes uint64) *count.Window {
	t := &count.Window{Connections: connections, Bytes: bytes}
	for key, n := range m.merge() {
		if n.replied > 0 {
			t.Add(key.stage, key.code, n.replied)
		}
	}
	return t
}

// Series keeps a sink's counts over time in bounded memory: when it holds its maximum of windows, neighbours are joined two by
// two and windows are twice as long from then on. Its methods are safe for concurrent use.
type Series struct {
	mu       sync.Mutex
	limit    int
	length   time.Duration // a window is closed when it is at least as long
	last     *count.Window // at the end of the last closed window
	lastTime time.Time
	closed   []count.Window
}

// NewSeries returns an empty series that begins at start, with windows of the given length and at most limit of them (at
// least 2).
func NewSeries(start time.Time, length time.Duration, limit int) *Series {
	return &Series{limit: max(limit, 2), length: length, lastTime: start, last: &count.Window{}}
}

// Sample tells the series the totals at a time. Call it once per window length or more often; a window is as long as the calls
// are apart.
func (s *Series) Sample(now time.Time, totals *count.Window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Half a millisecond of tolerance: a ticker that fires a moment early must not skip its window.
	if now.Sub(s.lastTime) < s.length-500*time.Microsecond {
		return
	}
	if len(s.closed) == s.limit {
		s.fold()
	}
	s.closed = append(s.closed, s.window(now, totals))
	s.last, s.lastTime = totals, now
}

// Windows returns the closed windows and, when something happened since, the one that is open.
func (s *Series) Windows(now time.Time, totals *count.Window) []count.Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.closed)
	if w := s.window(now, totals); w.Connections > 0 || w.Bytes > 0 || len(w.Replies) > 0 {
		out = append(out, w)
	}
	return out
}

// window returns what lies between the last closed window and now.
func (s *Series) window(now time.Time, totals *count.Window) count.Window {
	w := totals.Minus(s.last)
	w.Start, w.LengthSeconds = s.lastTime, now.Sub(s.lastTime).Seconds()
	return w
}

// fold joins neighbouring windows.
func (s *Series) fold() {
	kept := s.closed[:0]
	for pair := range slices.Chunk(s.closed, 2) {
		w := pair[0]
		for i := range pair[1:] {
			w.LengthSeconds += pair[1+i].LengthSeconds
			w.Merge(&pair[1+i])
		}
		kept = append(kept, w)
	}
	clear(s.closed[len(kept):])
	s.closed = kept
	s.length *= 2
}
