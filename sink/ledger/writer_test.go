package ledger

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

func TestMain(m *testing.M) {
	if crashChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// memoryFile is a File whose disk is full, slow or broken when a test says so.
type memoryFile struct {
	mu          sync.Mutex
	data        []byte
	durable     int
	room        int // octets that still fit; negative: all
	syncErr     error
	truncateErr error
	short       bool          // Write is short and says nothing
	syncing     chan struct{} // if not nil: Sync says here that it started
	release     chan struct{} // if not nil: Sync waits here
	writes      int
	syncs       int
	closed      bool
}

func newMemoryFile() *memoryFile { return &memoryFile{room: -1} }

func (f *memoryFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	n := len(p)
	if f.short {
		n /= 2
	}
	if f.room >= 0 && n > f.room {
		f.data = append(f.data, p[:f.room]...)
		n, f.room = f.room, 0
		return n, syscall.ENOSPC
	}
	if f.room >= 0 {
		f.room -= n
	}
	f.data = append(f.data, p[:n]...)
	return n, nil
}

func (f *memoryFile) Sync() error {
	f.mu.Lock()
	n := len(f.data)
	syncing, release := f.syncing, f.release
	f.mu.Unlock()
	if syncing != nil {
		syncing <- struct{}{}
	}
	if release != nil {
		<-release
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.syncs++
	if f.syncErr == nil {
		f.durable = n
	}
	return f.syncErr
}

func (f *memoryFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.truncateErr == nil {
		f.data = f.data[:size]
	}
	return f.truncateErr
}

func (f *memoryFile) Close() error { f.closed = true; return nil }

// set changes the file under its lock.
func (f *memoryFile) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// counts returns how often the file was written and synced, and how much of it is and isn't durable.
func (f *memoryFile) counts() (writes, syncs, durable, volatile int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes, f.syncs, f.durable, len(f.data) - f.durable
}

// tokens lists the tokens of the attempts in the file, and gaps as "gap".
func (f *memoryFile) tokens(t *testing.T) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []string
	scanned, err := Each(Input{"file", bytes.NewReader(f.data)}, func(r *event.Row) error {
		switch r.Kind {
		case event.KindAttempt:
			got = append(got, string(r.Attempt.Token))
		case event.KindGap:
			got = append(got, "gap")
		}
		return nil
	})
	if err != nil || scanned.Torn > 0 {
		t.Fatalf("%v, %d octets torn, in\n%s", err, scanned.Torn, f.data)
	}
	return strings.Join(got, " ")
}

func attemptOf(token string) *event.Attempt {
	return &event.Attempt{Conn: 1, Listener: "l", Time: epoch, End: epoch, Token: []byte(token), Sender: []byte(token), Recipient: []byte("r"), Delivered: true, Code: 250, ReplySent: true}
}

func newTestWriter(t *testing.T, d event.Durability, f *memoryFile, failing func(error)) *Writer {
	t.Helper()
	w, err := NewWriter(WriterConfig{File: f, Start: event.Start{Time: epoch, Durability: d}, Failing: failing})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestBatchWritesOncePerFlushAndSyncsInGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		w := newTestWriter(t, event.Batch, f, nil)
		a, b := w.Shard(nil), w.Shard(nil)
		a.Attempt(attemptOf("1"))
		a.Attempt(attemptOf("2"))
		b.Attempt(attemptOf("3"))
		if got := f.tokens(t); got != "" {
			t.Fatalf("in the file before any flush: %q", got)
		}
		before, _, _, _ := f.counts()
		for range 3 { // an empty flush writes nothing
			if ticket, err := a.Flush(); ticket != 0 || err != nil {
				t.Fatalf("Flush() = %d, %v, want 0, nil", ticket, err)
			}
		}
		if writes, _, _, _ := f.counts(); f.tokens(t) != "1 2" || writes != before+1 {
			t.Fatalf("after a flush: %q by %d writes, want %q by one", f.tokens(t), writes-before, "1 2")
		}
		_, _ = b.Flush()
		_, syncs, _, _ := f.counts()
		synctest.Wait()
		if _, now, _, _ := f.counts(); now != syncs {
			t.Fatal("synced at once, want the rows of 100 ms together")
		}
		time.Sleep(DefaultSyncEvery)
		synctest.Wait()
		if _, now, durable, volatile := f.counts(); now != syncs+1 || volatile != 0 {
			t.Fatalf("%d syncs, %d octets durable and %d not; want one sync for both shards", now-syncs, durable, volatile)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, now, _, _ := f.counts(); now != syncs+1 {
			t.Error("synced with nothing to sync")
		}
		b.Connection(&event.Connection{Conn: 1, Listener: "l", Time: epoch, End: epoch, Reason: "quit"})
		b.Transaction(&event.Transaction{Conn: 1, Listener: "l", Time: epoch, End: epoch})
		if err := w.Append(&event.Row{Kind: event.KindSwap, Swap: event.Swap{Time: epoch}}); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil || !f.closed || f.durable != len(f.data) {
			t.Errorf("Close() = %v, closed %v, %d of %d octets durable", err, f.closed, f.durable, len(f.data))
		}
		if got, want := w.Stats().Rows, uint64(7); got != want {
			t.Errorf("%d rows, want %d", got, want)
		}
		a.Attempt(attemptOf("late"))
		if _, err := a.Flush(); !errors.Is(err, ErrClosed) {
			t.Errorf("Flush() after Close: %v, want ErrClosed", err)
		}
		if err := w.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("Close() again: %v, want ErrClosed", err)
		}
	})
}

func TestNoneBuffersForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		w := newTestWriter(t, event.None, f, nil)
		s := w.Shard(nil)
		s.Attempt(attemptOf("1"))
		if _, err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := f.tokens(t); got != "" {
			t.Fatalf("written at once: %q", got)
		}
		time.Sleep(DefaultFlushEvery)
		synctest.Wait()
		if got := f.tokens(t); got != "1" {
			t.Fatalf("after %v: %q, want 1", DefaultFlushEvery, got)
		}
		for range 1000 { // a busy shard does not wait for the goroutine
			s.Attempt(attemptOf("2"))
		}
		if held := len(s.buf); held >= flushAt {
			t.Errorf("%d octets held, want less than %d", held, flushAt)
		}
		s.Attempt(attemptOf("last"))
		if err := w.Close(); err != nil || f.syncs != 0 {
			t.Errorf("Close() = %v after %d syncs", err, f.syncs)
		}
		if got := f.tokens(t); !strings.HasSuffix(got, " last") {
			t.Error("rows that were held at Close are missing")
		}
	})
}

// ackNotes collects what a shard is told of its tickets.
type ackNotes struct {
	mu    sync.Mutex
	order []Ticket
	errs  map[Ticket]error
}

func (n *ackNotes) notify(t Ticket, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.errs == nil {
		n.errs = make(map[Ticket]error)
	}
	n.order = append(n.order, t)
	n.errs[t] = err
}

func (n *ackNotes) of(t Ticket) (error, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	err, ok := n.errs[t]
	return err, ok
}

func TestAckTellsOnlyWhatIsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		w := newTestWriter(t, event.Ack, f, nil)
		f.set(func() { f.syncing, f.release = make(chan struct{}), make(chan struct{}) })
		var one, two ackNotes
		a, b := w.Shard(one.notify), w.Shard(two.notify)
		if ticket, err := a.Flush(); ticket != 0 || err != nil {
			t.Fatalf("empty Flush() = %d, %v, want 0, nil", ticket, err)
		}
		a.Attempt(attemptOf("1"))
		first, err := a.Flush()
		if first != 1 || err != nil {
			t.Fatalf("Flush() = %d, %v, want ticket 1", first, err)
		}
		<-f.syncing // the first sync is under way, and stuck
		b.Attempt(attemptOf("2"))
		other, _ := b.Flush()
		a.Attempt(attemptOf("3"))
		second, _ := a.Flush()
		if again, _ := a.Flush(); again != second {
			t.Errorf("a Flush without new rows gives ticket %d, want the undecided %d", again, second)
		}
		synctest.Wait()
		if _, told := one.of(first); told || w.Stats().Pending != 2 {
			t.Fatalf("told while Sync is stuck; %d pending, want 2", w.Stats().Pending)
		}
		f.release <- struct{}{}
		<-f.syncing
		synctest.Wait()
		if err, told := one.of(first); !told || err != nil {
			t.Errorf("ticket %d after its sync: %v, told %v", first, err, told)
		}
		if _, told := one.of(second); told {
			t.Errorf("ticket %d told by a sync that had begun before it", second)
		}
		f.release <- struct{}{}
		synctest.Wait()
		for _, c := range []struct {
			n *ackNotes
			t Ticket
		}{{&one, second}, {&two, other}} {
			if err, told := c.n.of(c.t); !told || err != nil {
				t.Errorf("ticket %d after the shared sync: %v, told %v", c.t, err, told)
			}
		}
		if f.syncs != 3 { // with the header's
			t.Errorf("%d syncs, want the header's, the first's, and one for two shards", f.syncs)
		}
		if ticket, err := a.Flush(); ticket != 0 || err != nil {
			t.Errorf("Flush() when all is on disk = %d, %v", ticket, err)
		}
		f.set(func() { f.syncing, f.release = nil, nil })
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLoopsDoNotInterleave(t *testing.T) {
	const loops, turns = 4, 500
	f := newMemoryFile()
	w := newTestWriter(t, event.Ack, f, nil)
	var wg sync.WaitGroup
	for range loops {
		var notes ackNotes
		s := w.Shard(notes.notify)
		wg.Go(func() {
			for range turns {
				s.Attempt(attemptOf("x"))
				s.Attempt(attemptOf("x"))
				if _, err := s.Flush(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(f.tokens(t), "x"); got != 2*loops*turns {
		t.Errorf("%d rows, want %d", got, 2*loops*turns)
	}
	if f.durable != len(f.data) {
		t.Errorf("%d of %d octets durable after Close", f.durable, len(f.data))
	}
}

func TestTicketsAreToldOnceAndInOrder(t *testing.T) {
	f := newMemoryFile()
	w := newTestWriter(t, event.Ack, f, nil)
	var notes ackNotes
	s := w.Shard(notes.notify)
	var last Ticket
	for i := range 1000 {
		s.Attempt(attemptOf("x"))
		if i%100 == 50 {
			f.set(func() { f.syncErr = syscall.EIO })
		} else if i%100 == 60 {
			f.set(func() { f.syncErr = nil })
		}
		last, _ = s.Flush()
	}
	f.set(func() { f.syncErr = nil })
	_ = w.Close()
	if last != 1000 || len(notes.order) != 1000 {
		t.Fatalf("last ticket %d, %d told, want 1000", last, len(notes.order))
	}
	kept := 0
	for i, ticket := range notes.order {
		if ticket != Ticket(i+1) {
			t.Fatalf("ticket %d told as number %d", ticket, i+1)
		}
		if notes.errs[ticket] == nil {
			kept++
		}
	}
	if got := strings.Count(f.tokens(t), "x"); got != kept {
		t.Errorf("%d rows in the file, %d tickets succeeded", got, kept)
	}
}

func TestFlushAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := newMemoryFile()
	f.data = make([]byte, 0, 1<<20)
	w := newTestWriter(t, event.Batch, f, nil)
	s := w.Shard(nil)
	a := attemptOf("x")
	if n := testing.AllocsPerRun(500, func() {
		s.Attempt(a)
		_, _ = s.Flush()
	}); n != 0 {
		t.Errorf("%v allocations per turn", n)
	}
	_ = w.Close()
}
