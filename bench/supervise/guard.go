package supervise

import "errors"

// Guard sees to it that a program's scratch directories, and the processes that belong to them, go with it, however it ends. Its methods
// are for one goroutine.
type Guard struct {
	prefix   string
	say      func(format string, args ...any)
	watchdog *Watchdog // nil: nobody clears away what a killed program leaves, until the next one does
}

// NewGuard clears away what killed programs have left in places under names that begin with prefix, and starts the watchdog by its command, if there
// is one. What can't be cleared away is said, and is no error.
func NewGuard(watchdog []string, places []string, prefix string, say func(format string, args ...any)) (*Guard, error) {
	g := &Guard{prefix: prefix, say: say}
	for _, place := range places {
		swept, err := Sweep(place, prefix)
		if err != nil { // this run can do without
			say("what an earlier run left could not all be cleared away: %v", err)
		}
		if n := len(swept); n > 0 {
			directories := "directories"
			if n == 1 {
				directories = "directory"
			}
			say("swept    %d %s that a killed run had left in %s", n, directories, place)
		}
	}
	var err error
	if len(watchdog) > 0 {
		g.watchdog, err = StartWatchdog(watchdog)
	}
	return g, err
}

// Close ends the watchdog; what it still knows of is cleared away.
func (g *Guard) Close() {
	if err := g.watchdog.Close(); err != nil {
		g.say("the watchdog failed: %v", err)
	}
}

// Watch has a directory cleared away, too, that New did not make.
func (g *Guard) Watch(s *Scratch) error { return g.watchdog.Watch(s) }

// New makes a directory of files that nobody keeps, by NewScratch or a function like it. Processes that are to end with this program get
// its Environ.
func (g *Guard) New(what string, create func(parent, prefix string) (*Scratch, error)) (*Scratch, error) {
	s, err := create("", g.prefix+what+"-")
	if err != nil {
		return nil, err
	}
	if err := g.watchdog.Watch(s); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// Dispose removes a directory of New, whose processes have ended.
func (g *Guard) Dispose(s *Scratch) {
	if err := errors.Join(s.Remove(), g.watchdog.Forget(s)); err != nil {
		g.say("%s could not be cleared away: %v", s.Dir, err)
	}
}
