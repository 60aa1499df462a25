//go:build unix

package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// A listing that isn't complete after ten seconds is none, whatever it has listed; the next one may be.
func TestAListingThatTakesTooLongIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := listTimeout + time.Nanosecond
		l := newLister(t.Context(), func(ctx context.Context, f func(*reconcile.QueueEntry) error) error {
			if err := f(&reconcile.QueueEntry{Recipient: "a@dst.test"}); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(takes):
				return nil
			}
		})
		defer l.close()
		began := time.Now()
		l.begin(began, 0)
		l.begin(began.Add(listEvery), 0) // one at a time
		got := <-l.results()
		if took := time.Since(began); took != 10*time.Second || !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("error %v after %v, want that the time was over after 10s", got.err, took)
		}
		if l.take(&got) || l.failed != 1 || !errors.Is(l.blind, context.DeadlineExceeded) {
			t.Errorf("%d listings failed, the last with %v; want one", l.failed, l.blind)
		}
		takes = listTimeout - time.Nanosecond
		l.begin(time.Now(), 0)
		if got = <-l.results(); !l.take(&got) || got.messages() != 1 || l.failed != 1 {
			t.Errorf("a listing within the time: %+v", got)
		}
	})
}

// overdue is a context whose time is over when the test says so.
type overdue struct {
	context.Context
	done chan struct{}
}

func (c *overdue) Done() <-chan struct{} { return c.done }
func (c *overdue) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A queue command whose time is over is killed with what it has started; what it has printed counts for nothing.
func TestAQueueCommandThatHangsIsKilled(t *testing.T) {
	dir := t.TempDir()
	begun := filepath.Join(dir, "begun")
	ctx := &overdue{t.Context(), make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		list := QueueCommand(`echo '{"recipient":"a@dst.test","token":"a"}'; echo stuck >&2; sleep 600 & : > '`+begun+`'; wait`, "SMTPSTORM_SCRATCH="+dir)
		ended <- list(ctx, func(*reconcile.QueueEntry) error { return errors.New("an entry was passed on") })
	}()
	testkit.Await(t, "the command has begun", func() bool { _, err := os.Stat(begun); return err == nil })
	if got := supervise.Processes(dir); len(got) != 2 {
		t.Errorf("processes %v, want a shell and what it started", got)
	}
	close(ctx.done)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "--queue-command: it took more than 10s: stuck") {
		t.Errorf("error %v, want how long it may take, and what it said", err)
	}
	testkit.Await(t, "no process is left", func() bool { return len(supervise.Processes(dir)) == 0 })
}
