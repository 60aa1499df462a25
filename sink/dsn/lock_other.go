//go:build !unix || solaris || aix

package dsn

import "os"

// lock does nothing here: nobody may keep notifications in a directory twice.
func lock(*os.File) error { return nil }
