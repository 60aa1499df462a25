//go:build unix

package xk6smtp

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// process is what the k6 process used since it started; the wall time is the run's.
func process(wall time.Duration) *result.Process {
	p := &result.Process{WallSeconds: wall.Seconds()}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return p
	}
	p.CPUSeconds = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	p.MaxRSSBytes = int64(usage.Maxrss)
	if runtime.GOOS != "darwin" && runtime.GOOS != "ios" {
		p.MaxRSSBytes <<= 10 // everywhere else the unit is KiB
	}
	return p
}
