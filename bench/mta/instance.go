package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// How long each step may take.
const (
	startTimeout   = 20 * time.Second
	stopTimeout    = 15 * time.Second
	commandTimeout = 20 * time.Second
	pollInterval   = 20 * time.Millisecond
)

// instance is an Agent by means of an adapter.
type instance struct {
	adapter
	program string
	o       Options
	port    *ReservedPort
	addr    string

	lifecycle sync.Mutex            // Prepare, Start, Stop, Kill, Restart and Close wait for one another
	daemon    []string              // the command that runs it; nil: not prepared. Guarded by lifecycle
	main      *exec.Cmd             // the process that Start started; nil: none. Guarded by lifecycle
	ended     <-chan error          // its end
	intake    front                 // what takes mail for it; nil: none, or it doesn't run. Guarded by lifecycle
	served    fronts                // what serves its processes until they have ended; nil: nothing, or it doesn't run. Guarded by lifecycle
	group     atomic.Pointer[group] // nil: none could be made

	texts   sync.Mutex
	version string
	config  string
}

func newInstance(a adapter, program string, o Options) (*instance, error) {
	o, err := o.check()
	if err == nil {
		o.Policy, err = o.Policy.complete(a.traits)
	}
	switch {
	case err != nil:
	case len(o.Routes) > 0 && !a.traits.Routes:
		err = errors.New("can't be given next hops for single domains")
	case len(o.Sources) > 0 && !a.traits.Sources:
		err = errors.New("can't be told to send from several addresses")
	case o.FinalTimeout > 0 && !a.traits.FinalTimeout:
		err = errors.New("can't be told how long to wait for the final reply")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	i := &instance{adapter: a, program: program, o: o, addr: o.Listen}
	if o.Listen == "" {
		if i.port, err = ReservePort(); err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		i.addr = i.port.Addr()
	}
	return i, nil
}

// private is where what was fetched for the agent lies.
func (i *instance) private() string { return filepath.Join(privateDir(), i.name) }

func (i *instance) path(elem ...string) string {
	return filepath.Join(append([]string{i.o.Dir}, elem...)...)
}

// host and port of the address that the instance listens on, and of the next hop.
func (i *instance) listen() (host, port string) { return hostPort(i.addr) }
func (i *instance) relay() (host, port string)  { return hostPort(i.o.Relay) }

func hostPort(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address) // it was checked
	return host, port
}

func (i *instance) Prepare(ctx context.Context) error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	if err := i.mkdirs("", "log"); err != nil {
		return err
	}
	daemon, err := i.layout(ctx, i)
	if err != nil {
		return fmt.Errorf("lay out %s: %w", i.name, err)
	}
	i.daemon = daemon
	return nil
}

// nobody is the user as whom root runs an MTA that must not run as root.
const nobody = 65534

// drops reports whether the processes run as nobody.
func (i *instance) drops() bool { return i.other && os.Geteuid() == 0 }

// console is the file of what the agent's processes print.
func (i *instance) console() string { return i.path("log", "console") }

func (i *instance) Stop() error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	return i.stop()
}

// closeIntake ends what takes mail for the agent.
func (i *instance) closeIntake() error {
	if i.intake == nil {
		return nil
	}
	err := i.intake.Close()
	i.intake = nil
	return err
}

func (i *instance) stop() error {
	closed := i.closeIntake()
	if i.main != nil {
		_ = terminate(i.first()) // it may have ended by itself meanwhile
	}
	for end := time.Now().Add(stopTimeout); len(i.processes()) > 0 && time.Now().Before(end); time.Sleep(pollInterval) {
	}
	return errors.Join(closed, i.kill())
}

func (i *instance) Kill() error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	return i.kill()
}

