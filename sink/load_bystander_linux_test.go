package sink_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bystanders are well-behaved clients that deliver message after message while others make trouble. What they notice of it is
// reported, and is no reason to fail; that they can't go on is one.
type bystanders struct {
	t      *testing.T
	load   *load
	before []time.Duration // how long each message took, in ascending order
}

// bystanderMessages are delivered before the trouble begins, and at least as many while it lasts.
const bystanderMessages = 400

// newBystanders connects four of them, and has them deliver without trouble.
func newBystanders(t *testing.T, address string) *bystanders {
	t.Helper()
	l, err := newLoad(address, 4)
	if err != nil {
		t.Fatalf("the bystanders: %v", err)
	}
	t.Cleanup(func() { _ = l.close() })
	b := &bystanders{t: t, load: l}
	b.deliver(func() {}) // warms up
	b.before = b.deliver(func() {})
	return b
}

// during has them deliver until trouble returns, and reports what they noticed. It fails the test when one of them gets no reply.
func (b *bystanders) during(trouble func()) {
	b.t.Helper()
	during := b.deliver(trouble)
	calm, then := quantileOf(b.before, 0.99), quantileOf(during, 0.99)
	ratio := float64(then) / float64(max(calm, 1))
	b.t.Logf("bystanders: p99 of a message %v before, %v during the fault (x %.2f), p50 %v and %v, longest %v and %v, %d and %d messages",
		calm, then, ratio, quantileOf(b.before, 0.5), quantileOf(during, 0.5), quantileOf(b.before, 1), quantileOf(during, 1), len(b.before), len(during))
	b.t.Attr("bystander-p99-ratio", fmt.Sprintf("%.2f", ratio))
}

// deliver has all of them deliver until meanwhile has returned, and at least bystanderMessages together. It returns how long each
// message took, in ascending order.
func (b *bystanders) deliver(meanwhile func()) []time.Duration {
	b.t.Helper()
	var over atomic.Bool
	var wg sync.WaitGroup
	took := make([][]time.Duration, len(b.load.conns))
	errs := make([]error, len(b.load.conns))
	for i, c := range b.load.conns {
		if err := c.conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			b.t.Fatal(err)
		}
		wg.Go(func() {
			for errs[i] == nil && (!over.Load() || len(took[i]) < bystanderMessages/len(b.load.conns)) {
				start := time.Now()
				errs[i] = c.message(b.load.sent.Add(1))
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	// Whatever becomes of meanwhile, which may end the test: no client is left behind.
	func() {
		defer func() { over.Store(true); wg.Wait() }()
		meanwhile()
	}()
	var all []time.Duration
	for i, err := range errs {
		if err != nil {
			b.t.Fatalf("bystander %d noticed after %d messages: %v", i, len(took[i]), err)
		}
		all = append(all, took[i]...)
	}
	slices.Sort(all)
	return all
}

// quantileOf returns the q-quantile of what is in ascending order.
func quantileOf(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// hold waits for d: a fault that lasts.
func hold(d time.Duration) { <-time.After(d) }

// memory watches that a server's resident memory stays within its bound.
type memory struct {
	server *serverProcess
	before int64
}

func watchMemory(server *serverProcess) *memory { return &memory{server, server.resident()} }

// expectWithin checks that the memory has grown by no more than bound octets until now. The race detector's shadow memory counts as
// memory: under it the bound is wider.
func (m *memory) expectWithin(bound int64) {
	m.server.t.Helper()
	if raceDetector {
		bound *= 12
	}
	grown := m.server.resident() - m.before
	m.server.t.Logf("memory: %.1f MiB before, grown by %.1f MiB", float64(m.before)/(1<<20), float64(grown)/(1<<20))
	if grown > bound {
		m.server.t.Errorf("the server's memory has grown by %d octets, from %d; want at most %d", grown, m.before, bound)
	}
}
