package ledger

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData puts a file's data on disk, and of its metadata only what it takes to read them: the length.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
