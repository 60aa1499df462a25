//go:build !unix

package storm

import (
	"time"
)

// processCPU is unknown here.
func processCPU() time.Duration { return 0 }
