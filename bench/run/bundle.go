package run

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// bundle is the bundled scripts and plans: those of a directory, or those that are built into this program.
type bundle struct {
	files fs.FS
	dir   string // where files lie; empty: within this program, until unpack
}

// findBundle returns the bundle of the given directory, that of the project's checkout if this program lies in its bin or runs in it, or else what
// is built in: who changes a script of a checkout need not build the program anew.
func findBundle(given, program string) (bundle, error) {
	if given != "" {
		if readable(filepath.Join(given, calmScript)) != nil {
			return bundle{}, inputErrorf("--scripts: no %s in %s: leave --scripts out for the scripts that are built in, or write those to a new directory with: smtpbench scripts --write DIR", calmScript, given)
		}
		return bundleIn(given)
	}
	for _, root := range checkouts(program) {
		if dir := filepath.Join(root, "scripts"); readable(filepath.Join(dir, calmScript)) == nil {
			return bundleIn(dir)
		}
	}
	return bundle{files: scripts.Files()}, nil
}

func bundleIn(dir string) (bundle, error) {
	dir, err := filepath.Abs(dir)
	return bundle{files: os.DirFS(dir), dir: dir}, err
}

// checkouts returns the roots of checkouts of this project: around this program, and the working directory.
func checkouts(program string) (roots []string) {
	places := []string{"."}
	if program != "" {
		places = append(places, filepath.Join(filepath.Dir(program), ".."))
	}
	for _, root := range places {
		mod, err := os.ReadFile(filepath.Join(root, "go.mod")) // #nosec G304 -- in the working directory, or beside this program
		if err == nil && strings.HasPrefix(string(mod), "module github.com/smtpstorm/xk6-smtp\n") {
			roots = append(roots, root)
		}
	}
	return roots
}

// check says whether a file of the bundle can be read.
func (b *bundle) check(name string) error {
	info, err := fs.Stat(b.files, name)
	switch {
	case err != nil:
		return reason(err)
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	}
	return nil
}

// path returns where a file of the bundle lies; unpack must have been called.
func (b *bundle) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// unpack puts what is built in into a directory, for k6 to read.
func (b *bundle) unpack(dir string) error {
	if b.dir != "" {
		return nil
	}
	b.dir = dir
	return os.CopyFS(dir, b.files)
}

// plan reads a plan of the bundle.
func (b *bundle) plan(name string) (*plan.File, error) {
	text, err := fs.ReadFile(b.files, name)
	if err != nil {
		return nil, &plan.Error{File: b.path(name), Err: reason(err)}
	}
	title := b.path(name)
	if b.dir == "" {
		title = path.Base(name) + " (built in)"
	}
	return plan.Parse(title, text)
}

// find returns the file of the bundle that a user names in place of a file of their own: calm or calm.js. A file of the user's goes first.
func (b *bundle) find(name, dir, extension string) (file string, ok bool) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() || strings.ContainsAny(name, `/\`) || b.files == nil {
		return "", false
	}
	file = path.Join(dir, strings.TrimSuffix(name, extension)+extension)
	return file, b.check(file) == nil
}

// planFile reads the plan that a user names: a file, or one of the bundle.
func (b *bundle) planFile(name string) (*plan.File, error) {
	if file, ok := b.find(name, "plans", ".yaml"); ok {
		return b.plan(file)
	}
	return scripts.LoadPlan(name)
}
