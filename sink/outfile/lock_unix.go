//go:build unix && !solaris && !aix

package outfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes an open file for its holder alone; the lock goes with the descriptor, however the process ends. The error says that another one
// has it, or why it can't be had. Where there is no flock it does nothing: nobody may write to one file twice.
func Lock(f *os.File) error {
	return os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)) // #nosec G115 -- a descriptor is a C int
}
