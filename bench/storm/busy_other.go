//go:build !linux

package storm

import "time"

// loadAverage is unknown here.
func loadAverage() float64 { return 0 }

// machineCPU is unknown here.
func machineCPU() time.Duration { return 0 }
