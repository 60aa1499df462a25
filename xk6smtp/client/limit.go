package client

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// patience is how long an operation waits for the network before it looks at its context and at its phase's limit. Nearly every
// reply comes sooner, and asking to be told of a context's end and moving a deadline with every command cost more than parsing the
// replies. It delays no limit, and an interruption by no more than this.
const patience = 200 * time.Millisecond

// begin makes ctx bound what follows until end. Both run on the operation's goroutine.
func (c *Conn) begin(ctx context.Context) {
	c.ctx, c.deadline = ctx, false
	// An encrypted write that ran into a deadline can't be taken up again, so that only the last deadline will do.
	if c.tls != nil || ctx.Err() != nil {
		c.watch()
	}
}

// watch has the operation's context interrupt it at once.
func (c *Conn) watch() {
	if c.watched {
		return
	}
	c.watched = true
	if c.ctx.Done() != nil {
		c.unwatch = context.AfterFunc(c.ctx, c.interrupt)
	}
}

// end closes the connection when it can't be used again: after a 421, a reply out of place, a broken write, or an interruption that
// may still be setting the deadline.
func (c *Conn) end() {
	interrupted := c.unwatch != nil && !c.unwatch()
	c.ctx, c.watched, c.unwatch = nil, false, nil
	if interrupted || c.broken != nil || c.astray || c.farewell.Code != 0 {
		c.Close()
	}
}

// arm starts the time limit of a phase.
func (c *Conn) arm(phase smtp.Stage) error {
	now := time.Now() // the kernel's clock, whatever Config.Now says
	c.armed, c.deadline, c.limit = phase, true, time.Time{}
	if limit := c.cfg.Timeouts[phase]; limit > 0 {
		c.limit = now.Add(limit)
	}
	return c.bound(now)
}

// bound gives the socket a deadline: the limit if the operation is watched or the limit is near, and otherwise one that ends the
// patience. That of an earlier command will do as long as half of it is left.
func (c *Conn) bound(now time.Time) error {
	until := c.limit
	if !c.watched {
		early := func(t time.Time) bool { return c.limit.IsZero() || t.Before(c.limit) }
		if early(c.until) && c.until.Sub(now) > patience/2 {
			return nil
		}
		if t := now.Add(patience); early(t) {
			until = t
		}
	}
	c.until = until
	return c.guard.set(until)
}

// resumes reports whether a read or write that failed can go on: its deadline was the end of the patience, not the limit.
func (c *Conn) resumes(err error) bool {
	if c.watched || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.watch()
	now := time.Now()
	return (c.limit.IsZero() || now.Before(c.limit)) && c.bound(now) == nil
}
