package ledger

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// File is what a Writer appends to. Write appends at the end, wherever another Write or a Truncate left it.
type File interface {
	io.Writer
	Sync() error // puts the data written so far, and what it takes to find them, on disk: fdatasync
	Truncate(size int64) error
	Close() error
}

// ErrClosed is returned by a Flush of rows that were appended after the writer was closed.
var ErrClosed = errors.New("the ledger is closed")

// The defaults of WriterConfig.Every.
const (
	DefaultFlushEvery = 250 * time.Millisecond // None: how long a row may stay in memory
	DefaultSyncEvery  = 100 * time.Millisecond // Batch: how long a row may stay in the page cache alone
)

// WriterConfig says how rows are written.
type WriterConfig struct {
	File  File
	Size  int64       // the file's length: whole rows
	Start event.Start // starts the run; its durability is the writer's
	// Every is how long the writer's goroutine gathers rows before it writes (None) or syncs (Batch, Ack) them all at once. 0 means
	// the default; for Ack that is not to wait: what is flushed during one sync shares the next.
	Every time.Duration
	// Failing, if not nil, is called by the writer's goroutine when the file begins to fail, and again when it does after it had
	// recovered. Each Flush reports its own failure besides.
	Failing func(error)
}

// Writer appends rows to a ledger. Rows are handed in through shards, one for each event loop; one goroutine of the writer syncs
// for all of them. All methods are safe for concurrent use.
//
// Memory stays bounded whatever the file does: rows that can't be written are dropped and counted, and a gap row takes their place
// once the file can be written again.
type Writer struct {
	durability event.Durability
	every      time.Duration
	file       File
	failing    func(error)

	wake, quit, done chan struct{}

	mu       sync.Mutex // the file's end, and all that follows
	shards   []*Shard
	size     int64  // octets of whole rows in the file
	synced   int64  // of which this many are on disk
	unsynced uint64 // rows beyond synced
	owed     uint64 // rows that the next gap row stands for
	pending  []commit
	spare    []commit
	gap      []byte
	stop     *event.Stop // the last row
	stats    count.Ledger
	writeErr error // of the last write, nil when it succeeded
	syncErr  error // of the last sync, nil when it succeeded
	alarm    error // what Failing is to be told
	broken   error // the end of the file is unknown
	closing  bool
	closed   bool
}

// commit is a ticket that waits for a sync.
type commit struct {
	shard  *Shard
	ticket Ticket
}

// NewWriter returns a writer that appends to cfg.File, whose owner it becomes unless there is an error: that of writing the header.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	w := &Writer{
		durability: cfg.Start.Durability, every: cfg.Every, file: cfg.File, failing: cfg.Failing, size: cfg.Size, synced: cfg.Size,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if w.every <= 0 {
		switch w.durability {
		case event.None:
			w.every = DefaultFlushEvery
		case event.Batch:
			w.every = DefaultSyncEvery
		}
	}
	if err := w.append(AppendStart(nil, &cfg.Start), 1); err != nil {
		return nil, err
	}
	if w.durability != event.None {
		if w.sync(); w.syncErr != nil {
			return nil, w.syncErr
		}
	}
	go w.run()
	return w, nil
}

// Durability returns the writer's durability.
func (w *Writer) Durability() event.Durability { return w.durability }

// Shard returns a new shard, which lives as long as the writer. notify is called once for each ticket that the shard issued, in
// their order, by the writer's goroutine (or that of Close): with nil when the rows of that Flush, and of all before it, are on disk,
// or with the error for which they are not in the file. It must not block; it may be nil unless the durability is Ack.
func (w *Writer) Shard(notify func(Ticket, error)) *Shard {
	s := &Shard{w: w, notify: notify, buf: make([]byte, 0, 4096)}
	w.mu.Lock()
	w.shards = append(w.shards, s)
	w.mu.Unlock()
	return s
}

// Append appends a row that is no connection's at once. A Stop row is for the method of that name.
func (w *Writer) Append(r *event.Row) error {
	w.mu.Lock()
	err := w.append(Append(nil, r), 1)
	w.mu.Unlock()
	w.poke()
	return err
}

// Stop sets the row that Close writes as the last of the run. Without it the run looks like one that died.
func (w *Writer) Stop(s *event.Stop) {
	w.mu.Lock()
	stop := *s
	w.stop = &stop
	w.mu.Unlock()
}

// Stats returns the counts so far.
func (w *Writer) Stats() count.Ledger {
	w.mu.Lock()
	defer w.mu.Unlock()
	stats := w.stats
	stats.Pending = len(w.pending)
	stats.Broken = w.broken != nil
	return stats
}

