package metrics

import (
	"sync/atomic"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Cell counts one kind of reply in one shard. Its methods are safe for concurrent use.
type Cell struct {
	decided, replied, unread, struck atomic.Uint64
	key                              cellKey
}

// cellKey is a kind of reply: what a client can see of it, and why it was given. It holds no pointer, so that what a plan has left
// behind doesn't keep the plan, and a plan that is loaded again goes on with its counts.
type cellKey struct {
	stage    smtp.Stage
	cause    fault.Cause
	code     smtp.Code
	enhanced smtp.Enhanced
	rule     fault.RuleID // zero unless the cause is a rule
	outcome  int
	by       string // name of the rule, limit or reaction; count.Other when it was folded; empty for other causes
	fault    string // what is done besides the reply and its delay
}

// kind returns what is told apart of the replies of a group of cells.
func (k *cellKey) kind(g group) count.Kind {
	cause := k.cause.String()
	if k.by != "" {
		cause += ":" + k.by
	}
	return count.Kind{Listener: g.listener, Phase: g.phase, Stage: k.stage, Code: k.code, Enhanced: k.enhanced, Cause: cause, Fault: k.fault}
}

// Decided counts a reply that an occurrence of its stage got.
func (c *Cell) Decided() { c.decided.Add(1) }

// Replied counts a reply that was handed over for writing.
func (c *Cell) Replied() { c.replied.Add(1) }

// Unread counts n replies that were handed over for writing on a connection that then ended without a sign that the client had
// read them.
func (c *Cell) Unread(n uint64) { c.unread.Add(n) }

// Struck counts a fault of the decision that happened and that no reply carries.
func (c *Cell) Struck() { c.struck.Add(1) }

// idle reports whether the cell has counted nothing.
func (c *Cell) idle() bool {
	return c.decided.Load() == 0 && c.replied.Load() == 0 && c.unread.Load() == 0 && c.struck.Load() == 0
}

// move adds what the cell has counted to another, and empties it.
func (c *Cell) move(to *Cell) {
	to.unread.Add(c.unread.Swap(0))
	to.struck.Add(c.struck.Swap(0))
	replied := c.replied.Swap(0) // first, as in counts.add
	to.decided.Add(c.decided.Swap(0))
	to.replied.Add(replied)
}

// counts is the merged value of the same cell of several shards.
type counts struct{ decided, replied, unread, struck uint64 }

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
	c.struck += o.struck.Load()
	c.replied += replied
	c.decided += decided
}

func (c counts) plus(o counts) counts {
	return counts{c.decided + o.decided, c.replied + o.replied, c.unread + o.unread, c.struck + o.struck}
}
