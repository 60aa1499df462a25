//go:build unix && !solaris && !aix

package dsn

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the file for this process; the lock goes with the descriptor, however the process ends.
func lock(f *os.File) error {
	return os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}
