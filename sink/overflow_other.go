//go:build !linux

package sink

// listenOverflows is not known here.
func listenOverflows() (n uint64, ok bool) { return 0, false }
