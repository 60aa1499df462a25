package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// ErrNeedsRoot is wrapped by StartPostfix when the process is not root: Postfix's master daemon refuses to run otherwise.
var ErrNeedsRoot = errors.New("a private Postfix instance needs root")

// ErrMissing is wrapped by StartPostfix when Postfix isn't installed.
var ErrMissing = errors.New("not installed")

// Options say how to start an instance.
type Options struct {
	Dir    string // a private directory, created if needed; everything that the instance writes stays below it
	Listen string // loopback host:port to listen on; empty: a free port of 127.0.0.1
	Relay  string // loopback host:port of the next hop for every message
	Policy Policy // retry policy
	Extra  string // more lines for main.cf, which win over this package's own; empty: none
}

// Postfix is a running private instance. Its methods may be called concurrently.
type Postfix struct {
	addr    string
	dir     string
	binary  string
	version string
	config  string
}

// How long each step of starting and stopping may take; Postfix itself needs about two seconds for either.
const (
	startTimeout   = 20 * time.Second
	stopTimeout    = 15 * time.Second
	pollInterval   = 20 * time.Millisecond
	commandTimeout = 20 * time.Second
)

// StartPostfix configures and starts a private Postfix below o.Dir and returns when it greets on its port, or with an error
// and nothing left running. It needs root (ErrNeedsRoot) and an installed Postfix (ErrMissing). Cancelling ctx afterwards
// doesn't stop the instance; Stop does.
func StartPostfix(ctx context.Context, o Options) (*Postfix, error) {
	binary := lookTool("postfix")
	postconf := lookTool("postconf")
	if binary == "" || postconf == "" {
		return nil, fmt.Errorf("postfix is %w: apt-get install -y postfix", ErrMissing)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: run as root, or leave this MTA out", ErrNeedsRoot)
	}
	settings, err := o.settings(ctx, binary, postconf)
	if err != nil {
		return nil, err
	}
	version, err := compiledDefault(ctx, postconf, "mail_version")
	if err != nil {
		return nil, err
	}
	p := &Postfix{
		addr:    net.JoinHostPort(settings.ListenHost, settings.ListenPort),
		dir:     settings.Dir,
		binary:  binary,
		version: version,
	}
	if err := p.layOut(settings); err != nil {
		return nil, err
	}
	if err := p.command(ctx, "start"); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	if err := p.awaitGreeting(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// settings checks the options and completes them.
func (o Options) settings(ctx context.Context, binary, postconf string) (postfixSettings, error) {
	var s postfixSettings
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return s, fmt.Errorf("directory %q for postfix can't be used", o.Dir)
	}
	if strings.ContainsAny(dir, " \t$#\n") {
		return s, fmt.Errorf("directory %q can't stand in main.cf: it holds a blank, $ or #", dir)
	}
	listen := o.Listen
	if listen == "" {
		if listen, err = freePort(); err != nil {
			return s, err
		}
	}
	s.Dir, s.CommandDir = dir, filepath.Dir(binary)
	if s.ListenHost, s.ListenPort, err = loopbackAddress("listening address", listen); err != nil {
		return s, err
	}
	if s.RelayHost, s.RelayPort, err = loopbackAddress("next hop", o.Relay); err != nil {
		return s, err
	}
	s.Extra = o.Extra
	s.Policy = o.Policy.withDefaults()
	if err := s.Policy.validate(); err != nil {
		return s, err
	}
	s.DaemonDir, err = compiledDefault(ctx, postconf, "daemon_directory")
	return s, err
}

// compiledDefault asks postconf for a default of the installed binaries, which doesn't read the system's main.cf.
func compiledDefault(ctx context.Context, postconf, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, postconf, "-d", "-h", name).Output() // #nosec G204 -- postconf as lookTool found it; the arguments are constants of this file
	if err != nil {
		return "", fmt.Errorf("postconf -d %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// freePort returns a loopback address that nobody listened on a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free loopback port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// layOut writes the configuration and the directories that Postfix doesn't create itself.
func (p *Postfix) layOut(s postfixSettings) error {
	mainCf, err := s.render("main.cf")
	if err != nil {
		return err
	}
	masterCf, err := s.render("master.cf")
	if err != nil {
		return err
	}
	p.config = mainCf + "\n# master.cf\n" + masterCf
	if err := enterable(filepath.Dir(p.dir)); err != nil {
		return err
	}
	for _, dir := range []string{p.dir, p.path("etc"), p.path("spool"), p.path("data"), p.path("log")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- Postfix's daemons run as user postfix, and have to enter
			return fmt.Errorf("lay out postfix: %w", err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- Postfix's daemons run as user postfix, and have to enter
			return fmt.Errorf("lay out postfix: %w", err)
		}
	}
	for name, text := range map[string]string{"main.cf": mainCf, "master.cf": masterCf} {
		if err := os.WriteFile(p.path("etc", name), []byte(text), 0o644); err != nil { // #nosec G306 -- Postfix's daemons read it as user postfix
			return fmt.Errorf("lay out postfix: %w", err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return fmt.Errorf("lay out postfix: %w", err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return fmt.Errorf("lay out postfix: user id %q: %w", owner.Uid, err)
	}
	if err := os.Chown(p.path("data"), uid, -1); err != nil {
		return fmt.Errorf("lay out postfix: %w", err)
	}
	return nil
}

// enterable checks that user postfix, as whom the daemons run, can reach what lies below dir.
func enterable(dir string) error {
	for {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("postfix's daemons can't enter %s (mode %v): choose a directory that all users can reach", dir, info.Mode().Perm())
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func (p *Postfix) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// command runs "postfix -c DIR/etc VERB" and returns its output in the error when it fails.
func (p *Postfix) command(ctx context.Context, verb string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.binary, "-c", p.path("etc"), verb) // #nosec G204 -- postfix as lookTool found it; the verbs are constants of this file
	// The daemons inherit the descriptors of the command: a file instead of a pipe, or waiting would last as long as they do.
	output, err := os.Create(p.path("log", verb+".out"))
	if err != nil {
		return fmt.Errorf("postfix %s: %w", verb, err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("postfix %s: %w: %s", verb, err, p.complaint(verb))
	}
	return nil
}

// complaint returns what went wrong in one line: the first fatal error of the log, or else the last line of the command's
// output.
func (p *Postfix) complaint(verb string) string {
	for line := range strings.Lines(readText(p.LogPath())) {
		if _, fatal, ok := strings.Cut(line, " fatal: "); ok {
			return strings.TrimSpace(fatal)
		}
	}
	lines := strings.Split(strings.TrimSpace(readText(p.path("log", verb+".out"))), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "no output"
}

// readText returns a file's content, or nothing when it can't be read.
func readText(path string) string {
	text, err := os.ReadFile(path) // #nosec G304 -- a log of the instance, below its own folder
	if err != nil {
		return ""
	}
	return string(text)
}

// awaitGreeting polls until the port greets.
func (p *Postfix) awaitGreeting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	for {
		if last = greets(ctx, p.addr); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postfix didn't greet on %s within %v: %w (%s)", p.addr, startTimeout, last, p.complaint("start"))
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
	_, err = conn.Write([]byte("QUIT\r\n"))
	return err
}

// Addr returns the host:port on which the instance takes mail.
func (p *Postfix) Addr() string { return p.addr }

// Version returns the name and version, such as "Postfix 3.7.11".
func (p *Postfix) Version() string { return "Postfix " + p.version }

// Config returns main.cf and master.cf, for the provenance of a result.
func (p *Postfix) Config() string { return p.config }

// LogPath returns the path of the instance's mail log.
func (p *Postfix) LogPath() string { return p.path("log", "mail.log") }

// Depth is the number of messages in each queue.
type Depth struct {
	Incoming int // accepted, not yet seen by the queue manager
	Active   int // scheduled for delivery
	Deferred int // waiting for their next attempt
}

// Total returns the number of messages that the instance holds.
func (d Depth) Total() int { return d.Incoming + d.Active + d.Deferred }

// QueueDepth counts the messages by their queue files. One that moves during the count is counted once, in the queue where it was seen
// last; only one that moves there and back again may be missed.
func (p *Postfix) QueueDepth() (Depth, error) {
	// Messages move along incoming, active, deferred, and back from deferred to active: who looks in that order meets them again.
	where := make(map[string]queue)
	for _, q := range []queue{incoming, active, deferred, active} {
		if err := q.list(p.path("spool", string(q)), where); err != nil {
			return Depth{}, fmt.Errorf("count queue %s: %w", q, err)
		}
	}
	var d Depth
	for _, q := range where {
		switch q {
		case incoming:
			d.Incoming++
		case active:
			d.Active++
		case deferred:
			d.Deferred++
		}
	}
	return d, nil
}

// queue is one of the queues of qmgr(8), by the name of its directory.
type queue string

const (
	incoming queue = "incoming"
	active   queue = "active"
	deferred queue = "deferred"
)

// list notes the messages whose files lie below dir, which keep their names as they move; what vanishes meanwhile has left the queue.
func (q queue) list(dir string, where map[string]queue) error {
	return filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.Type().IsRegular():
			where[entry.Name()] = q
		}
		return nil
	})
}

// Stop ends the instance by its own command, then, should it still run after a while, by killing its processes. It returns
// when none of them is left. Queue and logs stay in the directory.
func (p *Postfix) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	stopErr := p.command(ctx, "stop")
	if len(p.processes()) == 0 {
		return nil // it was not running, or it is stopped: either way nothing is left
	}
	if p.awaitExit(ctx) {
		return nil
	}
	for _, pid := range p.processes() {
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Kill() // it may have ended by itself meanwhile
		}
	}
	ctx, cancel = context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if p.awaitExit(ctx) {
		return nil
	}
	return errors.Join(fmt.Errorf("postfix in %s doesn't end: processes %v", p.dir, p.processes()), stopErr)
}

// awaitExit polls until no process of the instance is left.
func (p *Postfix) awaitExit(ctx context.Context) bool {
	for {
		if len(p.processes()) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollInterval):
		}
	}
}

// processes returns the ids of the instance's processes: master and all its children carry the configuration directory in their
// environment (MAIL_CONFIG).
func (p *Postfix) processes() []int { return supervise.Processes(p.dir) }
