// Package outdir is the directory of a run's results: it takes its place as a whole once it is complete, and never the place of anything
// but the results of an earlier run in which nothing was changed since.
//
// It knows nothing of what the files hold.
package outdir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// Dir is the directory of the results. Everything is written to a temporary directory beside it, which takes its place at the
// end, and so nobody ever finds half of the results there, and what was there before stays until the new results are complete.
type Dir struct {
	Final   string             // where the results go, without symbolic links
	Temp    *supervise.Scratch // where they are meanwhile
	created []string           // directories on the way to final that did not exist, the innermost first
}

// New creates the temporary directory. The error is an *input.Error when the place can't be used; nothing was touched then.
func New(dir string) (*Dir, error) {
	wrong := func(err error) error { return input.Errorf("--out %s: %v", input.Printable(dir), err) }
	final, err := resolve(dir)
	if err != nil {
		return nil, wrong(err)
	}
	if err := replaceable(final); err != nil {
		return nil, wrong(err)
	}
	o := &Dir{Final: final}
	if o.created, err = makeParents(final); err != nil {
		return nil, wrong(fmt.Errorf("can't be created: %w", err))
	}
	o.Temp, err = supervise.NewExclusiveScratch(filepath.Dir(final), o.prefix())
	if err != nil {
		removeEmpty(o.created)
		var busy *supervise.BusyError
		if errors.As(err, &busy) {
			return nil, wrong(busy)
		}
		return nil, wrong(fmt.Errorf("can't be written: %w", input.Reason(err)))
	}
	o.tidy()
	// The look at it was before anybody else was kept out.
	if err := replaceable(final); err != nil {
		return nil, errors.Join(wrong(err), o.Discard())
	}
	mode := fs.FileMode(0o755)
	if info, err := os.Stat(final); err == nil {
		mode = info.Mode().Perm()
	}
	if err := os.Chmod(o.Temp.Dir, mode); err != nil {
		return nil, errors.Join(err, o.Discard())
	}
	return o, nil
}

// tidy removes what a run that was killed at its very end had pushed out of the way and not yet removed.
func (o *Dir) tidy() {
	if _, err := os.Stat(o.Final); err != nil {
		return // what was pushed away may be all there is
	}
	pushed, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Final), globbed(o.prefix())+"*"))
	for _, dir := range pushed {
		if m, err := readManifest(dir); err == nil && m.known(dir) == nil {
			_ = m.remove(dir) // what is left harms nobody
		}
	}
}

// prefix begins the names of the temporary directories.
func (o *Dir) prefix() string { return "." + filepath.Base(o.Final) + "-" }

// globbed writes a name such that filepath.Glob takes it for itself.
var globbed = strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[", "\\", "\\\\").Replace

// Path returns the path of a file of the results while they are being written.
func (o *Dir) Path(name string) string { return o.Temp.Path(name) }

// JSON writes a value as an indented file.
func (o *Dir) JSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.WriteFile(o.Path(name), append(text, '\n'), 0o644) // #nosec G306 -- results are for others to read
}

// Publish puts the results in their place. If that can't be done, they are kept beside it, and the error says where.
func (o *Dir) Publish() error {
	if err := writeManifest(o.Temp.Dir); err != nil {
		return err
	}
	if err := o.replace(); err != nil {
		return o.aside(err)
	}
	return o.Temp.Release(o.Final)
}

// replace moves the results to their place, and what was there out of the way and away.
func (o *Dir) replace() error {
	if err := replaceable(o.Final); err != nil {
		return err
	}
	old, err := readManifest(o.Final)
	if errors.Is(err, fs.ErrNotExist) { // nothing there, or an empty directory: it goes only if it is still empty
		if err := os.Remove(o.Final); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return input.Reason(err)
		}
		return input.Reason(os.Rename(o.Temp.Dir, o.Final))
	}
	if err != nil {
		return err
	}
	pushed, err := exchange(o.Temp.Dir, o.Final)
	if err != nil {
		return input.Reason(err)
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
func (o *Dir) aside(why error) error {
	if _, err := os.Stat(filepath.Join(o.Final, supervise.OwnerFile)); err == nil { // they are in their place
		return errors.Join(why, o.Temp.Release(o.Final))
	}
	kept, err := o.Keep()
	return errors.Join(fmt.Errorf("%s could not be replaced (%w): the results are in %s", input.Shortest(o.Final), why, input.Shortest(kept)), err)
}

// Keep moves what was written beside its place, under a new name, and returns where it is then.
func (o *Dir) Keep() (dir string, err error) {
	dir = o.Final + "-" + supervise.NewID()[:8]
	if err := os.Rename(o.Temp.Dir, dir); err != nil {
		dir = o.Temp.Dir
	}
	return dir, o.Temp.Release(dir)
}

// KeepIf has what was written outlive a program that is killed, as Keep does, if a file that matches one of the patterns holds something then.
func (o *Dir) KeepIf(patterns ...string) error {
	return o.Temp.Keep(filepath.Base(o.Final), patterns...)
}

// KeptLine tells people of a directory that Kept returns: of it, twice.
const KeptLine = "kept     %s has what a run that was killed had recorded; smtpbench judge %s judges it"

// Kept returns the directories that KeepIf has left beside this place, of runs into it that were killed, the oldest first.
func (o *Dir) Kept() []string {
	const id = "[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
	beside, _ := filepath.Glob(globbed(o.Final) + "-" + id) // the pattern is a good one
	type dir struct {
		path string
		time int64
	}
	var kept []dir
	for _, path := range beside {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(path, manifestFile)); errors.Is(err, fs.ErrNotExist) { // else they are complete: Publish
			kept = append(kept, dir{input.Shortest(path), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(kept, func(a, b dir) int { return cmp.Compare(a.time, b.time) })
	var paths []string
	for _, k := range kept {
		paths = append(paths, k.path)
	}
	return paths
}

// Discard removes what was written, unless it is in its place.
func (o *Dir) Discard() error {
	err := o.Temp.Remove()
	removeEmpty(o.created)
	return err
}