// Close writes what the shards hold, syncs it unless the durability is None, decides every ticket and closes the file. Its error says
// what could not be kept since the writer started.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return ErrClosed
	}
	w.closing = true
	w.mu.Unlock()
	close(w.quit)
	<-w.done
	w.flushAll()
	w.mu.Lock()
	_ = w.append(nil, 0) // a last try to write the gap row, if one is owed; what is lost is counted already
	if w.stop != nil {
		w.stop.Rows = w.stats.Rows
		_ = w.append(AppendStop(nil, w.stop), 1) // likewise
	}
	w.closed = true
	w.mu.Unlock()
	if w.durability != event.None {
		w.sync()
	}
	w.raise()
	err := w.file.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stats.Lost > 0:
		return fmt.Errorf("the ledger lost %d rows: %s", w.stats.Lost, w.stats.Error)
	case w.syncErr != nil:
		return w.syncErr
	case err != nil:
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// poke wakes the goroutine, unless it is about to wake already.
func (w *Writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-w.wake:
		case <-w.quit:
			return
		}
		if w.every > 0 {
			timer.Reset(w.every)
			select {
			case <-timer.C:
			case <-w.quit:
				return
			}
		}
		if w.durability == event.None {
			w.flushAll()
		} else {
			w.sync()
		}
		w.raise()
	}
}

// raise tells of a file that began to fail.
func (w *Writer) raise() {
	w.mu.Lock()
	err := w.alarm
	w.alarm = nil
	w.mu.Unlock()
	if err != nil && w.failing != nil {
		w.failing(err)
	}
}

// flushAll writes what the shards hold.
func (w *Writer) flushAll() {
	w.mu.Lock()
	shards := w.shards
	w.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		s.writeEarly()
		s.mu.Unlock()
	}
}

// append writes whole rows in one go, and before them the gap row that is owed. w.mu is held. After an error the file holds none
// of them, and they count as lost.
func (w *Writer) append(rows []byte, n uint64) error {
	if w.closed {
		w.stats.Lost += n
		return ErrClosed
	}
	if w.broken != nil {
		w.lose(n)
		return w.broken
	}
	if w.owed > 0 {
		w.gap = AppendGap(w.gap[:0], &event.Gap{Rows: w.owed, Error: w.stats.Error})
		if err := w.write(w.gap, 1); err != nil {
			w.lose(n)
			return err
		}
		w.owed = 0
	}
	if n == 0 {
		return nil
	}
	err := w.write(rows, n)
	if err != nil {
		w.lose(n)
	}
	return err
}

func (w *Writer) write(rows []byte, count uint64) error {
	n, err := w.file.Write(rows)
	if err == nil && n < len(rows) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = fmt.Errorf("writing the ledger: %w", err)
		w.stats.WriteErrors++
		w.fail(&w.writeErr, err)
		if n > 0 { // a piece of a row must not stand before the next
			w.cut(w.size)
		}
		return err
	}
	w.writeErr = nil
	w.size += int64(n)
	w.unsynced += count
	w.stats.Writes++
	w.stats.Rows += count
	w.stats.Octets += uint64(n) // #nosec G115 -- what a Write returned: not negative (io.Writer)
	return nil
}

// fail notes an error of writing or of syncing.
func (w *Writer) fail(last *error, err error) {
	if *last == nil {
		w.alarm = err
	}
	*last = err
	w.stats.Error = err.Error()
}

func (w *Writer) lose(rows uint64) {
	w.stats.Lost += rows
	w.owed += rows
}

// cut makes the file size octets long, or gives it up: rows after a torn one would be a corrupt ledger.
func (w *Writer) cut(size int64) {
	if err := w.file.Truncate(size); err != nil {
		w.broken = fmt.Errorf("the ledger's end could not be repaired after %q: %w", w.stats.Error, err)
		w.fail(&w.writeErr, w.broken)
	}
}

// sync puts on disk what was written, and decides the tickets. Only one goroutine may call it at a time.
func (w *Writer) sync() {
	w.mu.Lock()
	if w.size == w.synced && len(w.pending) == 0 {
		w.mu.Unlock()
		return
	}
	size, rows := w.size, w.unsynced
	commits := w.pending
	w.pending, w.spare = w.spare[:0], nil
	w.mu.Unlock()

	err := w.file.Sync()

	w.mu.Lock()
	if err == nil {
		w.synced = size
		w.unsynced -= rows
		w.stats.Syncs++
		w.syncErr = nil
	} else {
		err = fmt.Errorf("syncing the ledger: %w", err)
		w.stats.SyncErrors++
		w.fail(&w.syncErr, err)
		if w.durability == event.Ack {
			w.revoke()
			commits = append(commits, w.pending...) // issued during the sync: their rows are gone as well
			w.pending = w.pending[:0]
		}
	}
	w.mu.Unlock()
	for _, c := range commits {
		c.shard.decide(c.ticket, err)
	}
	w.mu.Lock()
	clear(commits)
	w.spare = commits[:0]
	w.mu.Unlock()
}

// revoke takes every row back that is not on disk after a sync failed: a row that says "delivered" must not stay when the client is
// told that the commit failed. Syncing again would not help, since Linux marks pages that it failed to write as clean: the rows have
// to leave the file. w.mu is held.
func (w *Writer) revoke() {
	if w.broken != nil {
		return
	}
	if w.cut(w.synced); w.broken != nil {
		return
	}
	w.stats.Rows -= w.unsynced
	w.stats.Octets -= uint64(w.size - w.synced) // #nosec G115 -- no more is synced than was written
	w.lose(w.unsynced)
	w.size, w.unsynced = w.synced, 0
}
