package run

import (
	"errors"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// scratchPrefix begins the names of all temporary directories of this program but that of the results.
const scratchPrefix = "smtpstorm-"

// guard clears away what runs that were killed have left, and sees to it that this one leaves nothing, however it ends.
func (r *runner) guard() (err error) {
	for _, place := range mta.ScratchPlaces("") {
		swept, err := supervise.Sweep(place, scratchPrefix)
		if err != nil { // this run can do without
			r.progress.say("what an earlier run left could not all be cleared away: %v", err)
		}
		if n := len(swept); n > 0 {
			r.progress.say("swept    %d %s that a killed run had left in %s", n, plural(n, "directory", "directories"), place)
		}
	}
	if len(r.o.Watchdog) > 0 {
		if r.watchdog, err = supervise.StartWatchdog(r.o.Watchdog); err != nil {
			return err
		}
	}
	if r.scratch, err = r.newScratch("run", supervise.NewScratch); err == nil {
		err = r.watchdog.Watch(r.out.temp)
	}
	if err != nil {
		r.unguard()
	}
	return err
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// unguard removes the scratch directory and ends the watchdog.
func (r *runner) unguard() {
	if r.scratch != nil {
		r.dispose(r.scratch)
	}
	if err := r.watchdog.Close(); err != nil {
		r.progress.say("the watchdog failed: %v", err)
	}
}

// newScratch creates a directory of files that nobody keeps. Processes that are to end with this run get its Environ.
func (r *runner) newScratch(what string, create func(parent, prefix string) (*supervise.Scratch, error)) (*supervise.Scratch, error) {
	s, err := create("", scratchPrefix+what+"-")
	if err != nil {
		return nil, err
	}
	if err := r.watchdog.Watch(s); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// dispose removes a scratch directory, whose processes have ended.
func (r *runner) dispose(s *supervise.Scratch) {
	if err := errors.Join(s.Remove(), r.watchdog.Forget(s)); err != nil {
		r.progress.say("%s could not be cleared away: %v", s.Dir, err)
	}
}
