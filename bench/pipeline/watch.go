package pipeline

import (
	"context"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Watcher watches an MTA from outside: how much the sink took from it, and what its queue holds. It is used by one goroutine.
type Watcher struct {
	sink  *Sink
	list  *lister             // nil: the queue can't be seen
	depth func() (int, error) // counts the queue at little cost; nil: the listings do
	every time.Duration       // how often the queue is listed while it holds something

	Series []result.DeliverySample // what was seen so far: Time and Queued only
	cut    bool                    // Drain was ended early
	final  []listing               // the last two of those that were begun when the load was over
}

// Watch returns a watcher of the pipeline in front of the sink. Close must be called.
func (p *Pipeline) Watch(ctx context.Context, sink *Sink) *Watcher {
	w := &Watcher{sink: sink, list: newLister(ctx, p.Queue), depth: p.Depth, every: listEvery}
	if p.Depth != nil {
		w.every = time.Second // it is our own, and a listing of it costs little
	}
	return w
}

// Close ends a listing that is under way.
func (w *Watcher) Close() { w.list.close() }

// maxSamples bounds the series: some seven hours at four a second.
const maxSamples = 100_000

// Look takes a sample while the load is on, and sees to it that the queue is listed.
func (w *Watcher) Look(now time.Time) {
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
func (w *Watcher) count(now time.Time) {
	if w.depth == nil || len(w.Series) >= maxSamples {
		return
	}
	depth, err := w.depth()
	if err != nil {
		w.list.failed++
		w.list.blind = err
		return
	}
	queued := uint64(depth) // #nosec G115 -- a count of files
	w.Series = append(w.Series, result.DeliverySample{Time: now, Queued: &queued})
}

// take takes a listing that has arrived, and reports whether it is one.
func (w *Watcher) take(got *listing) bool {
	if !w.list.take(got) {
		return false
	}
	if w.depth == nil && len(w.Series) < maxSamples {
		queued := got.messages()
		w.Series = append(w.Series, result.DeliverySample{Time: got.begun, Queued: &queued})
	}
	return true
}

// Delivered is how many recipients the sink accepted.
func (w *Watcher) Delivered() uint64 { return w.sink.Server.Stats().Attempts.Delivered }

// Queued says how long the queue is, if that was seen.
func (w *Watcher) Queued() string {
	if len(w.Series) == 0 || *w.Series[len(w.Series)-1].Queued == 0 {
		return ""
	}
	return ", " + text.Count(*w.Series[len(w.Series)-1].Queued) + " queued"
}

// Failed returns how many listings failed, and why the last one did.
func (w *Watcher) Failed() (n uint64, last error) {
	if w.list == nil {
		return 0, nil
	}
	return w.list.failed, w.list.blind
}

// Cut reports whether Drain was ended early, by its stop.
func (w *Watcher) Cut() bool { return w.cut }

// Sees reports whether the queue can be listed at all.
func (w *Watcher) Sees() bool { return w.list != nil }

// Drain watches until no unit's fate can change any more, which two listings of the queue tell that hold nothing of what was sent, or else
// until the cutoff; where the queue can't be seen, always until the cutoff, since a copy may come after the last first delivery. Past the
// cutoff it waits for the second listing only. Closing stop ends
// it early. It calls tick at least four times a second and returns how long it watched.
func (w *Watcher) Drain(ctx context.Context, e Evidence, cutoff time.Duration, stop <-chan struct{}, tick func()) (time.Duration, error) {
	began := time.Now()
	queue := reconcile.New(reconcile.Options{}) // knows what of the queue is ours
	claims, err := os.Open(e.Path(runfiles.ClaimsFile))
	if err != nil {
		return 0, err
	}
	_, err = reconcile.ReadClaims(claims, runfiles.ClaimsFile, queue.Claim)
	_ = claims.Close() // it was read
	if err != nil {
		return 0, err
	}
	end := time.NewTimer(cutoff)
	defer end.Stop()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	over := false // the cutoff has passed
	pause := time.Duration(0)
	for {
		now := time.Now()
		w.count(now)
		w.list.begin(now, pause)
		tick()
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
		case <-end.C:
			if over = true; w.list == nil || w.list.failed > 0 && len(w.final) == 0 {
				return time.Since(began), nil
			}
			pause = listEvery
		case <-stop:
			w.cut = true
			return time.Since(began), nil
		case <-ctx.Done():
			return time.Since(began), ctx.Err()
		}
	}
}

// Keep writes the last two listings that count, for the judge.
func (w *Watcher) Keep(e Evidence) error {
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
	return e.write(runfiles.QueueFile, text)
}
