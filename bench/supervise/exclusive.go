package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// BusyError says that somebody else has the scratch directory of a place.
type BusyError struct{ Dir string } // of the other's scratch directory

// Error names the directory.
func (e *BusyError) Error() string { return "another run is writing there, in " + e.Dir }

// exclusivePatience bounds the wait for others who are creating their scratch directories at this moment.
const exclusivePatience = 5 * time.Second

// NewExclusiveScratch is NewScratch for a place that only one may have at a time: the error is a *BusyError when the owner of
// another scratch directory in parent of the same prefix is alive. What dead owners left there is swept.
func NewExclusiveScratch(parent, prefix string) (*Scratch, error) {
	gate, err := os.Open(parent) // #nosec G304 -- the directory in which the caller is about to write
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	// Two at the same moment would not see each other: who looks and creates holds the parent's lock. Where a directory can't be
	// locked (NFS), that moment is left open.
	ctx, cancel := context.WithTimeout(context.Background(), exclusivePatience)
	defer cancel()
	for errors.Is(tryLock(gate), errAlive) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s has been locked by another process for %v", parent, exclusivePatience)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if _, err := Sweep(parent, prefix); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if dir := filepath.Join(parent, entry.Name()); strings.HasPrefix(entry.Name(), prefix) && Alive(dir) {
			return nil, &BusyError{Dir: dir}
		}
	}
	return NewScratch(parent, prefix)
}
