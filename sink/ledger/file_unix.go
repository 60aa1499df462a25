//go:build unix && !solaris && !aix

package ledger

import "os"

// syncFolder puts a new file's name on disk, as far as the file system lets it.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil { // #nosec G304 -- the folder of the ledger that the user named; only synced
		_ = folder.Sync() // some file systems can't sync folders, and need not
		_ = folder.Close()
	}
}
