package ledger

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

func TestAckTakesRowsBackWhenSyncFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		var alarms []error
		w := newTestWriter(t, event.Ack, f, func(err error) { alarms = append(alarms, err) })
		var notes ackNotes
		s := w.Shard(notes.notify)
		s.Attempt(attemptOf("kept"))
		_, _ = s.Flush()
		synctest.Wait()

		f.set(func() { f.syncErr, f.syncing, f.release = syscall.EIO, make(chan struct{}), make(chan struct{}) })
		s.Attempt(attemptOf("during"))
		during, _ := s.Flush()
		<-f.syncing
		s.Attempt(attemptOf("after"))
		after, _ := s.Flush()
		f.set(func() { f.syncing = nil })
		close(f.release)
		synctest.Wait()
		for _, ticket := range []Ticket{during, after} {
			if err, told := notes.of(ticket); !told || !errors.Is(err, syscall.EIO) {
				t.Errorf("ticket %d: %v, told %v, want EIO", ticket, err, told)
			}
		}
		if got := f.tokens(t); got != "kept" {
			t.Errorf("the file holds %q, want only what was on disk", got)
		}
		if _, err := s.Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("an empty Flush after that: %v, want EIO", err)
		}
		if len(alarms) != 1 {
			t.Errorf("%d alarms, want one: %v", len(alarms), alarms)
		}

		f.set(func() { f.syncErr, f.release = nil, nil })
		s.Attempt(attemptOf("again"))
		again, err := s.Flush()
		synctest.Wait()
		if noted, told := notes.of(again); err != nil || !told || noted != nil {
			t.Errorf("after the disk came back: %v, %v, told %v", err, noted, told)
		}
		if got := f.tokens(t); got != "kept gap again" {
			t.Errorf("the file holds %q, want a gap where rows were taken back", got)
		}
		if stats := w.Stats(); stats.Lost != 2 || stats.SyncErrors != 1 || stats.Rows != 4 {
			t.Errorf("%+v, want 2 lost, 1 sync error, 4 rows", stats)
		}
		if err := w.Close(); err == nil || !strings.Contains(err.Error(), "lost 2 rows") {
			t.Errorf("Close() = %v, want what was lost", err)
		}
	})
}

func TestBatchOutlivesAFailingSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		var alarms []error
		w := newTestWriter(t, event.Batch, f, func(err error) { alarms = append(alarms, err) })
		f.set(func() { f.syncErr = syscall.EIO })
		s := w.Shard(nil)
		for range 3 {
			s.Attempt(attemptOf("1"))
			if _, err := s.Flush(); err != nil {
				t.Errorf("Flush() = %v: the rows are in the page cache", err)
			}
			time.Sleep(DefaultSyncEvery)
			synctest.Wait()
		}
		if stats := w.Stats(); stats.SyncErrors != 3 || stats.Lost != 0 || !strings.Contains(stats.Error, "input/output error") {
			t.Errorf("%+v, want 3 sync errors and nothing lost", stats)
		}
		if len(alarms) != 1 {
			t.Errorf("%d alarms for one spell of failures", len(alarms))
		}
		if err := w.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close() = %v, want EIO", err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	for _, d := range []event.Durability{event.None, event.Batch, event.Ack} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newMemoryFile()
				var alarms []error
				w := newTestWriter(t, d, f, func(err error) { alarms = append(alarms, err) })
				var notes ackNotes
				s := w.Shard(notes.notify)
				f.set(func() { f.room = 100 })
				const turns = 2000
				var failed int
				for range turns { // some 500 KiB
					s.Attempt(attemptOf("lost"))
					ticket, err := s.Flush()
					if ticket != 0 {
						t.Fatal("a ticket for rows that are not in the file")
					}
					if err != nil {
						failed++
						if !errors.Is(err, syscall.ENOSPC) {
							t.Fatalf("Flush() = %v, want ENOSPC", err)
						}
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if held := cap(s.buf); held > 2*flushAt {
					t.Errorf("the shard holds %d octets", held)
				}
				if failed == 0 || (d != event.None && failed != turns) {
					t.Errorf("%d of %d flushes failed", failed, turns)
				}
				if stats := w.Stats(); stats.Lost != turns || stats.Broken {
					t.Errorf("%+v, want %d lost", stats, turns)
				}
				if len(alarms) != 1 {
					t.Errorf("%d alarms, want one", len(alarms))
				}
				f.set(func() { f.room = -1 })
				s.Attempt(attemptOf("1"))
				_, _ = s.Flush()
				time.Sleep(time.Second)
				synctest.Wait()
				if got := f.tokens(t); got != "gap 1" {
					t.Errorf("the file holds %q, want a gap and a row", got)
				}
				var gap event.Gap
				_, _ = Each(Input{"file", bytes.NewReader(f.data)}, func(r *event.Row) error {
					if r.Kind == event.KindGap {
						gap = r.Gap
					}
					return nil
				})
				if gap.Rows != turns || !strings.Contains(gap.Error, "no space left") {
					t.Errorf("gap %+v, want %d rows for want of space", gap, turns)
				}
				_ = w.Close()
			})
		})
	}
}

func TestShortWriteLeavesNoPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		w := newTestWriter(t, event.Batch, f, nil)
		s := w.Shard(nil)
		f.set(func() { f.short = true })
		s.Attempt(attemptOf("1"))
		if _, err := s.Flush(); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Flush() = %v, want ErrShortWrite", err)
		}
		f.set(func() { f.short = false })
		s.Attempt(attemptOf("2"))
		_, _ = s.Flush()
		if got := f.tokens(t); got != "gap 2" {
			t.Errorf("the file holds %q", got)
		}
		_ = w.Close()
	})
}

func TestNothingFollowsATornRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemoryFile()
		w := newTestWriter(t, event.Batch, f, nil)
		s := w.Shard(nil)
		f.set(func() { f.short, f.truncateErr = true, syscall.EIO })
		s.Attempt(attemptOf("1"))
		_, _ = s.Flush()
		f.set(func() { f.short, f.truncateErr = false, nil })
		size := len(f.data)
		for range 3 {
			s.Attempt(attemptOf("2"))
			if _, err := s.Flush(); !errors.Is(err, syscall.EIO) {
				t.Errorf("Flush() = %v, want why the end could not be repaired", err)
			}
		}
		if stats := w.Stats(); !stats.Broken || stats.Lost != 4 || len(f.data) != size {
			t.Errorf("%+v with %d octets in the file, want broken, 4 lost, %d octets", stats, len(f.data), size)
		}
		_ = w.Close()
	})
}

func TestHeaderThatCannotBeWritten(t *testing.T) {
	f := newMemoryFile()
	f.room = 10
	if _, err := NewWriter(WriterConfig{File: f, Start: event.Start{Time: epoch}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("NewWriter() = %v, want ENOSPC", err)
	}
	if len(f.data) != 0 {
		t.Errorf("a piece of a header stays: %q", f.data)
	}
}
