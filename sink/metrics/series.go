package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Window is what happened within a slice of time.
type Window struct {
	Start         time.Time     `json:"start"`
	LengthSeconds float64       `json:"length_s"`
	Connections   uint64        `json:"connections,omitempty"` // accepted
	Messages      uint64        `json:"messages,omitempty"`    // positive replies after the final dot
	Bytes         uint64        `json:"bytes,omitempty"`       // received
	Replies       []WindowReply `json:"replies,omitempty"`     // ordered by stage and code
}

// WindowReply is how often a code was handed over for writing at a stage within a window.
type WindowReply struct {
	Stage smtp.Stage `json:"stage"`
	Code  smtp.Code  `json:"code"`
	Count uint64     `json:"count"`
}

// Totals is what a series is made of: counts since the start.
type Totals struct {
	Connections, Bytes uint64
	replies            map[stageCode]uint64
}

type stageCode struct {
	stage smtp.Stage
	code  smtp.Code
}

// Totals merges all shards for a series.
func (m *Set) Totals(connections, bytes uint64) Totals {
	t := Totals{Connections: connections, Bytes: bytes, replies: map[stageCode]uint64{}}
	for key, n := range m.merge() {
		if n.replied > 0 {
			t.replies[stageCode{key.stage, key.code}] += n.replied
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
	last     Totals        // at the end of the last closed window
	lastTime time.Time
	closed   []Window
}

// NewSeries returns an empty series that begins at start, with windows of the given length and at most limit of them (at
// least 2).
func NewSeries(start time.Time, length time.Duration, limit int) *Series {
	return &Series{limit: max(limit, 2), length: length, lastTime: start}
}

// Sample tells the series the totals at a time. Call it once per window length or more often; a window is as long as the calls
// are apart.
func (s *Series) Sample(now time.Time, totals Totals) {
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
func (s *Series) Windows(now time.Time, totals Totals) []Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.closed)
	if w := s.window(now, totals); w.Connections > 0 || w.Bytes > 0 || len(w.Replies) > 0 {
		out = append(out, w)
	}
	return out
}

// window returns what lies between the last closed window and now.
func (s *Series) window(now time.Time, totals Totals) Window {
	w := Window{
		Start: s.lastTime, LengthSeconds: now.Sub(s.lastTime).Seconds(),
		Connections: totals.Connections - s.last.Connections, Bytes: totals.Bytes - s.last.Bytes,
	}
	for k, n := range totals.replies {
		if n -= s.last.replies[k]; n > 0 {
			w.Replies = append(w.Replies, WindowReply{k.stage, k.code, n})
			if k.stage == smtp.StageMessage && k.code.Class() == 2 {
				w.Messages += n
			}
		}
	}
	slices.SortFunc(w.Replies, compareWindowReply)
	return w
}

func compareWindowReply(a, b WindowReply) int {
	return compareKind(a.Stage, b.Stage, a.Code, b.Code, smtp.Enhanced{}, smtp.Enhanced{})
}

// fold joins neighbouring windows.
func (s *Series) fold() {
	kept := s.closed[:0]
	for pair := range slices.Chunk(s.closed, 2) {
		w := pair[0]
		for _, next := range pair[1:] {
			w.LengthSeconds += next.LengthSeconds
			w.Connections += next.Connections
			w.Messages += next.Messages
			w.Bytes += next.Bytes
			w.Replies = joinReplies(w.Replies, next.Replies)
		}
		kept = append(kept, w)
	}
	clear(s.closed[len(kept):])
	s.closed = kept
	s.length *= 2
}

func joinReplies(a, b []WindowReply) []WindowReply {
	out := slices.Concat(a, b)
	slices.SortFunc(out, compareWindowReply)
	joined := out[:0]
	for _, r := range out {
		if n := len(joined); n > 0 && joined[n-1].Stage == r.Stage && joined[n-1].Code == r.Code {
			joined[n-1].Count += r.Count
			continue
		}
		joined = append(joined, r)
	}
	return joined
}
