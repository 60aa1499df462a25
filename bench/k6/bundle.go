package k6

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// The scripts and plans of the bundle that the main job takes.
const (
	CalmScript  = "calm.js"
	StormScript = "bounce-storm.js"
	StormPlan   = "plans/bounce-storm.yaml"
	MTAPlan     = "plans/tempfail-rcpt-30.yaml" // temporary only, so that no delivery status notification is due
)

// Bundle is the bundled scripts and plans: those of a directory, or those that are built into this program.
type Bundle struct {
	files fs.FS
	dir   string // where files lie; empty: within this program, until Unpack
}

// FindBundle returns the bundle of the given directory, that of the project's checkout if this program lies in its bin or runs in it, or else what
// is built in: who changes a script of a checkout need not build the program anew.
func FindBundle(given, program string) (Bundle, error) {
	if given != "" {
		if input.Readable(filepath.Join(given, CalmScript)) != nil {
			return Bundle{}, input.Errorf("--scripts: no %s in %s: leave --scripts out for the scripts that are built in, or write those to a new directory with: smtpbench scripts --write DIR", CalmScript, given)
		}
		return bundleIn(given)
	}
	for _, root := range checkouts(program) {
		if dir := filepath.Join(root, "scripts"); input.Readable(filepath.Join(dir, CalmScript)) == nil {
			return bundleIn(dir)
		}
	}
	return Bundle{files: scripts.Files()}, nil
}

func bundleIn(dir string) (Bundle, error) {
	dir, err := filepath.Abs(dir)
	return Bundle{files: os.DirFS(dir), dir: dir}, err
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

// Check says whether a file of the bundle can be read.
func (b *Bundle) Check(name string) error {
	info, err := fs.Stat(b.files, name)
	switch {
	case err != nil:
		return input.Reason(err)
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	}
	return nil
}

// Path returns where a file of the bundle lies; Unpack must have been called.
func (b *Bundle) Path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// Unpack puts what is built in into a directory, for k6 to read.
func (b *Bundle) Unpack(dir string) error {
	if b.dir != "" {
		return nil
	}
	b.dir = dir
	return os.CopyFS(dir, b.files)
}

// Plan reads a plan of the bundle.
func (b *Bundle) Plan(name string) (*plan.File, error) {
	text, err := fs.ReadFile(b.files, name)
	if err != nil {
		return nil, &plan.Error{File: b.Path(name), Err: input.Reason(err)}
	}
	title := b.Path(name)
	if b.dir == "" {
		title = path.Base(name) + " (built in)"
	}
	return plan.Parse(title, text)
}

// Find returns the file of the bundle that a user names in place of a file of their own: calm or calm.js. A file of the user's goes first.
func (b *Bundle) Find(name, dir, extension string) (file string, ok bool) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() || strings.ContainsAny(name, `/\`) || b.files == nil {
		return "", false
	}
	file = path.Join(dir, strings.TrimSuffix(name, extension)+extension)
	return file, b.Check(file) == nil
}

// PlanFile reads the plan that a user names: a file, or one of the bundle.
func (b *Bundle) PlanFile(name string) (*plan.File, error) {
	if file, ok := b.Find(name, "plans", ".yaml"); ok {
		return b.Plan(file)
	}
	return scripts.LoadPlan(name)
}

// Checkout returns the commit of the project's checkout that this program lies or runs in, for builds that don't carry it. It is empty when
// there is no git or no such checkout.
func Checkout(ctx context.Context, program string) (commit string, dirty bool) {
	roots := checkouts(program)
	if len(roots) == 0 {
		return "", false
	}
	root := roots[0]
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	head, err := exec.CommandContext(ctx, "git", "-C", root, "rev-parse", "HEAD").Output() // #nosec G204 -- git itself; the folder is an argument of its own
	if err != nil {
		return "", false
	}
	changes, err := exec.CommandContext(ctx, "git", "-C", root, "status", "--porcelain").Output() // #nosec G204 -- git itself; the folder is an argument of its own
	return strings.TrimSpace(string(head)), err != nil || len(changes) > 0
}
