package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The rhythm of watching.
const (
	sampleEvery = 250 * time.Millisecond
	usageEvery  = 8               // samples: it reads all of /proc
	listApart   = 5 * time.Second // between the two listings that prove an absence (docs/reconciliation.md, Watching an MTA from outside)
	listTimeout = 10 * time.Second
)

// maxSamples bounds the samples: some seven hours.
const maxSamples = 100_000

// listing is what the queue held.
type listing struct {
	begun   time.Time
	entries []reconcile.QueueEntry
}

// watch is what is seen of the agent while a storm lasts. It is used by one goroutine.
type watch struct {
	agent   Agent
	samples []measure.Sample
	cpu     time.Duration // of looking
	unseen  bool          // nobody can see the queue
	whole   bool          // a control group counts what the agent uses
	blind   error         // why the queue could not be seen the last time; nil: it was
	failed  int           // how often it could not
	last    time.Time
	final   []listing // the last two that count
}

// sample looks at the queue's depth, and now and then at what the agent uses.
func (w *watch) sample(now time.Time) {
	if len(w.samples) >= maxSamples {
		return
	}
	runtime.LockOSThread() // whose CPU time is taken
	defer runtime.UnlockOSThread()
	begun := threadCPU()
	defer func() { w.cpu += threadCPU() - begun }()
	depth, err := w.agent.Depth()
	if errors.Is(err, errUnseen) {
		w.unseen = true
		return
	}
	if err != nil {
		w.failed++
		w.blind = err
		return
	}
	w.blind = nil
	s := measure.Sample{At: now, Depth: depth}
	if n := len(w.samples); n%usageEvery == 0 {
		u := w.agent.Usage()
		w.whole = u.Whole
		s.CPU, s.Memory, s.Processes = u.CPU, u.Memory, u.Processes
	} else {
		s.CPU, s.Memory, s.Processes = w.samples[n-1].CPU, w.samples[n-1].Memory, w.samples[n-1].Processes
	}
	w.samples = append(w.samples, s)
}

// depth is what was seen last; -1: nothing.
func (w *watch) depth() int {
	if len(w.samples) == 0 || w.blind != nil {
		return -1
	}
	return w.samples[len(w.samples)-1].Depth
}

// list lists the queue and tells a judge, who knows what of it is the run's.
func (w *watch) list(ctx context.Context, now time.Time, judge *reconcile.Judge) error {
	w.last = now
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	l := listing{begun: now}
	err := w.agent.Queue(ctx, func(q *reconcile.QueueEntry) error {
		l.entries = append(l.entries, *q)
		return nil
	})
	if err != nil {
		w.failed++
		w.blind = err
		return nil // it is no listing
	}
	w.final = append(w.final[max(0, len(w.final)-1):], l)
	judge.Listing(now, false)
	for i := range l.entries {
		if err := judge.Queued(&l.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// apart reports whether the last two listings prove an absence.
func (w *watch) apart() bool {
	n := len(w.final)
	return n > 1 && w.final[n-1].begun.Sub(w.final[n-2].begun) >= listApart
}

// keep writes the listings for the judge.
func (w *watch) keep(path string) error {
	if len(w.final) == 0 {
		return nil
	}
	var lines []byte
	for _, l := range w.final {
		lines = (&reconcile.QueueEntry{Listing: l.begun}).Append(lines)
		for i := range l.entries {
			lines = l.entries[i].Append(lines)
		}
	}
	return os.WriteFile(path, lines, 0o644) // #nosec G306 -- results are for others to read
}

// errStopped says that somebody ended the run early.
var errStopped = errors.New("stopped")

// follow watches a storm from its begin to its end: until the queue was seen twice to hold nothing of what was sent, or until the cutoff.
// It does to sender and sink what the storm asks for. The error is errStopped when the user ended it early.
func (c *cell) follow(ctx context.Context, sent <-chan struct{}) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var known *reconcile.Judge // of all claims, once all are written
	for {
		now := time.Now()
		c.watch.sample(now)
		c.progress.Update("%s", c.liveLine(now))
		if err := c.disturb(ctx, now); err != nil {
			return err
		}
		if known == nil && closed(sent) && now.After(c.end) {
			var err error
			if known, err = readClaims(c.path(runfiles.ClaimsFile)); err != nil {
				return err
			}
		}
		if known != nil {
			over := now.After(c.cutoff)
			if !c.watch.unseen && (c.watch.depth() <= 0 || over) && now.Sub(c.watch.last) >= listApart {
				if err := c.watch.list(ctx, now, known); err != nil {
					return err
				}
			}
			if known.Settled() || over && (c.watch.unseen || c.watch.apart() || now.After(c.cutoff.Add(2*listApart+listTimeout))) {
				c.watch.sample(time.Now())
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-c.o.Stop:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// readClaims returns a judge who knows what was sent, and so what of a queue is ours.
func readClaims(path string) (*reconcile.Judge, error) {
	f, err := os.Open(path) // #nosec G304 -- of this run
	if err != nil {
		return nil, err
	}
	defer f.Close()
	j := reconcile.New(reconcile.Options{})
	_, err = reconcile.ReadClaims(f, runfiles.ClaimsFile, j.Claim)
	return j, err
}

// liveLine says how far the storm is. What is lost is known at its end only.
func (c *cell) liveLine(now time.Time) string {
	phase, until := "", c.begin
	switch {
	case now.Before(c.begin):
		phase = "before the storm"
	case now.Before(c.end):
		phase, until = "storm", c.end
		if p := c.hop.phase(); p != "" {
			phase += ": " + p
		}
	default:
		phase, until = "drain", c.cutoff
	}
	delivered, twice, deferred, _ := c.hop.seen.so()
	queued, lost := "", "lost not known yet"
	if d := c.watch.depth(); d >= 0 {
		queued = fmt.Sprintf("%s queued, ", text.Count(d))
	}
	return fmt.Sprintf("%-8s %s: %s%s of %s delivered, %s deferred attempts, %s twice, %s, %.0f s left", c.agent.Name(), phase, queued,
		text.Count(delivered), text.Count(c.o.Messages), text.Count(deferred), text.Count(twice), lost, max(0, until.Sub(now).Seconds()))
}
