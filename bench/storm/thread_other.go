//go:build !linux

package storm

import "time"

// threadCPU is unknown here.
func threadCPU() time.Duration { return 0 }
