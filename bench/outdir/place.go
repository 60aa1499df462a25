package outdir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// resolve returns the directory that a path stands for. A symbolic link stays what it is: its target is what gets replaced.
func resolve(dir string) (string, error) {
	final, err := filepath.Abs(dir)
	if err != nil {
		return "", input.Reason(err)
	}
	info, err := os.Lstat(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", input.Reason(err)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := filepath.EvalSymlinks(final)
		if errors.Is(err, fs.ErrNotExist) {
			text, _ := os.Readlink(final)
			return "", fmt.Errorf("is a symbolic link to %s, which does not exist", input.Printable(text))
		}
		if err != nil {
			return "", input.Reason(err)
		}
		return target, nil
	}
	return withRealParent(final)
}

// withRealParent follows the links on the way to a path as far as there are any: two names of one place are then the same.
func withRealParent(path string) (string, error) {
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	real, err := filepath.EvalSymlinks(parent)
	if errors.Is(err, fs.ErrNotExist) {
		if real, err = withRealParent(parent); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", input.Reason(err)
	}
	return filepath.Join(real, filepath.Base(path)), nil
}

// replaceable refuses to put results in the place of anything but nothing, an empty directory, or the results of a run in which
// nothing was added or changed since. dir is what resolve returned.
func replaceable(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return input.Reason(err)
	case !info.IsDir():
		return errors.New("is not a directory")
	}
	if err := movable(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return input.Reason(err)
	}
	if len(entries) == 0 {
		return nil
	}
	if supervise.Alive(dir) {
		return &supervise.BusyError{Dir: dir}
	}
	m, err := readManifest(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("holds something else than results of an earlier run, such as %s (there is no %s); name an empty or new directory",
			input.Printable(entries[0].Name()), manifestFile)
	case err != nil:
		return err
	}
	return m.known(dir)
}

// movable refuses a directory that must stay where it is, whatever it holds.
func movable(dir string) error {
	if filepath.Dir(dir) == dir {
		return errors.New("is the root of the file system")
	}
	for _, special := range []struct {
		what string
		path func() (string, error)
	}{{"working directory", os.Getwd}, {"home directory", os.UserHomeDir}} {
		path, err := special.path()
		if err != nil {
			continue // there is none
		}
		if path, err = filepath.EvalSymlinks(path); err == nil && isWithin(path, dir) {
			return fmt.Errorf("is your %s, or holds it; name another one", special.what)
		}
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil // not Linux: moving it fails, and harms nothing
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(fields) > 4 && isWithin(unescape(fields[4]), dir) {
			return errors.New("is a mount point, or holds one; name a directory below it")
		}
	}
	return nil
}

// unescape undoes how the kernel writes blanks in a mount point.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// isWithin reports whether a path is dir or lies below it.
func isWithin(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// makeParents creates what is missing on the way to a directory, and returns what it created, the innermost first.
func makeParents(dir string) (created []string, err error) {
	for missing := filepath.Dir(dir); ; missing = filepath.Dir(missing) {
		info, err := os.Stat(missing)
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is not a directory", input.Printable(missing))
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, input.Reason(err)
		}
		created = append(created, missing)
	}
	for i := len(created) - 1; i >= 0; i-- {
		if err := os.Mkdir(created[i], 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // #nosec G301 -- results are for others to read, in a browser or from a web server
			removeEmpty(created[i+1:])
			return nil, input.Reason(err)
		}
	}
	return created, nil
}

// removeEmpty removes directories that are still empty, the first one first.
func removeEmpty(dirs []string) {
	for _, dir := range dirs {
		if os.Remove(dir) != nil {
			return // somebody uses it by now
		}
	}
}
