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

// command is a command of the MTA, with the environment that makes it belong to the instance.
func (i *instance) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) // #nosec G204 -- programs as the adapter's find found them, or that lie beside them; no shell
	cmd.Dir = i.o.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + i.o.Dir, "TMPDIR=" + i.o.Dir, "LC_ALL=C", "TZ=UTC", supervise.Environment + "=" + i.o.Dir}
	if i.environment != nil {
		cmd.Env = append(cmd.Env, i.environment(i)...)
	}
	apart(cmd, i.drops())
	return cmd
}

// counted is a command whose use of CPU and memory is the agent's: one that takes mail for it.
func (i *instance) counted(ctx context.Context, args ...string) *exec.Cmd {
	if g := i.group.Load(); g != nil {
		args = g.within(args)
	}
	return i.command(ctx, args...)
}

// output runs a command and returns what it says; the error has the last line of its complaints.
func (i *instance) output(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := i.command(ctx, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, lastLine(complaints.String()+"\n"+out.String()))
	}
	return out.Bytes(), nil
}

// console is the file of what the agent's processes print.
func (i *instance) console() string { return i.path("log", "console") }

func (i *instance) Start(ctx context.Context) error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	return i.start(ctx)
}

func (i *instance) start(ctx context.Context) error {
	if i.daemon == nil {
		return fmt.Errorf("%s is not prepared", i.name)
	}
	if i.main != nil {
		select {
		case <-i.ended:
			i.main = nil
		default:
			return fmt.Errorf("%s runs already", i.name)
		}
	}
	// Some MTAs try a port that is taken again and again, others don't say why they end.
	free, err := net.Listen("tcp", i.addr)
	if err == nil {
		err = free.Close()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	// A file instead of a pipe: its processes inherit it, and may outlive the first.
	out, err := os.OpenFile(i.console(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644) // #nosec G302 G304 -- in the instance's own folder, for daemons of the MTA's user
	if err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	defer out.Close()
	if i.ready != nil {
		if err := i.ready(i); err != nil {
			return fmt.Errorf("start %s: %w", i.name, err)
		}
	}
	if err := i.serve(); err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	if i.front != nil {
		intake, err := i.front(i)
		if err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", i.name, err), i.kill())
		}
		i.intake = intake
	}
	cmd, begin := i.grouped(context.WithoutCancel(ctx))
	cmd.Stdout, cmd.Stderr = out, out
	logged, printed := fileSize(i.LogPath()), fileSize(i.console())
	ended, err := supervise.Start(cmd)
	if err != nil {
		begin(0)
		return errors.Join(fmt.Errorf("start %s: %w", i.name, err), i.kill())
	}
	begin(cmd.Process.Pid)
	i.main, i.ended = cmd, ended
	if err := i.awaitGreeting(ctx, printed); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w%s", i.name, err, i.complaint(logged, printed)), i.kill())
	}
	return nil
}

// grouped is the command that runs the agent in a control group, where one can be made; begin must be called with its process. A shell stands
// in for the agent until it is in the group, so that nothing is started outside.
func (i *instance) grouped(ctx context.Context) (cmd *exec.Cmd, begin func(pid int)) {
	if i.group.Load() == nil {
		i.group.Store(newGroup())
	}
	g := i.group.Load()
	if g == nil {
		return i.command(ctx, i.daemon...), func(int) {}
	}
	cmd = i.command(ctx, append([]string{"/bin/sh", "-c", `read -r go; exec "$@" </dev/null`, "sh"}, i.daemon...)...)
	read, write, err := os.Pipe()
	if err != nil {
		return i.command(ctx, i.daemon...), func(int) {}
	}
	cmd.Stdin = read
	return cmd, func(pid int) {
		if pid > 0 { // else it did not start
			_ = g.take(pid) // without it, usage finds the group empty, and goes by the processes
		}
		_, _ = write.WriteString("go\n")
		_, _ = write.Close(), read.Close()
	}
}

// complaint is what the agent said last when it did not start: since log and console had a size.
func (i *instance) complaint(logged, printed int64) string {
	for _, text := range []string{readFrom(i.LogPath(), logged), readFrom(i.console(), printed)} {
		last := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if lower := strings.ToLower(line); last == "" || strings.Contains(lower, "fatal") || strings.Contains(lower, "error") || strings.Contains(lower, "failed") {
				last = line
			}
		}
		if last != "" {
			return ": " + last
		}
	}
	return ""
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// readFrom returns a file's text from an offset on, or nothing when it can't be read.
func readFrom(path string, offset int64) string {
	f, err := os.Open(path) // #nosec G304 -- a log of the instance, below its own folder
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20)) // what was read counts
	return string(text)
}

// awaitGreeting polls until the port greets, and the program has announced itself if it does: on the console, from an offset on.
func (i *instance) awaitGreeting(ctx context.Context, printed int64) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		last := greets(ctx, i.addr)
		if last == nil && !strings.Contains(readFrom(i.console(), printed), i.announces) {
			last = errors.New("the program behind it is not ready")
		}
		if last == nil {
			return nil
		}
		select {
		case err := <-i.ended:
			i.main = nil
			return fmt.Errorf("it ended at once (%w)", err)
		case <-ctx.Done():
			return fmt.Errorf("it doesn't greet on %s: %w", i.addr, last)
		case <-time.After(pollInterval):
		}
	}
}

// greets connects once and reads the greeting.
func greets(ctx context.Context, addr string) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(buf[:n]), "220") {
		return fmt.Errorf("greeting %q", buf[:n])
	}
	// The agent has to be done with this connection, so that nothing of it is under way when Start returns.
	if _, err = conn.Write([]byte("QUIT\r\n")); err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	return err
}

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
