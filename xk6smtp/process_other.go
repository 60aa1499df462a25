//go:build !unix

package xk6smtp

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// process is what the k6 process used: on this system only how long the run took.
func process(wall time.Duration) *result.Process {
	return &result.Process{WallSeconds: wall.Seconds()}
}
