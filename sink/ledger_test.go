package sink_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// stubbornFile is a ledger's file whose Sync waits for a word, and whose calls fail on demand.
type stubbornFile struct {
	mu       sync.Mutex
	text     strings.Builder
	writeErr error
	syncErr  error
	syncs    chan struct{} // nil: Sync doesn't wait
}

func (f *stubbornFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writeErr != nil {
		return 0, f.writeErr
	}
	return f.text.Write(p)
}

func (f *stubbornFile) Sync() error {
	f.mu.Lock()
	syncs := f.syncs
	f.mu.Unlock()
	if syncs != nil {
		<-syncs
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncErr
}

func (f *stubbornFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := f.text.String()
	f.text.Reset()
	f.text.WriteString(text[:min(int(size), len(text))])
	return nil
}

func (f *stubbornFile) Close() error { return nil }

func (f *stubbornFile) fail(write, sync error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writeErr, f.syncErr = write, sync
}

// hang makes Sync wait until release is called.
func (f *stubbornFile) hang() (release func()) {
	syncs := make(chan struct{})
	f.mu.Lock()
	f.syncs = syncs
	f.mu.Unlock()
	return sync.OnceFunc(func() { close(syncs) })
}

func (f *stubbornFile) count(row string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.text.String(), row)
}

// onFile starts a sink whose ledger is on file. That its end may tell of lost rows is no failure of the test.
func onFile(t *testing.T, kind sink.DriverKind, file ledger.File, durability event.Durability, failing func(error), observer sink.Observer, changes ...func(*sink.Config)) *sink.Server {
	t.Helper()
	cfg := sink.Config{
		Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}, Driver: kind, Observer: observer,
		Ledger: sink.LedgerConfig{File: file, Durability: durability, Failing: failing},
	}
	for _, change := range changes {
		change(&cfg)
	}
	server, err := sink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// With durability ack no positive reply after a body goes out before its row is on disk; everything else goes on meanwhile.
func TestAckWaitsForTheDisk(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file := &stubbornFile{}
		server := onFile(t, kind, file, event.Ack, nil, nil)
		release := file.hang()
		defer release()
		waiting, other := greeted(t, server), greeted(t, server)
		waiting.message()
		waiting.send("NOOP\r\n")
		waiting.expectSilence(50 * time.Millisecond)
		if n := file.count(`"stage":"message"`); n != 1 {
			t.Errorf("%d rows were written before the sync, want 1", n)
		}
		other.command("NOOP", "250 ")
		if got := other.envelope(); !strings.HasPrefix(got, "250 ") {
			t.Errorf("RCPT of another client got %q while a sync is under way", got)
		}
		release()
		waiting.expect("250 2.0.0 ")
		waiting.expect("250 2.0.0 ") // NOOP
		waiting.quit()
		other.command("RSET", "250 ")
		other.quit()
	})
}

// A row that can't be put on disk turns the reply into 451 4.3.0, and the message counts as refused.
func TestAckRefusesWhatIsNotOnDisk(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file := &stubbornFile{}
		var mu sync.Mutex
		var attempts []event.Attempt
		server := onFile(t, kind, file, event.Ack, func(error) {}, attemptObserver(func(a *event.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, *a)
		}))
		c := greeted(t, server)
		for _, bad := range []struct{ write, sync error }{{nil, syscall.EIO}, {syscall.ENOSPC, nil}} {
			file.fail(bad.write, bad.sync)
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "451 4.3.0 ") {
				t.Errorf("with write error %v and sync error %v the message got %q, want 451 4.3.0", bad.write, bad.sync, got)
			}
			file.fail(nil, nil)
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 ") {
				t.Errorf("after the file's recovery the message got %q, want 250", got)
			}
		}
		c.quit()
		s := eventually(t, server, "it is gone", func(s *sink.Stats) bool { return s.Open == 0 })
		if s.Ledger == nil || s.Ledger.Lost == 0 || s.Ledger.SyncErrors == 0 || s.Ledger.WriteErrors == 0 || s.Ledger.Error == "" {
			t.Errorf("the counters of the ledger are %+v, want its failures", s.Ledger)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(attempts) != 4 || attempts[0].Delivered || !attempts[1].Delivered || attempts[2].Delivered || !attempts[3].Delivered {
			t.Errorf("the observer saw %+v, want refused, delivered, refused, delivered", attempts)
		}
	})
}

