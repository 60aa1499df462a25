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

// findScripts returns the directory of the bundled scripts: the given one, ./scripts, or the one beside the program's directory.
func findScripts(given, program string) (string, error) {
	places := []string{"scripts"}
	if program != "" {
		places = append(places, filepath.Join(filepath.Dir(program), "..", "scripts"))
	}
	if given != "" {
		places = []string{given}
	}
	for _, place := range places {
		if readable(filepath.Join(place, calmScript)) == nil {
			return filepath.Abs(place)
		}
	}
	return "", inputErrorf("no %s in %s: run from the project's directory, or name its scripts with --scripts", calmScript, strings.Join(places, " or "))
}

// checkout returns the commit of the project's checkout that holds the scripts, for builds that don't carry it. It is empty when
// there is no git or no such checkout.
func checkout(ctx context.Context, scripts string) (commit string, dirty bool) {
	root := filepath.Dir(scripts)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod")) // #nosec G304 -- beside the scripts that the user names, or this program found
	if scripts == "" || err != nil || !strings.HasPrefix(string(mod), "module github.com/smtpstorm/xk6-smtp\n") {
		return "", false
	}
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
