package program

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// UsageError is a flag or an argument that can't be taken: exit status 2.
type UsageError struct {
	// Err says which one, and what is valid.
	Err error
}

// Error returns what Err says.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e UsageError) Unwrap() error { return e.Err }

// Main runs a program with the arguments of this process, prints its error in one line, and ends the process with status 0, 1, or 2
// for a UsageError. flag.ErrHelp is no failure.
func Main(name string, run func(argv []string, stdout, stderr io.Writer) error) {
	err := run(os.Args, os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.As(err, new(UsageError)):
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

// Heading is a report's sentence on when, where and on what the record was made.
func Heading(p *result.Provenance) string {
	commit := p.Commit
	if commit == "" {
		commit = "unknown"
	}
	if p.Dirty {
		commit += " with local changes"
	}
	return fmt.Sprintf("%s to %s, %s, Linux %s, %s (%d logical CPUs), commit %s.", p.Started.UTC().Format("2006-01-02 15:04"), p.Ended.UTC().Format("15:04 MST"),
		p.OS, p.Kernel, p.CPUModel, p.Cores, commit)
}

// WriteRecord writes a record as NAME.json and its report as NAME.md into dir, which it makes if need be.
func WriteRecord(dir, name string, record any, report func(io.Writer)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- results are for others to read
		return err
	}
	text, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil { // #nosec G306 -- results are for others to read
		return err
	}
	var b strings.Builder
	report(&b)
	return os.WriteFile(filepath.Join(dir, name+".md"), []byte(b.String()), 0o644) // #nosec G306 -- results are for others to read
}
