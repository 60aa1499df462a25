// Package runfiles opens the files that package reconcile judges: those that a user names, or those of a run's directory. It says which
// file is missing or bad; what is in them means what docs/reconciliation.md says.
package runfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/dsn"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Files names what is to be judged. Empty names are not there.
type Files struct {
	Claims    string    // sent.jsonl
	Ledgers   []string  // ledger.jsonl, or several
	Queue     string    // the queue's final listing
	QueueAt   time.Time // when Queue was listed, if it doesn't say so itself; zero: after all else
	DSNs      []string  // dsn.jsonl, and notifications as they came (*.eml); naming one says that all are seen
	Incidents string
	Log       string // mta.jsonl

	Each func(*reconcile.Unit) // as in reconcile.Inputs
}

// The names of a run's files.
const (
	ClaimsFile    = "sent.jsonl"
	LedgerFile    = "ledger.jsonl"
	QueueFile     = "queue.jsonl"
	DSNFile       = "dsn.jsonl"
	DSNDir        = "dsn"
	IncidentsFile = "incidents.jsonl"
	LogFile       = "mta.jsonl"
)

var (
	errTwice = errors.New("a second file of JSON Lines (want one, and any number of .eml)")
	errAgain = errors.New("this ledger is given twice: its attempts would count twice")
	errDir   = errors.New("it is a directory")
)

// Find returns the files of a run's directory. Claims and at least one ledger (ledger.jsonl, ledger-*.jsonl) must be there, unless
// ledgers are named, which take the place of the directory's; the *jsonl.InputError names what is missing.
func Find(dir string, ledgers ...string) (Files, error) {
	var f Files
	there := func(name string) string {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return ""
		}
		return path
	}
	if _, err := os.ReadDir(dir); err != nil {
		return f, inputError(dir, err)
	}
	f.Claims, f.Queue, f.Incidents, f.Log = there(ClaimsFile), there(QueueFile), there(IncidentsFile), there(LogFile)
	if f.Claims == "" {
		return f, inputError(filepath.Join(dir, ClaimsFile), fs.ErrNotExist)
	}
	f.Ledgers, _ = filepath.Glob(filepath.Join(globbed(dir), "ledger-*.jsonl")) // the pattern is well formed
	if path := there(LedgerFile); path != "" {                                  // of a rotated one the last part
		f.Ledgers = append(f.Ledgers, path)
	}
	if len(ledgers) > 0 {
		f.Ledgers = ledgers
	}
	if len(f.Ledgers) == 0 {
		return f, inputError(filepath.Join(dir, LedgerFile), fs.ErrNotExist)
	}
	if path := there(DSNFile); path != "" {
		f.DSNs = append(f.DSNs, path)
	} else { // the .eml are what dsn.jsonl was made from
		whole, _ := filepath.Glob(filepath.Join(globbed(dir), DSNDir, "*.eml"))
		f.DSNs = append(f.DSNs, whole...)
	}
	return f, nil
}

// globbed makes a pattern of a directory's name.
func globbed(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// Judge opens the files and judges. units, if not nil, gets a JSON line for each unit. A *jsonl.InputError names the file that is missing
// or bad, and line and key if it has them.
func (f *Files) Judge(units io.Writer, o reconcile.Options) (*reconcile.Result, error) {
	in := reconcile.Inputs{Units: units, Each: f.Each, QueueAt: f.QueueAt}
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close() // it was read
		}
	}()
	open := func(name string) (ledger.Input, error) {
		if name == "" {
			return ledger.Input{}, nil
		}
		file, err := os.Open(name) // #nosec G304 -- the user names the files
		if err != nil {
			return ledger.Input{}, inputError(name, err)
		}
		opened = append(opened, file)
		if info, err := file.Stat(); err == nil && info.IsDir() {
			return ledger.Input{}, inputError(name, errDir)
		}
		return ledger.Input{Name: name, R: file}, nil
	}
	var err error
	for _, one := range []struct {
		name string
		to   *ledger.Input
	}{{f.Claims, &in.Claims}, {f.Queue, &in.Queue}, {f.Incidents, &in.Incidents}, {f.Log, &in.Log}} {
		if *one.to, err = open(one.name); err != nil {
			return nil, err
		}
	}
	var ledgers []os.FileInfo
	for _, name := range f.Ledgers {
		input, err := open(name)
		if err != nil {
			return nil, err
		}
		info, err := opened[len(opened)-1].Stat()
		if err != nil {
			return nil, inputError(name, err)
		}
		if slices.ContainsFunc(ledgers, func(before os.FileInfo) bool { return os.SameFile(before, info) }) {
			return nil, inputError(name, errAgain)
		}
		ledgers = append(ledgers, info)
		in.Ledgers = append(in.Ledgers, input)
	}
	for _, name := range f.DSNs {
		in.KnowNotifications = true
		input, err := open(name)
		if err != nil {
			return nil, err
		}
		switch {
		case strings.HasSuffix(name, ".eml"):
			parsed, err := dsn.Parse(input.R)
			if err != nil && !errors.Is(err, dsn.ErrOtherReport) {
				return nil, inputError(name, err)
			}
			in.Notifications = append(in.Notifications, parsed...)
			_ = opened[len(opened)-1].Close() // there may be more of these than descriptors
			opened = opened[:len(opened)-1]
		case in.DSNs.R != nil:
			return nil, inputError(name, errTwice)
		default:
			in.DSNs = input
		}
	}
	return reconcile.Reconcile(in, o)
}

// Names returns all files, so that nobody writes over one.
func (f *Files) Names() []string {
	names := slices.Concat([]string{f.Claims, f.Queue, f.Incidents, f.Log}, f.Ledgers, f.DSNs)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func inputError(name string, err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("no such file or directory")
	case errors.As(err, &p):
		err = p.Err
	}
	return &jsonl.InputError{File: name, Err: err}
}
