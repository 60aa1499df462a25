package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// summaryFile marks a directory as results of this program: only such a directory, or an empty one, is ever replaced.
const summaryFile = "summary.json"

// output is the directory of the results. Everything is written to a temporary directory beside it, which takes its place at the
// end, and so nobody ever finds half of the results there.
type output struct {
	final string
	temp  string
}

// newOutput creates the temporary directory. The error is an *InputError when the place can't be used.
func newOutput(dir string) (*output, error) {
	final, err := filepath.Abs(dir)
	if err != nil {
		return nil, inputErrorf("--out %s: %v", dir, reason(err))
	}
	if err := replaceable(final); err != nil {
		return nil, inputErrorf("--out %s: %v", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil { // #nosec G301 -- results are for others to read, in a browser or from a web server
		return nil, inputErrorf("--out %s: can't be created: %v", dir, reason(err))
	}
	temp, err := os.MkdirTemp(filepath.Dir(final), "."+filepath.Base(final)+"-")
	if err != nil {
		return nil, inputErrorf("--out %s: can't be written: %v", dir, reason(err))
	}
	if err := os.Chmod(temp, 0o755); err != nil { // #nosec G302 -- results are for others to read, in a browser or from a web server
		return nil, errors.Join(err, os.RemoveAll(temp))
	}
	return &output{final: final, temp: temp}, nil
}

// replaceable refuses to put results in the place of something else.
func replaceable(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case !info.IsDir():
		return errors.New("is not a directory")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return reason(err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, summaryFile)); err != nil {
		return fmt.Errorf("holds something else than results of an earlier run (no %s); name an empty or new directory", summaryFile)
	}
	return nil
}

// path returns the path of a file of the results while they are being written.
func (o *output) path(name string) string { return filepath.Join(o.temp, name) }

// json writes a value as an indented file.
func (o *output) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.WriteFile(o.path(name), append(text, '\n'), 0o644) // #nosec G306 -- results are for others to read
}

// publish puts the results in their place.
func (o *output) publish() error {
	if _, err := os.Stat(o.final); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(o.temp, o.final)
	}
	old := o.temp + ".old"
	if err := os.Rename(o.final, old); err != nil {
		return err
	}
	if err := os.Rename(o.temp, o.final); err != nil {
		return errors.Join(err, os.Rename(old, o.final))
	}
	return os.RemoveAll(old)
}

// discard removes what was written.
func (o *output) discard() error { return os.RemoveAll(o.temp) }