// rows says what was written so far of the attempts.
func (f *stubbornFile) rows(t *testing.T) (attempts []string) {
	t.Helper()
	f.mu.Lock()
	text := f.text.String()
	f.mu.Unlock()
	reader := ledger.NewReader(strings.NewReader(text), "file")
	var row event.Row
	for {
		if err := reader.Read(&row); err == io.EOF {
			return attempts
		} else if err != nil {
			t.Fatal(err)
		}
		if a := &row.Attempt; row.Kind == event.KindAttempt {
			attempts = append(attempts, fmt.Sprintf("%v %v %d delivered=%t sent=%t amends=%t", a.Ending, a.Stage, a.Code, a.Delivered, a.ReplySent, a.Amends))
		}
	}
}

// What the ledger promised of a reply and the sink could not keep is amended: the client went while the disk was busy. Nothing of the
// connection is left then.
func TestAckOfAClientThatVanishes(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file := &stubbornFile{}
		server := onFile(t, kind, file, event.Ack, nil, nil)
		release := file.hang()
		defer release()
		c := greeted(t, server)
		c.message()
		eventually(t, server, "the row waits for the disk", func(*sink.Stats) bool { return file.count(`"kind":"attempt"`) == 1 })
		c.reset()
		eventually(t, server, "the connection is gone", func(s *sink.Stats) bool { return s.Open == 0 })
		release()
		want := []string{"reply message 250 delivered=true sent=true amends=false", "lost message 250 delivered=true sent=false amends=true"}
		if got := file.rows(t); !slices.Equal(got, want) {
			t.Errorf("the ledger says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A disk that hangs does not hold a connection: the client is told 451 4.3.0, and may go on.
func TestAckOfADiskThatHangs(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file := &stubbornFile{}
		server := onFile(t, kind, file, event.Ack, nil, nil, func(cfg *sink.Config) { cfg.Ledger.Timeout = 50 * time.Millisecond })
		release := file.hang()
		defer release()
		c := greeted(t, server)
		for range 2 {
			c.message()
			c.expect("451 4.3.0 ")
		}
		c.command("NOOP", "250 ")
		release()
		if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 ") {
			t.Errorf("once the disk is back the message got %q, want 250", got)
		}
		c.quit()
		eventually(t, server, "the connection is gone", func(s *sink.Stats) bool { return s.Open == 0 })
		refused := []string{"reply message 250 delivered=true sent=true amends=false", "reply message 451 delivered=false sent=true amends=true"}
		want := append(slices.Concat(refused, refused), refused[0])
		if got := file.rows(t); !slices.Equal(got, want) {
			t.Errorf("the ledger says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A full disk costs rows, which is told and counted, but neither memory nor mail.
func TestFullDisk(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file := &stubbornFile{}
		told := make(chan error, 16)
		server := onFile(t, kind, file, event.Batch, func(err error) {
			select {
			case told <- err:
			default:
			}
		}, nil)
		file.fail(syscall.ENOSPC, nil)
		c := greeted(t, server)
		for range 50 {
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 ") {
				t.Fatalf("with a full disk the message got %q, want 250", got)
			}
		}
		select {
		case err := <-told:
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("told %v, want ENOSPC", err)
			}
		case <-time.After(patience):
			t.Error("nobody was told of the full disk")
		}
		eventually(t, server, "the rows are counted as lost", func(s *sink.Stats) bool { return s.Ledger.Lost == 100 }) // of a message and its attempt, 50 times
		file.fail(nil, nil)
		c.deliver("a@sender.test", "b@recipient.test")
		c.quit()
		eventually(t, server, "a gap row says so", func(*sink.Stats) bool { return file.count(`"kind":"gap"`) == 1 })
	})
}

// Close tells that rows were lost.
func TestCloseTellsOfLostRows(t *testing.T) {
	file := &stubbornFile{}
	server := onFile(t, sink.DriverAuto, file, event.Batch, nil, nil)
	c := greeted(t, server)
	file.fail(syscall.ENOSPC, nil)
	c.deliver("a@sender.test", "b@recipient.test")
	c.quit()
	if err := server.Close(); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("Close: %v, want that rows were lost", err)
	}
}
