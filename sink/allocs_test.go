//go:build !race

// The race detector makes sync.Pool forget at random, on purpose, and so everything pooled allocates.

package sink_test

import (
	"runtime"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// In the steady state no command and no message allocates: client, driver, session, draws and counters together. What is left are
// the counters of new recipients and the sampling of the time series, which allocate now and then.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	const messages, limit = 2000, 0.5
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, plan := range []struct {
			name  string
			flags fault.Flags
		}{{"calm", fault.Flags{}}, {"bounce-storm", stormFlags}} {
			t.Run("plan="+plan.name, func(t *testing.T) {
				server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithFlags(plan.flags))
				l, err := newLoad(server.Addr("").String(), 4)
				if err != nil {
					t.Fatal(err)
				}
				defer l.close()
				if err := l.run(messages); err != nil { // fills pools and tables
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if err := l.run(messages); err != nil {
					t.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				if perMessage := float64(after.Mallocs-before.Mallocs) / messages; perMessage > limit {
					t.Errorf("%.3f allocations per message, want at most %v", perMessage, limit)
				}
			})
		}
	})
}
