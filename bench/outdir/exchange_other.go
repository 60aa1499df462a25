//go:build !linux

package outdir

// exchange puts temp in the place of final and returns where what final was is now.
func exchange(temp, final string) (pushed string, err error) { return exchangeByRename(temp, final) }
