package mta

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// registry has every MTA that this package can run. Nothing else names one.
func registry() []adapter {
	return []adapter{postfixAdapter(), eximAdapter(), harakaAdapter(), sendmailAdapter(), opensmtpdAdapter()}
}

// adapter is what makes one MTA differ from another. Functions that take an instance may use its program, options and path.
type adapter struct {
	name    string // of the registry, as flags write it; its log's format in sink/mtalog has the same
	product string // as its makers write it
	root    bool   // it runs as root only
	other   bool   // it must not run as root: root runs it as nobody
	traits  Traits

	// find returns the path of the program, "" if it isn't there. private is the directory in which fetch would have put it.
	find func(private string) string
	// fetch is the shell command that gets the program.
	fetch func(private string) string
	// layout writes configuration and directories, sets the version, and returns the command that runs the agent in the foreground.
	layout func(ctx context.Context, i *instance) (daemon []string, err error)
	// ready makes what lies in the directory fit for a start, after a crash, too; nil: it is.
	ready func(i *instance) error
	// environment of every command, beside what every instance has.
	environment func(i *instance) []string
	// queue passes on what the queue holds.
	queue func(ctx context.Context, i *instance, f func(*reconcile.QueueEntry) error) error
	// flush has it try everything in its queue now; nil: it can't be told to.
	flush func(ctx context.Context, i *instance) error
	// depth counts the messages in the queue.
	depth func(i *instance) (int, error)
	// schedule asks the MTA for its retry policy; nil: it can't be asked.
	schedule func(ctx context.Context, i *instance) (Schedule, error)
	// log is the log's path below the directory.
	log string
	// syslog is the path below the directory of a socket whose messages become that log; empty: the MTA writes it itself.
	syslog string
	// jailed: the daemon's command is one of jail.
	jailed bool
}

// Candidate is an MTA that this package can run.
type Candidate struct {
	Name    string // as flags and formats write it: "postfix"
	Product string // as its makers write it: "Postfix"
	Path    string // its program; empty when it isn't there
	Fetch   string // the shell command that gets it, on Debian and Ubuntu
	Root    bool   // only root can run it
	Traits  Traits
}

// Ready returns nil when New would run the MTA as this user, or else an error that wraps ErrMissing or ErrNeedsRoot and says what to do.
func (c Candidate) Ready() error {
	switch {
	case c.Path == "":
		return fmt.Errorf("%s is %w; this gets it: %s", c.Name, ErrMissing, c.Fetch)
	case c.Root && os.Geteuid() != 0:
		return fmt.Errorf("a private %s %w", c.Product, ErrNeedsRoot)
	}
	return nil
}

func (a *adapter) candidate() Candidate {
	dir := filepath.Join(privateDir(), a.name)
	return Candidate{Name: a.name, Product: a.product, Path: a.find(dir), Fetch: a.fetch(dir), Root: a.root, Traits: a.traits}
}

// Find looks up every MTA that this package can run, installed or not.
func Find() []Candidate {
	var found []Candidate
	for _, a := range registry() {
		found = append(found, a.candidate())
	}
	return found
}

// New makes an instance of an MTA by its name, without writing or starting anything. It fails where Candidate.Ready does, and on bad
// options.
func New(name string, o Options) (Agent, error) {
	for _, a := range registry() {
		if a.name != name {
			continue
		}
		c := a.candidate()
		if err := c.Ready(); err != nil {
			return nil, err
		}
		return newInstance(a, c.Path, o)
	}
	return nil, fmt.Errorf("unknown MTA %q (valid: %s)", name, names())
}

// Start makes an instance, prepares and starts it. After an error nothing is left running.
func Start(ctx context.Context, name string, o Options) (Agent, error) {
	a, err := New(name, o)
	if err != nil {
		return nil, err
	}
	if err = a.Prepare(ctx); err == nil {
		err = a.Start(ctx)
	}
	if err != nil {
		_ = a.Close() // nothing runs; the first error is the one to tell
		return nil, err
	}
	return a, nil
}

// Names are the names of the MTAs that this package can run.
func Names() []string {
	var list []string
	for _, a := range registry() {
		list = append(list, a.name)
	}
	return list
}

// names lists the registry for errors.
func names() string { return strings.Join(Names(), " ") }

// between returns what stands between the first occurrence of one text and the next of another.
func between(s, from, to string) (string, bool) {
	_, rest, found := strings.Cut(s, from)
	if !found {
		return "", false
	}
	inner, _, found := strings.Cut(rest, to)
	return inner, found
}

// unpack is the shell command that unpacks Debian's packages into a private directory, with what they depend on and this machine lacks
// (not with what apt would upgrade): Debian's MTAs exclude one another, and bring users and services of their own.
func unpack(private, packages string) string {
	return "mkdir -p " + private + " && cd " + private +
		" && apt-get download $(apt-get -s --no-install-recommends install " + packages + ` | sed -n 's/^Inst \([^ ]*\) (.*/\1/p')` +
		` && for deb in *.deb; do dpkg -x "$deb" .; done && rm *.deb`
}

// privateDir is where MTAs lie that were fetched for this package alone: Debian's packages of MTAs exclude one another.
func privateDir() string {
	if dir := os.Getenv("SMTPSTORM_MTAS"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "smtpstorm", "mta")
}

// lookTool returns the path of a program, or "" when there is none. Desktop users' PATH often lacks the administrators' directories.
func lookTool(name string) string {
	for _, dir := range [...]string{"", "/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}
