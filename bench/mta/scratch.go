package mta

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// scratchRandom is how much longer than parent, separator and prefix a scratch directory's name may be (os.MkdirTemp).
const scratchRandom = 12

// ScratchPlaces are the directories in which NewScratch creates one, the preferred first: supervise.Sweep clears them.
func ScratchPlaces(parent string) []string {
	if parent == "" {
		parent = os.TempDir()
	}
	var places []string
	for _, dir := range []string{parent, "/var/tmp", "/tmp"} {
		if abs, err := filepath.Abs(dir); err == nil && !slices.Contains(places, abs) {
			places = append(places, abs)
		}
	}
	return places
}

// NewScratch creates a scratch directory for an instance in parent (empty: where temporary files go). If its path would be too long
// for the sockets of an MTA, or if not every user could reach it, which the daemons of some MTAs must, it lies in /var/tmp or /tmp
// instead. Every user may enter it. The directory of Options is best one below it, since an MTA's user may own that.
func NewScratch(parent, prefix string) (*supervise.Scratch, error) {
	var failed error
	for _, abs := range ScratchPlaces(parent) {
		if len(abs)+1+len(prefix)+scratchRandom > maxDir || enterable(abs) != nil {
			continue
		}
		s, err := supervise.NewScratch(abs, prefix)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := os.Chmod(s.Dir, 0o755); err != nil { // #nosec G302 -- daemons of an MTA run as its own user, and have to enter
			return nil, errors.Join(err, s.Remove())
		}
		return s, nil
	}
	return nil, errors.Join(errors.New("no directory for temporary files has a short path that all users can reach"), failed)
}
