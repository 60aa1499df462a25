package run

import (
	"context"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// watcher watches an MTA from outside: how much the sink took from it, and what its queue holds. It is used by one goroutine.
type watcher struct {
	sink  *embedded
	list  *lister             // nil: the queue can't be seen
	depth func() (int, error) // counts the queue at little cost; nil: the listings do
	every time.Duration       // how often the queue is listed while it holds something

	series []result.DeliverySample // Time and Queued only
	final  []listing               // the last two of those that were begun when the load was over
}

// newWatcher returns a watcher; queue lists what the MTA holds, nil where nobody can tell.
func newWatcher(ctx context.Context, sink *embedded, queue listQueue) *watcher {
	return &watcher{sink: sink, list: newLister(ctx, queue), every: listEvery}
}

func (w *watcher) close() {
	if w != nil {
		w.list.close()
	}
}

// maxSamples bounds the series: some seven hours at four a second.
const maxSamples = 100_000

// look takes a sample while the load is on, and sees to it that the queue is listed.
func (w *watcher) look(now time.Time) {
	select {
	case got := <-w.list.results():
		w.take(&got)
	default:
	}
	if w.depth == nil {
		w.list.begin(now, listEvery)
	}
	w.count(now)
}

// count samples how much is queued.
func (w *watcher) count(now time.Time) {
	if w.depth == nil || len(w.series) >= maxSamples {
		return
	}
	depth, err := w.depth()
	if err != nil {
		w.list.failed++
		w.list.blind = err
		return
	}
	queued := uint64(depth) // #nosec G115 -- a count of files
	w.series = append(w.series, result.DeliverySample{Time: now, Queued: &queued})
}

// take takes a listing that has arrived, and reports whether it is one.
func (w *watcher) take(got *listing) bool {
	if !w.list.take(got) {
		return false
	}
	if w.depth == nil && len(w.series) < maxSamples {
		queued := got.messages()
		w.series = append(w.series, result.DeliverySample{Time: got.begun, Queued: &queued})
	}
	return true
}

// delivered is how many recipients the sink accepted.
func (w *watcher) delivered() uint64 { return w.sink.server.Stats().Attempts.Delivered }

// queued says how long the queue is, if that was seen.
func (w *watcher) queued() string {
	if len(w.series) == 0 || *w.series[len(w.series)-1].Queued == 0 {
		return ""
	}
	return ", " + count(*w.series[len(w.series)-1].Queued) + " queued"
}

// drain watches until no unit's fate can change any more, which two listings of the queue tell that hold nothing of what was sent, or else
// until the cutoff; where the queue can't be seen, always until the cutoff, since a copy may come after the last first delivery. Past the
// cutoff it waits for the second listing only. It returns how long it watched.
func (r *runner) drain(ctx context.Context, p *passage) (time.Duration, error) {
	w, began := p.watcher, time.Now()
	queue := reconcile.New(reconcile.Options{}) // knows what of the queue is ours
	claims, err := os.Open(p.books.path(bookfiles.ClaimsFile))
	if err != nil {
		return 0, err
	}
	_, err = reconcile.ReadClaims(claims, bookfiles.ClaimsFile, queue.Claim)
	_ = claims.Close() // it was read
	if err != nil {
		return 0, err
	}
	cutoff := time.NewTimer(time.Duration(r.o.CutoffSeconds) * time.Second)
	defer cutoff.Stop()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	over := false // the cutoff has passed
	pause := time.Duration(0)
	for {
		now := time.Now()
		w.count(now)
		w.list.begin(now, pause)
		r.progress.update("mta      draining: %s delivered%s", count(w.delivered()), w.queued())
		select {
		case got := <-w.list.results():
			if !w.take(&got) {
				if over {
					return time.Since(began), nil
				}
				pause = listEvery
				continue
			}
			if got.begun.Before(began) {
				continue // of when the load was on
			}
			w.final = append(w.final[max(0, len(w.final)-1):], got)
			queue.Listing(got.begun, false)
			for i := range got.entries {
				if err := queue.Queued(&got.entries[i]); err != nil {
					return 0, err
				}
			}
			if n := len(w.final); n > 1 && (queue.Settled() || over && w.final[n-1].begun.Sub(w.final[n-2].begun) >= listEvery) {
				return time.Since(began), nil
			}
			if pause = listEvery; queue.Owed() > 0 && !over {
				pause = w.every
			}
		case <-ticker.C:
		case <-cutoff.C:
			if over = true; w.list == nil || w.list.failed > 0 && len(w.final) == 0 {
				return time.Since(began), nil
			}
			pause = listEvery
		case <-r.o.Stop:
			return time.Since(began), nil
		case <-ctx.Done():
			return time.Since(began), ctx.Err()
		}
	}
}

// keep writes the last two listings that count, for the judge.
func (w *watcher) keep(b books) error {
	if len(w.final) == 0 {
		return nil
	}
	var text []byte
	for _, l := range w.final {
		text = (&reconcile.QueueEntry{Listing: l.begun}).Append(text)
		for i := range l.entries {
			text = l.entries[i].Append(text)
		}
	}
	return b.write(bookfiles.QueueFile, text)
}
