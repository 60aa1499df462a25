package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// summaryFile has the verdicts and the figures of a run.
const summaryFile = "summary.json"

// output is the directory of the results. Everything is written to a temporary directory beside it, which takes its place at the
// end, and so nobody ever finds half of the results there, and what was there before stays until the new results are complete.
type output struct {
	final   string             // where the results go, without symbolic links
	temp    *supervise.Scratch // where they are meanwhile
	created []string           // directories on the way to final that did not exist, the innermost first
}

// newOutput creates the temporary directory. The error is an *InputError when the place can't be used; nothing was touched then.
func newOutput(dir string) (*output, error) {
	wrong := func(err error) error { return inputErrorf("--out %s: %v", printable(dir), err) }
	final, err := resolve(dir)
	if err != nil {
		return nil, wrong(err)
	}
	if err := replaceable(final); err != nil {
		return nil, wrong(err)
	}
	o := &output{final: final}
	if o.created, err = makeParents(final); err != nil {
		return nil, wrong(fmt.Errorf("can't be created: %w", err))
	}
	o.temp, err = supervise.NewExclusiveScratch(filepath.Dir(final), o.prefix())
	if err != nil {
		removeEmpty(o.created)
		var busy *supervise.BusyError
		if errors.As(err, &busy) {
			return nil, wrong(busy)
		}
		return nil, wrong(fmt.Errorf("can't be written: %w", reason(err)))
	}
	o.tidy()
	// The look at it was before anybody else was kept out.
	if err := replaceable(final); err != nil {
		return nil, errors.Join(wrong(err), o.discard())
	}
	mode := fs.FileMode(0o755)
	if info, err := os.Stat(final); err == nil {
		mode = info.Mode().Perm()
	}
	if err := os.Chmod(o.temp.Dir, mode); err != nil {
		return nil, errors.Join(err, o.discard())
	}
	return o, nil
}

// tidy removes what a run that was killed at its very end had pushed out of the way and not yet removed.
func (o *output) tidy() {
	if _, err := os.Stat(o.final); err != nil {
		return // what was pushed away may be all there is
	}
	pushed, _ := filepath.Glob(filepath.Join(filepath.Dir(o.final), globbed(o.prefix())+"*"))
	for _, dir := range pushed {
		if m, err := readManifest(dir); err == nil && m.known(dir) == nil {
			_ = m.remove(dir) // what is left harms nobody
		}
	}
}

// prefix begins the names of the temporary directories.
func (o *output) prefix() string { return "." + filepath.Base(o.final) + "-" }

// globbed writes a name such that filepath.Glob takes it for itself.
var globbed = strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[", "\\", "\\\\").Replace

// path returns the path of a file of the results while they are being written.
func (o *output) path(name string) string { return o.temp.Path(name) }

// json writes a value as an indented file.
func (o *output) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.WriteFile(o.path(name), append(text, '\n'), 0o644) // #nosec G306 -- results are for others to read
}

// publish puts the results in their place. If that can't be done, they are kept beside it, and the error says where.
func (o *output) publish() error {
	if err := writeManifest(o.temp.Dir); err != nil {
		return err
	}
	if err := o.replace(); err != nil {
		return o.aside(err)
	}
	return o.temp.Release(o.final)
}

// replace moves the results to their place, and what was there out of the way and away.
func (o *output) replace() error {
	if err := replaceable(o.final); err != nil {
		return err
	}
	old, err := readManifest(o.final)
	if errors.Is(err, fs.ErrNotExist) { // nothing there, or an empty directory: it goes only if it is still empty
		if err := os.Remove(o.final); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return reason(err)
		}
		return reason(os.Rename(o.temp.Dir, o.final))
	}
	if err != nil {
		return err
	}
	pushed, err := exchange(o.temp.Dir, o.final)
	if err != nil {
		return reason(err)
	}
	// Only what a run left there is removed: should anything have come in at the last moment, it stays, with its directory.
	if err := errors.Join(old.known(pushed), old.remove(pushed)); err != nil {
		return fmt.Errorf("the results are in their place, but what was there before could not be removed from %s: %w", pushed, err)
	}
	return nil
}

// exchangeByRename is exchange where the system has no call for it.
func exchangeByRename(temp, final string) (pushed string, err error) {
	pushed = temp + ".old"
	if err := os.Rename(final, pushed); err != nil {
		return "", err
	}
	if err := os.Rename(temp, final); err != nil {
		return "", errors.Join(err, os.Rename(pushed, final))
	}
	return pushed, nil
}

// aside keeps results that could not be put in their place.
func (o *output) aside(why error) error {
	if _, err := os.Stat(filepath.Join(o.final, supervise.OwnerFile)); err == nil { // they are in their place
		return errors.Join(why, o.temp.Release(o.final))
	}
	kept := o.final + "-" + supervise.NewID()[:8]
	if err := os.Rename(o.temp.Dir, kept); err != nil {
		kept = o.temp.Dir
	}
	return errors.Join(fmt.Errorf("%s could not be replaced (%w): the results are in %s", shortest(o.final), why, shortest(kept)), o.temp.Release(kept))
}

// discard removes what was written, unless it is in its place.
func (o *output) discard() error {
	err := o.temp.Remove()
	removeEmpty(o.created)
	return err
}
