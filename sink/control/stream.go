package control

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// stream sends events as they come, as server-sent events, until the client leaves, is too slow, or the server closes. A client that comes
// again with the id of the last event that it has (Last-Event-ID) misses none, unless the sink has thrown some away: then it is told which.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, f *filter) error {
	if r.URL.Query().Has("limit") {
		return badQuery("limit: a stream has none")
	}
	rate, err := number(r, "rate", 0, maxRate)
	if err != nil {
		return err
	}
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("after")
	}
	queue := &queue{limit: s.cfg.Bounds.Backlog, changed: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	after := s.cfg.Tail.Last() // from now on
	if from != "" {
		seq, ours, err := s.place(from)
		if err != nil {
			return err
		}
		if after = seq; !ours || seq > s.cfg.Tail.Last() { // the sink was started again: all that came is new
			after = 0
			queue.add(gap(from, s.id(0)))
		}
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return problem(api.TooMany, "there are %d streams already (the most that there may be)", s.cfg.Bounds.Streams)
	}
	h := w.Header()
	h.Set("Content-Type", api.TypeStream)
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer cancel() // a reader that was cut off gets what waits, and no more
		if rate > 0 {
			s.sample(ctx, queue, f, after, int(rate)) // #nosec G115 -- at most maxRate
		} else {
			s.fill(ctx, queue, f, after)
		}
		queue.close()
	}()
	out := http.NewResponseController(w)
	if _, err := w.Write([]byte("retry: 2000\n\n")); err != nil {
		return ended(err)
	}
	ticker := time.NewTicker(s.cfg.beatEvery)
	defer ticker.Stop()
	for {
		if err := out.Flush(); err != nil {
			return ended(err)
		}
		select {
		case <-queue.changed:
			waiting, over := queue.take()
			if _, err := w.Write(waiting); err != nil {
				return ended(err)
			}
			if over {
				return nil
			}
		case <-ticker.C:
			if _, err := w.Write([]byte(": still here\n\n")); err != nil {
				return ended(err)
			}
		}
	}
}

// fill puts events into the queue until the context ends, or the client that was up to date is no more.
func (s *Server) fill(ctx context.Context, q *queue, f *filter, after uint64) {
	live := false // the client has had all that was there when it came
	for {
		rows, missed := s.cfg.Tail.After(after, page)
		if missed > 0 {
			q.add(gap(s.id(after+1), s.id(after+missed)))
		}
		var out []byte
		for i := range rows {
			row := &rows[i]
			if f.takes(row) {
				out = s.appendEvent(out, row)
			}
			after = row.Seq
		}
		for !q.add(out) {
			if live {
				return // too slow
			}
			select {
			case <-q.room:
			case <-ctx.Done():
				return
			}
		}
		if len(rows) == 0 {
			live = true
			if s.cfg.Tail.Wait(ctx, after) != nil {
				return
			}
		}
	}
}

// gap says that events are gone.
func gap(from, to string) []byte {
	return fmt.Appendf(nil, "event: gap\ndata: {\"from\":%q,\"to\":%q}\n\n", from, to)
}

// queue holds what a stream's client has not taken yet.
type queue struct {
	limit   int           // octets
	changed chan struct{} // holds one when there is something new
	room    chan struct{} // holds one when something was taken

	mu      sync.Mutex
	waiting []byte
	over    bool
}

// add reports whether there was room.
func (q *queue) add(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 && len(q.waiting)+len(p) > q.limit {
		return false
	}
	if q.waiting = append(q.waiting, p...); len(p) > 0 {
		signal(q.changed)
	}
	return true
}

// close says that nothing more comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	signal(q.changed)
}

// take returns what waits, and whether that is the last.
func (q *queue) take() (waiting []byte, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting, q.waiting = q.waiting, nil
	signal(q.room)
	return waiting, q.over
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
