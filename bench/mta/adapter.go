package mta

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// registry has every MTA that this package can run. Nothing else names one.
func registry() []adapter {
	return []adapter{
		postfixAdapter(), eximAdapter(), harakaAdapter(), sendmailAdapter(), opensmtpdAdapter(), nullmailerAdapter(), chasquidAdapter(), dmaAdapter(),
		nodemailerApplication().adapter(), smtplibApplication().adapter(), phpmailerApplication().adapter(), gomailApplication().adapter(), smtppoolApplication().adapter(),
	}
}

// adapter is what makes one MTA differ from another. Functions that take an instance may use its program, options and path.
type adapter struct {
	name    string // of the registry, as flags write it; its log's format in sink/mtalog has the same, unless it is one of events
	product string // as its makers write it
	root    bool   // it runs as root only
	other   bool   // it must not run as root: root runs it as nobody
	traits  Traits

	// at returns the adapter of another version, whose name is NAME@VERSION; nil: there is one version only.
	at func(version string) adapter
	// find returns the path of the program, "" if it isn't there. private is the directory in which fetch would have put it.
	find func(private string) string
	// fetch is the shell command that gets the program.
	fetch func(private string) string
	// layout writes configuration and directories, sets the version, and returns the command that runs the agent in the foreground.
	layout func(ctx context.Context, i *instance) (daemon []string, err error)
	// ready makes what lies in the directory fit for a start, after a crash, too; nil: it is.
	ready func(i *instance) error
	// front takes mail on the instance's address, in this process, for a program that doesn't listen itself, or not to everybody; nil: the program listens.
	front func(i *instance) (front, error)
	// service answers the program's processes, in this process, until the last of them has ended; nil: they need nobody.
	service func(i *instance) (front, error)
	// announces is what the program prints when it is ready; empty: its greeting says so.
	announces string
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
	// events: that log is one of events already, as mta.jsonl is.
	events bool
	// syslog is the path below the directory of a socket whose messages become that log; empty: the MTA writes it itself.
	syslog string
	// jailed: the daemon's command is one of jail.
	jailed bool
}

// front is what takes mail for an instance, or serves it. Close ends it and its connections where they are.
type front interface{ Close() error }

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

// lookup finds an adapter by its name, or by NAME@VERSION where it has several versions.
func lookup(name string) (adapter, error) {
	base, version, other := strings.Cut(name, "@")
	for _, a := range registry() {
		switch {
		case a.name != base:
		case !other:
			return a, nil
		case a.at == nil:
			return a, fmt.Errorf("MTA %q: there is one version only of %s", name, base)
		case !validVersion.MatchString(version):
			return a, fmt.Errorf("MTA %q: version %q is not one such as 6.3.0", name, version)
		default:
			return a.at(version), nil
		}
	}
	return adapter{}, fmt.Errorf("unknown MTA %q (valid: %s)", name, strings.Join(Names(), " "))
}

// validVersion is what a version looks like: it becomes part of paths and shell commands.
var validVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]*$`)

// Lookup looks up one MTA by its name, or NAME@VERSION for one of those applications of which any version can be fetched. The error names the valid ones.
func Lookup(name string) (Candidate, error) {
	a, err := lookup(name)
	if err != nil {
		return Candidate{}, err
	}
	return a.candidate(), nil
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
	a, err := lookup(name)
	if err != nil {
		return nil, err
	}
	c := a.candidate()
	if err := c.Ready(); err != nil {
		return nil, err
	}
	return newInstance(a, c.Path, o)
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

// libraries is the environment that lets a program find the libraries that were unpacked with it.
func libraries(private string) []string {
	var dirs []string
	for _, pattern := range [...]string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(private, pattern)) // the pattern is a good one
		dirs = append(dirs, found...)
	}
	if len(dirs) == 0 {
		return nil
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
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
	if err != nil { // no HOME, such as in a service. Never where other users may write: programs of it are run
		cache = "/var/cache"
		if u, err := user.Current(); err == nil && u.HomeDir != "" {
			cache = filepath.Join(u.HomeDir, ".cache")
		}
	}
	return filepath.Join(cache, "smtpstorm", "mta")
}

// fetchedOr returns a find for a program at a path below the root: the one that was fetched, else the one that is installed, if there is one
// and the tools are there that the adapter starts it with.
func fetchedOr(path string, tools ...string) func(private string) string {
	return func(private string) string {
		for _, tool := range tools {
			if lookTool(tool) == "" {
				return ""
			}
		}
		if fetched := filepath.Join(private, path); isFile(fetched) {
			return fetched
		}
		return lookTool(filepath.Base(path))
	}
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
