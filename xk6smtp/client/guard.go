package client

import (
	"net"
	"sync"
	"time"
)

// guard owns the deadline of a connection. An interruption wins over every deadline that is set after it: without that, a
// context that ends between two phases would be forgotten by the next phase's deadline.
type guard struct {
	mu          sync.Mutex
	conn        net.Conn
	interrupted bool
}

var longAgo = time.Unix(1, 0)

// set bounds reads and writes until t; the zero time means no bound.
func (g *guard) set(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.interrupted {
		t = longAgo
	}
	return g.conn.SetDeadline(t)
}

// interrupt ends the read or write that is under way and every later one.
func (g *guard) interrupt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.interrupted = true
	// The connection may be closed already, and then nothing is left to interrupt.
	_ = g.conn.SetDeadline(longAgo)
}
