package storm

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// disturbance is how far what a storm does to sender and sink is.
type disturbance struct {
	killed, cut, back bool
	incidents         []reconcile.Incident
}

// killShare is the share of all messages after whose delivery within the storm the sender is killed: enough are then under way.
const killShare = 0.3

// disturb kills the sender, or cuts the sink off, when it is time.
func (c *cell) disturb(ctx context.Context, now time.Time) error {
	d, b := &c.disturbance, &c.storm.beyond
	if b.kill && !d.killed && now.After(c.begin) && now.Before(c.end) {
		if delivered, _, _, _ := c.hop.seen.so(); float64(delivered) >= killShare*float64(c.o.Messages) {
			d.killed = true
			c.progress.Say("%-8s killed while it delivers, with %d in its queue", c.agent.Name(), c.watch.depth())
			if err := c.incident("kill", "mta", c.agent.Kill); err != nil {
				return err
			}
			return c.agent.Start(ctx)
		}
	}
	if b.cut > 0 && !d.cut && now.After(c.begin.Add(b.cut)) {
		d.cut = true
		c.progress.Say("%-8s the next hop is cut off for %v", c.agent.Name(), b.away)
		return c.incident("kill", "sink", c.hop.cut)
	}
	if d.cut && !d.back && now.After(c.begin.Add(b.cut+b.away)) {
		d.back = true
		return c.incident("restart", "sink", c.hop.again)
	}
	return nil
}

// incident does something to a part of the harness, and notes when it was done: a sender that is being killed may still get a reply.
func (c *cell) incident(what, who string, do func() error) error {
	err := do()
	c.disturbance.incidents = append(c.disturbance.incidents, reconcile.Incident{Time: time.Now(), What: what, Who: who})
	return err
}

// keepIncidents writes what was done.
func (d *disturbance) keepIncidents(path string) error {
	if len(d.incidents) == 0 {
		return nil
	}
	var lines []byte
	for _, i := range d.incidents {
		lines = i.Append(lines)
	}
	return os.WriteFile(path, lines, 0o644) // #nosec G306 -- results are for others to read
}

var errNotDisturbed = errors.New("the storm ended before the sender could be killed while it delivered: no share of the messages came through in time")
