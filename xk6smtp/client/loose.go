package client

import (
	"context"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Octets and replies apart, for dialogues that no command line describes: a PROXY header, half a body, a pipeline of one's own.

// Write sends octets as they are and reads nothing. The replies that they bring are the caller's to Read, all of them before the next call that
// reads a reply of its own. What they do to the connection's state is the caller's business, too; the next Send begins with RSET.
func (c *Conn) Write(ctx context.Context, octets []byte) error {
	if c.closed.Load() {
		return c.refuse(smtp.StageUnknown)
	}
	c.begin(ctx)
	defer c.end()
	c.traceOctets(octets)
	c.loose = true
	c.transaction = c.transaction || !c.ungreeted
	c.began = c.cfg.Now()
	c.await(smtp.StageUnknown)
	if err := c.write(octets); err != nil {
		return err
	}
	if c.broken != nil {
		return c.fail(c.broken)
	}
	c.readAt = c.cfg.Now()
	c.awaited = c.awaited[:len(c.awaited)-1]
	return nil
}

// Read reads one reply and counts it for a phase; the first one on a connection of Dial is the greeting's.
func (c *Conn) Read(ctx context.Context, phase smtp.Stage) (Reply, error) {
	if c.ungreeted {
		phase = smtp.StageConnect
	}
	if c.closed.Load() {
		return Reply{}, c.refuse(phase)
	}
	c.begin(ctx)
	defer c.end()
	c.began = c.cfg.Now()
	c.await(phase)
	c.ungreeted = false
	reply, err := c.reply()
	if err != nil {
		return Reply{}, err
	}
	return reply, nil
}

// RepliesRead says that the replies to all that Write has written were read: from now on every reply belongs to a command. The connection must be Usable.
func (c *Conn) RepliesRead() { c.loose = false }

// Loose reports whether replies may wait, or be on their way, that Write has brought.
func (c *Conn) Loose() bool { return c.loose || c.ungreeted }
