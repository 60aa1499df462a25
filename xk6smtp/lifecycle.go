package xk6smtp

import (
	"runtime"
	"sync"

	"go.k6.io/k6/v2/js/common"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// The types of k6's global events that begin and end a run. They belong to an internal package of k6 and can only be named by number;
// TestEventTypes holds them to their meaning. TestEnd comes when no VU runs any more, Exit also when the run failed to start.
const (
	eventInit    = 1
	eventTestEnd = 3
	eventExit    = 6
)

// connections is every open connection of the process. A connection outlives the iteration that opened it, and k6 tells no
// module when a VU ends. It keeps no client alive.
type connections struct {
	mu   sync.Mutex
	open map[client.Socket]struct{}

	ofIterations int  // of clients that iterations made: most of these are forgotten, and open until that is found out
	collectAt    int  // how many of these there are when it is to be found out
	collecting   bool // somebody finds it out
}

// forgettable is how many more connections of clients that iterations made may be open than the last collection has left, before
// the next one: the collector itself looks at memory alone, and of that a connection takes little.
const forgettable = 128

func newConnections() *connections {
	return &connections{open: make(map[client.Socket]struct{}), collectAt: forgettable}
}

// made notes an open connection of a client that an iteration made. If there are many by now, those that nobody can reach are closed.
func (c *connections) made() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ofIterations++; c.ofIterations < c.collectAt || c.collecting {
		return
	}
	c.collecting = true
	go func() {
		runtime.GC() // it hands over what is forgotten, see smtpClient.hold; unmade comes soon after
		c.mu.Lock()
		defer c.mu.Unlock()
		c.collecting = false
		c.collectAt = c.ofIterations + forgettable
	}()
}

// unmade notes that such a connection is closed.
func (c *connections) unmade() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ofIterations--
	c.collectAt = min(c.collectAt, c.ofIterations+forgettable)
}

func (c *connections) add(s client.Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[s] = struct{}{}
}

func (c *connections) remove(s client.Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, s)
}

// closeAll closes every connection without QUIT: its reply could not be counted any more.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.open {
		s.Close()
	}
	clear(c.open)
}

// events is the subscription to begin and end of the run, one for all VUs.
type events struct {
	mu         sync.Mutex
	subscribed any // the event system; another run in the same process has another one
}

// told reports whether somebody will be told of the end.
func (e *events) told() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.subscribed != nil
}

// subscribe has begin before the run, end when it ends, and exit when k6 is about to exit, once for all VUs. A runtime without events has nothing that
// could be told.
func (e *events) subscribe(of common.Events, begin, end, exit func()) {
	if of.Global == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.subscribed == any(of.Global) {
		return
	}
	e.subscribed = of.Global
	id, news := of.Global.Subscribe(eventInit, eventTestEnd, eventExit)
	go func() {
		for event := range news {
			if event.Type == eventInit {
				begin()
				event.Done()
				continue
			}
			end()
			last := event.Type == eventExit
			if last {
				exit()
			}
			event.Done()
			if last {
				of.Global.Unsubscribe(id)
			}
		}
	}()
}
