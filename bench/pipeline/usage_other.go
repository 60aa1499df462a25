//go:build !unix

package pipeline

import (
	"time"
)

// ProcessCPU is not known here: 0.
func ProcessCPU() time.Duration { return 0 }
