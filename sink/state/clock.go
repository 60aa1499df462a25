package state

import "time"

// clockSlack is how far apart the clocks of event loops may be, in nanoseconds: each takes the time at the beginning of a turn. What was noted at a
// time further ahead was noted before the system's clock was set back.
const clockSlack = int64(2 * time.Second)
