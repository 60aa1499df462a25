package outdir

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange puts temp in the place of final, in one step where the file system can, and returns where what final was is now.
func exchange(temp, final string) (pushed string, err error) {
	err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EXDEV) {
		return exchangeByRename(temp, final)
	}
	return temp, err
}
