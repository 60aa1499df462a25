//go:build unix

package pipeline

import (
	"syscall"
	"time"
)

// usage returns the CPU time that this process has used so far.
func usage() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
