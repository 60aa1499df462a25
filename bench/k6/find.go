package k6

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
)

// Find returns the path of the k6 binary: the given one, or the first that exists beside this program or in ./bin.
func Find(given, program string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", input.Errorf("k6 binary %s can't be run (%v): build it with: make build", given, input.Reason(err))
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
	return "", input.Errorf("k6 with the smtp extension is missing (looked for %s): build it with: make build, or name it with --k6", strings.Join(places, " and "))
}
