package metrics

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// clients are one shard's part of count.Clients.
type clients struct {
	notSMTP, injections, pregreets, authenticated, badSwitches, longHeaders atomic.Uint64

	mu       sync.Mutex
	examples map[string]struct{}
}

// Client counts what one connection has shown. example is the connection's first bad switch, if there was one.
func (s *Shard) Client(c *count.Clients, example string) {
	o := &s.clients
	o.notSMTP.Add(c.NotSMTP)
	o.injections.Add(c.Injections)
	o.pregreets.Add(c.Pregreets)
	o.authenticated.Add(c.Authenticated)
	o.badSwitches.Add(c.BadSwitches)
	o.longHeaders.Add(c.LongHeaders)
	if example == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.examples == nil {
		o.examples = map[string]struct{}{}
	}
	if len(o.examples) < count.MaxExamples {
		o.examples[example] = struct{}{}
	}
}

func (m *Set) clients() (c count.Clients) {
	examples := map[string]struct{}{}
	for _, s := range m.shards {
		o := &s.clients
		c.NotSMTP += o.notSMTP.Load()
		c.Injections += o.injections.Load()
		c.Pregreets += o.pregreets.Load()
		c.Authenticated += o.authenticated.Load()
		c.BadSwitches += o.badSwitches.Load()
		c.LongHeaders += o.longHeaders.Load()
		o.mu.Lock()
		maps.Copy(examples, o.examples)
		o.mu.Unlock()
	}
	if len(examples) > 0 {
		all := slices.Sorted(maps.Keys(examples))
		c.BadSwitchExamples = all[:min(len(all), count.MaxExamples)]
	}
	return c
}
