//go:build !unix || solaris || aix

package ledger

// syncFolder does nothing here.
func syncFolder(string) {}
