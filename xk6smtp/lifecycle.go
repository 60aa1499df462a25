package xk6smtp

import (
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
}

func newConnections() *connections {
	return &connections{open: make(map[client.Socket]struct{})}
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
