package relay

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// result is what became of one recipient.
type result struct {
	recipient
	outcome
	expired bool
}

// recordAttempt notes what became of an attempt to deliver a message, and says when the next one is due. Here the lies are told that need a
// reply.
func (r *Relay) recordAttempt(id uint64, outcomes []outcome, hungUp bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killed {
		return // nobody is left to note it
	}
	m, now := r.spool.messages[id], time.Now()
	m.tries++
	m.hangUp = m.hangUp && !hungUp
	var sent, failed, waiting []result
	for i, o := range outcomes {
		one := result{recipient: m.recipients[i], outcome: o}
		switch o.class() {
		case 2:
			sent = append(sent, one)
		case 5:
			failed = append(failed, one)
		default:
			waiting = append(waiting, one)
		}
	}
	if len(failed) > 0 && r.lies.strike(m, refused) == RetryRefused {
		waiting, failed = append(waiting, failed...), nil
	}
	r.logResults(m, "sent", sent)
	r.logResults(m, "bounced", failed)
	if len(sent) > 0 {
		r.sent(m, sent, now)
	}
	switch {
	case m.lie == WithholdDSN:
	case m.lie == DoubleDSN:
		r.notify(m, "failed", failed)
		r.notify(m, "failed", failed)
	default:
		r.notify(m, "failed", failed)
	}
	m.recipients = nil
	for i := range waiting {
		m.recipients = append(m.recipients, waiting[i].recipient)
	}
	if len(waiting) > 0 && r.again(m, waiting, now) {
		return
	}
	r.queue.Done(id)
	delete(r.spool.messages, id)
	r.look() // there is room at its destination
}

// sent does what a delivery is the occasion for.
func (r *Relay) sent(m *message, sent []result, now time.Time) {
	r.notify(m, "relayed", sent)
	due := now
	switch r.lies.strike(m, delivered) {
	case ForgeDSN:
		for i := range sent {
			sent[i].outcome = outcome{}
			sent[i].Code, sent[i].Text = 550, "no such user"
		}
		r.notify(m, "failed", sent)
		return
	case DuplicateLate:
		due = now.Add(r.cfg.Late)
	case Duplicate:
	default:
		return
	}
	c := copyOf(m)
	c.recipients = c.recipients[:0]
	for i := range sent {
		c.recipients = append(c.recipients, sent[i].recipient)
	}
	r.spool.add(c)
	r.enqueue(c, due)
}

// again has the message tried again. It reports false when its time is over, which its sender is told.
func (r *Relay) again(m *message, waiting []result, now time.Time) bool {
	if _, expired := r.queue.Defer(m.id, now); expired {
		for i := range waiting {
			waiting[i].expired = true
		}
		r.logResults(m, "expired", waiting)
		r.notify(m, "failed", waiting)
		return false
	}
	r.logResults(m, "deferred", waiting)
	if waiting[0].Code.Class() == 4 && waiting[0].Phase != smtp.StageConnect && r.lies.strike(m, deferred) == RetrySoon {
		r.queue.Flush(m.id)
	}
	r.look()
	return true
}
