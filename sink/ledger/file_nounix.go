//go:build !unix || solaris || aix

package ledger

import "os"

// lock does nothing here: nobody may open a ledger twice.
func lock(*os.File) error { return nil }

// syncFolder does nothing here.
func syncFolder(string) {}
