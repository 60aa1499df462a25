package metrics

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// ClientCounts says what clients did that no reply's count tells. It is counted when a connection ends.
type ClientCounts struct {
	NotSMTP       uint64 `json:"not_smtp,omitempty"`      // connections that were closed since the client spoke another protocol
	Injections    uint64 `json:"injections,omitempty"`    // STARTTLS commands with plaintext behind them, which was thrown away (RFC 3207 section 6)
	Authenticated uint64 `json:"authenticated,omitempty"` // connections whose client logged in by AUTH
	BadSwitches   uint64 `json:"bad_switches,omitempty"`  // address triggers and header switches that could not be read
	LongHeaders   uint64 `json:"long_headers,omitempty"`  // messages whose header was longer than what is looked at, when headers are looked at
	// BadSwitchExamples are the first bad switches of connections, as they were written, ordered; at most MaxExamples different ones.
	BadSwitchExamples []string `json:"bad_switch_examples,omitempty"`
}

// MaxExamples is how many different bad switches are kept.
const MaxExamples = 8

// clients are one shard's part of ClientCounts.
type clients struct {
	notSMTP, injections, authenticated, badSwitches, longHeaders atomic.Uint64

	mu       sync.Mutex
	examples map[string]struct{}
}

// Client counts what one connection has shown. example is the connection's first bad switch, if there was one.
func (s *Shard) Client(c *ClientCounts, example string) {
	o := &s.clients
	o.notSMTP.Add(c.NotSMTP)
	o.injections.Add(c.Injections)
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
	if len(o.examples) < MaxExamples {
		o.examples[example] = struct{}{}
	}
}

func (m *Set) clients() (c ClientCounts) {
	examples := map[string]struct{}{}
	for _, s := range m.shards {
		o := &s.clients
		c.NotSMTP += o.notSMTP.Load()
		c.Injections += o.injections.Load()
		c.Authenticated += o.authenticated.Load()
		c.BadSwitches += o.badSwitches.Load()
		c.LongHeaders += o.longHeaders.Load()
		o.mu.Lock()
		maps.Copy(examples, o.examples)
		o.mu.Unlock()
	}
	if len(examples) > 0 {
		all := slices.Sorted(maps.Keys(examples))
		c.BadSwitchExamples = all[:min(len(all), MaxExamples)]
	}
	return c
}
