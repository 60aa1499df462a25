package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// The rhythm in which a queue is listed (docs/reconciliation.md, Watching an MTA from outside).
const (
	listEvery   = 5 * time.Second  // and between the two listings that prove an absence
	listTimeout = 10 * time.Second // for one; what takes longer is none
)

// ListQueue passes on what a queue holds. Its error means that there is no listing, whatever was passed on.
type ListQueue func(ctx context.Context, f func(*reconcile.QueueEntry) error) error

// listing is what a queue held.
type listing struct {
	begun   time.Time
	entries []reconcile.QueueEntry
	err     error // there is no listing
}

// messages counts the entries that are no notifications.
func (l *listing) messages() (n uint64) {
	for i := range l.entries {
		if q := &l.entries[i]; !q.DSN && !q.NullSender {
			n++
		}
	}
	return n
}

// lister lists a queue, one listing at a time and each on a goroutine of its own, since a listing may take long. Its methods are for one
// goroutine.
type lister struct {
	queue  ListQueue
	ctx    context.Context
	cancel context.CancelFunc
	done   chan listing // of the one under way
	busy   bool
	last   time.Time // when the last one was begun
	failed uint64    // listings that were none
	blind  error     // why the last of them was not
}

// newLister returns a lister; a nil queue means that it can't be seen, and so does a nil lister.
func newLister(ctx context.Context, queue ListQueue) *lister {
	if queue == nil {
		return nil
	}
	l := &lister{queue: queue, done: make(chan listing, 1)}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// begin begins a listing, unless one is under way or the last was begun too short a while ago.
func (l *lister) begin(now time.Time, pause time.Duration) {
	if l == nil || l.busy || now.Sub(l.last) < pause {
		return
	}
	l.busy, l.last = true, now
	go func() {
		ctx, cancel := context.WithTimeout(l.ctx, listTimeout)
		defer cancel()
		out := listing{begun: now}
		out.err = l.queue(ctx, func(q *reconcile.QueueEntry) error {
			out.entries = append(out.entries, *q)
			return nil
		})
		l.done <- out
	}()
}

// results is where the listing that is under way arrives; take must be called with it.
func (l *lister) results() <-chan listing {
	if l == nil {
		return nil
	}
	return l.done
}

// take notes a listing that has arrived, and reports whether it is one.
func (l *lister) take(got *listing) bool {
	l.busy = false
	if got.err != nil {
		l.failed++
		l.blind = got.err
		return false
	}
	return true
}

// close ends what is under way.
func (l *lister) close() {
	if l == nil {
		return
	}
	l.cancel()
	if l.busy {
		<-l.done
		l.busy = false
	}
}

// QueueCommand lists a queue by the user's command; a status other than 0 is an error that has the first line of its complaint. The
// command and all that it starts end with the context; tie is NAME=VALUE by which they belong to the run.
func QueueCommand(command, tie string) ListQueue {
	return func(ctx context.Context, f func(*reconcile.QueueEntry) error) error {
		cmd := exec.Command("/bin/sh", "-c", command) // #nosec G204 -- the user's own command, which a shell is to run
		var out, complaint bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaint
		cmd.Env = append(os.Environ(), tie)
		cmd.WaitDelay = time.Second // should something that it left behind hold its output
		done, err := supervise.Start(cmd)
		if err != nil {
			return fmt.Errorf("--queue-command: %w", err)
		}
		select {
		case err = <-done:
		case <-ctx.Done():
			_ = supervise.Kill(cmd.Process)
			<-done
			err = ctx.Err()
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("it took more than %v", listTimeout)
			}
		}
		if err != nil {
			first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
			if first != "" {
				return fmt.Errorf("--queue-command: %w: %s", err, first)
			}
			return fmt.Errorf("--queue-command: %w", err)
		}
		return reconcile.ReadQueue(&out, "--queue-command", f)
	}
}
