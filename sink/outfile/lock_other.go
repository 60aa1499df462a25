//go:build !unix || solaris || aix

package outfile

import "os"

// Lock does nothing here: nobody may write to one file twice.
func Lock(*os.File) error { return nil }
