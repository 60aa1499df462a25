package run

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The bundled scripts and plans, below the scripts directory.
const (
	calmScript  = "calm.js"
	stormScript = "bounce-storm.js"
	stormPlan   = "plans/bounce-storm.yaml"
	mtaPlan     = "plans/tempfail-rcpt-30.yaml" // temporary only, so that no delivery status notification is due
)

// findK6 returns the path of the k6 binary: the given one, or the first that exists beside this program, in ./bin or on the PATH.
func findK6(given, program string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", inputErrorf("k6 binary %s can't be run (%v): build it with: make build", given, reason(err))
		}
		return filepath.Abs(path)
	}
	name := "k6"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	var places []string
	if program != "" {
		places = append(places, filepath.Join(filepath.Dir(program), name))
	}
	places = append(places, filepath.Join("bin", name))
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(place)
		}
	}
	return "", inputErrorf("k6 with the smtp extension is missing (looked for %s): build it with: make build, or name it with --k6", strings.Join(places, " and "))
}

// checkout returns the commit of the project's checkout that this program lies or runs in, for builds that don't carry it. It is empty when
// there is no git or no such checkout.
func checkout(ctx context.Context, program string) (commit string, dirty bool) {
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

// readable returns why a regular file can't be read, or nil.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return reason(err)
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	f, err := os.Open(path) // #nosec G304 -- a file that the user names, opened to see whether it can be; nothing is read
	if err != nil {
		return reason(err)
	}
	return f.Close()
}

// reason strips the operation and the path from an error of package os: the caller's message names them already.
func reason(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *exec.Error:
		return reason(e.Err)
	case *os.LinkError:
		return e.Err
	}
	return err
}
