package storm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Outside says of an MTA that runs already how it is reached and seen. Its next hop must be the sink at Listen.
type Outside struct {
	Address      string // where it takes mail
	Listen       string // where the sink listens
	QueueCommand string // lists its queue, see pipeline.QueueCommand; empty: the queue can't be seen
	Log          string // its log; empty: it can't be read
	LogFormat    string // of mtalog.Formats
}

// check refuses what leads beyond loopback, and what can't be read.
func (o *Outside) check() error {
	for _, a := range []struct{ flag, address string }{{"--mta-address", o.Address}, {"--sink-listen", o.Listen}} {
		if err := input.HostPort(a.flag, a.address); err != nil {
			return err
		}
		if host, _, _ := net.SplitHostPort(a.address); !input.IsLoopback(host) {
			return input.Errorf("%s %s: want an address of loopback such as 127.0.0.1:2525: a storm is for MTAs of this machine", a.flag, a.address)
		}
	}
	if o.Log != "" {
		if err := input.Readable(o.Log); err != nil {
			return input.Errorf("--log %s: %v", o.Log, err)
		}
	}
	return nil
}

// outside is an MTA that runs already: an Agent that nobody starts or ends.
type outside struct {
	o     Outside
	list  pipeline.ListQueue // nil: the queue can't be seen
	from  int64              // size of the log before the storm
	began time.Time

	mu     sync.Mutex
	last   time.Time // of the last listing
	depth  int
	failed error
}

func newOutside(o Outside, tie string) *outside {
	a := &outside{o: o, began: time.Now()}
	if o.QueueCommand != "" {
		a.list = pipeline.QueueCommand(o.QueueCommand, tie)
	}
	return a
}

var errNotOurs = errors.New("it isn't this program's to start and end")

// Start sees whether it is there.
func (a *outside) Start(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", a.o.Address)
	if err != nil {
		return fmt.Errorf("nobody takes mail at %s: %w", a.o.Address, err)
	}
	if a.o.Log != "" {
		if info, err := os.Stat(a.o.Log); err == nil {
			a.from = info.Size()
		}
	}
	return conn.Close()
}

func (a *outside) Kill() error     { return errNotOurs }
func (a *outside) Close() error    { return nil }
func (a *outside) Addr() string    { return a.o.Address }
func (a *outside) Name() string    { return a.o.Address }
func (a *outside) Version() string { return "the MTA at " + a.o.Address }
func (a *outside) Config() string  { return "not known: it runs outside of this program" }

// errNoLog says that there is nothing to compare the ledger's attempts with.
var errNoLog = errors.New("it isn't known where the MTA's log is: --log names it")

var errUnseen = errors.New("its queue can't be seen from here: --queue-command shows it")

// Queue implements Agent.
func (a *outside) Queue(ctx context.Context, f func(*reconcile.QueueEntry) error) error {
	if a.list == nil {
		return errUnseen
	}
	return a.list(ctx, f)
}

// Depth counts the entries of a listing that is at most listApart old.
func (a *outside) Depth() (int, error) {
	if a.list == nil {
		return 0, errUnseen
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.last) >= listApart {
		a.last, a.depth = time.Now(), 0
		ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
		defer cancel()
		a.failed = a.list(ctx, func(*reconcile.QueueEntry) error { a.depth++; return nil })
	}
	return a.depth, a.failed
}

// Log reads what the log has got since the storm began.
func (a *outside) Log(f func(*reconcile.LogEvent) error) error {
	if a.o.Log == "" {
		return errNoLog
	}
	file, err := os.Open(a.o.Log)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(a.from, 0); err != nil {
		return err
	}
	return mtalog.Read(a.o.LogFormat, file, a.o.Log, mtalog.Options{Until: time.Now(), Location: time.Local}, func(e *mtalog.Event) error { return f(&e.LogEvent) })
}

// Schedule implements Agent.
func (a *outside) Schedule(context.Context) (mta.Schedule, error) {
	return mta.Schedule{}, errors.New("it runs outside of this program")
}

// Usage implements Agent.
func (a *outside) Usage() mta.Usage { return mta.Usage{} }
