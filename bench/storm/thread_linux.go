package storm

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU returns the CPU time that this thread has used so far.
func threadCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