func (i *instance) kill() error {
	closed := i.closeIntake()
	if i.main != nil && !i.jailed {
		_ = supervise.Kill(i.main.Process) // it may have ended by itself meanwhile
	} else if i.main != nil {
		// The kernel ends all others before unshare(1) learns of it: whoever doesn't wait for that may meet them.
		_ = i.first().Kill()
		select {
		case <-i.ended:
			i.main = nil
		case <-time.After(stopTimeout):
		}
	}
	err := errors.Join(closed, supervise.EndProcesses(i.o.Dir, stopTimeout))
	if err == nil && i.main != nil {
		<-i.ended
		i.main = nil
	}
	err = errors.Join(err, i.served.Close())
	i.served = nil
	return err
}

// first is the process of the agent that ends the others: the one that was started, or the one in its jail.
func (i *instance) first() *os.Process {
	if pid := jailed(i.main.Process.Pid); i.jailed && pid > 0 {
		if process, err := os.FindProcess(pid); err == nil {
			return process
		}
	}
	return i.main.Process
}

func (i *instance) Restart(ctx context.Context) error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	if err := i.stop(); err != nil {
		return err
	}
	return i.start(ctx)
}

func (i *instance) Close() error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	err := i.stop()
	if i.port != nil {
		err = errors.Join(err, i.port.Release())
		i.port = nil
	}
	if g := i.group.Swap(nil); g != nil {
		err = errors.Join(err, g.remove())
	}
	return err
}

func (i *instance) processes() []int { return supervise.Processes(i.o.Dir) }

func (i *instance) Addr() string    { return i.addr }
func (i *instance) Name() string    { return i.name }
func (i *instance) LogPath() string { return i.path(i.log) }
func (i *instance) Policy() Policy  { return i.o.Policy }
func (i *instance) Traits() Traits  { return i.traits }

func (i *instance) Schedule(ctx context.Context) (Schedule, error) {
	if i.schedule == nil {
		return Schedule{}, fmt.Errorf("%s %w", i.name, ErrUnaskable)
	}
	s, err := i.schedule(ctx, i)
	if err == nil && len(s.Gaps) == 0 {
		err = fmt.Errorf("no pause in what it says: %q", s.Text)
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("retry policy of %s: %w", i.name, err)
	}
	return s, nil
}

func (i *instance) Version() string {
	i.texts.Lock()
	defer i.texts.Unlock()
	return i.version
}

func (i *instance) Queue(ctx context.Context, f func(*reconcile.QueueEntry) error) error {
	if err := i.queue(ctx, i, f); err != nil {
		return fmt.Errorf("queue of %s: %w", i.name, err)
	}
	return nil
}

func (i *instance) Flush(ctx context.Context) error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	err := errors.ErrUnsupported
	switch {
	case i.main == nil:
		err = errors.New("it doesn't run")
	case i.flush != nil:
		err = i.flush(ctx, i)
	}
	if err != nil {
		return fmt.Errorf("flush the queue of %s: %w", i.name, err)
	}
	return nil
}

func (i *instance) Depth() (int, error) {
	n, err := i.depth(i)
	if err != nil {
		return 0, fmt.Errorf("queue of %s: %w", i.name, err)
	}
	return n, nil
}

func (i *instance) Log(f func(*reconcile.LogEvent) error) error {
	log, err := os.Open(i.LogPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was logged so far
	}
	if err != nil {
		return err
	}
	defer log.Close()
	if i.events {
		return readEvents(log, i.LogPath(), f)
	}
	format, _, _ := strings.Cut(i.name, "@")
	return mtalog.Read(format, log, i.LogPath(), mtalog.Options{Until: time.Now(), Location: time.UTC}, func(e *mtalog.Event) error { return f(&e.LogEvent) })
}

// readEvents reads a log that is one of events already. A last line without its line feed is still being written.
func readEvents(log io.Reader, name string, f func(*reconcile.LogEvent) error) error {
	text, err := io.ReadAll(log)
	if err != nil {
		return err
	}
	return reconcile.ReadLog(bytes.NewReader(text[:bytes.LastIndexByte(text, '\n')+1]), name, f)
}
