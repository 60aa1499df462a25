package storm

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// scratchPrefix begins the names of temporary directories.
const scratchPrefix = "smtpstorm-"

// guard sees to it that a run leaves nothing, however it ends.
type guard struct {
	watchdog  *supervise.Watchdog
	scratches []*supervise.Scratch
}

// newGuard clears away what killed runs have left, and starts the watchdog.
func newGuard(p *progress, watchdog []string) (g *guard, err error) {
	for _, place := range mta.ScratchPlaces("") {
		if _, err := supervise.Sweep(place, scratchPrefix); err != nil { // this run can do without
			p.say("what an earlier run left could not all be cleared away: %v", err)
		}
	}
	g = &guard{}
	if len(watchdog) > 0 {
		g.watchdog, err = supervise.StartWatchdog(watchdog)
	}
	return g, err
}

// scratch makes a directory of files that nobody keeps, in which an MTA may live.
func (g *guard) scratch(what string) (*supervise.Scratch, error) {
	s, err := mta.NewScratch("", scratchPrefix+what+"-")
	if err != nil {
		return nil, err
	}
	g.scratches = append(g.scratches, s)
	return s, g.watchdog.Watch(s)
}

// results makes the directory in which results are written, beside where they shall go. Its owner is the only one who writes there.
func (g *guard) results(final string) (*supervise.Scratch, error) {
	s, err := supervise.NewExclusiveScratch(filepath.Dir(final), "."+filepath.Base(final)+"-")
	var busy *supervise.BusyError
	if errors.As(err, &busy) {
		return nil, inputErrorf("--out %s: %v", final, busy)
	}
	if err != nil {
		return nil, inputErrorf("--out %s: it can't be written: %v", final, reason(err))
	}
	if err := errors.Join(os.Chmod(s.Dir, 0o755), g.watchdog.Watch(s)); err != nil { // #nosec G302 -- results are for others to read
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// close removes what nobody keeps, whose processes have ended.
func (g *guard) close() (err error) {
	for _, s := range g.scratches {
		err = errors.Join(err, s.Remove(), g.watchdog.Forget(s))
	}
	return errors.Join(err, g.watchdog.Close())
}
