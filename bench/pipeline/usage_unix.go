//go:build unix

package pipeline

import (
	"syscall"
	"time"
)

// ProcessCPU returns the CPU time that this process has used so far; 0 where it is not known.
func ProcessCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
