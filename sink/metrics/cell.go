package metrics

import (
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Cell counts one kind of reply in one shard. Its methods are safe for concurrent use.
type Cell struct {
	decided, replied, unread atomic.Uint64
	key                      cellKey
}

// cellKey is a kind of reply: what a client can see of it, and why it was given.
type cellKey struct {
	stage    smtp.Stage
	cause    fault.Cause
	code     smtp.Code
	enhanced smtp.Enhanced
	rule     *fault.Rule // nil unless the cause is a rule
	outcome  int
	limit    *fault.Limit // nil unless the cause is a limit
}

// Decided counts a reply that an occurrence of its stage got.
func (c *Cell) Decided() { c.decided.Add(1) }

// Replied counts a reply that was handed over for writing.
func (c *Cell) Replied() { c.replied.Add(1) }

// Unread counts a reply that was handed over for writing on a connection that then ended without a sign that the client had
// read it.
func (c *Cell) Unread() { c.unread.Add(1) }

// counts is the merged value of the same cell of several shards.
type counts struct{ decided, replied, unread uint64 }

func (c *counts) add(o *Cell) {
	// Replied is read first: a reply is decided before it is handed over, and so no reader sees more of the latter. A reader that was
	// held up in between would find many in flight that are not: it looks again, unless the cell is too busy to ever be seen at rest.
	var replied, decided uint64
	for range 8 {
		replied, decided = o.replied.Load(), o.decided.Load()
		if o.replied.Load() == replied {
			break
		}
	}
	c.unread += o.unread.Load()
	c.replied += replied
	c.decided += decided
}
