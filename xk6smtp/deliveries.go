package xk6smtp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The bounds of what one judge of an embedded sink keeps. Two of them know the latest messages: at least maxUnits recipients.
const (
	maxUnits  = 100_000
	maxEvents = 1_000_000
)

// deliveries is the Observer of an embedded sink. What became of a message says package reconcile's judge, by what this process claims to have sent and
// by what the sink saw; what others send to the sink is adopted.
type deliveries struct {
	mu      sync.Mutex
	judges  []*witness                 // the newest last, at most two
	waiting map[string][]chan struct{} // by the message's token, "" while nobody knows the message; closed at a delivery
	stopped chan struct{}              // closed when the sink was stopped
	once    sync.Once
}

// witness is a judge, and how much it was told.
type witness struct {
	judge  *reconcile.Judge
	rows   *reconcile.Ledger
	events int
}

func newDeliveries() *deliveries {
	d := &deliveries{waiting: make(map[string][]chan struct{}), stopped: make(chan struct{})}
	d.call()
	return d
}

// call calls another judge, and dismisses the oldest of three. A message that both know the older one knows better.
func (d *deliveries) call() {
	w := &witness{judge: reconcile.New(reconcile.Options{Adopt: true, Delivered: d.wake})}
	w.rows = w.judge.Ledger()
	if d.judges = append(d.judges, w); len(d.judges) > 2 {
		d.judges = d.judges[1:]
	}
}

func (d *deliveries) newest() *witness { return d.judges[len(d.judges)-1] }

// stop ends all waiting: nothing more is delivered. It may be called more than once.
func (d *deliveries) stop() { d.once.Do(func() { close(d.stopped) }) }

// Row implements sink.Observer.
func (d *deliveries) Row(row *event.Row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.judges {
		w.events++
		_ = w.rows.Row(row) // it gives no error
	}
	d.relieve()
}

// claim takes a claim: before any row of its message, and again when its reply is known.
func (d *deliveries) claim(c *reconcile.Claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.judges {
		if w == d.newest() || w.judge.Provisional(c.Token, func(*reconcile.Unit) {}) {
			_ = w.judge.Claim(c) // a judge is replaced long before it has too much
		}
	}
	d.relieve()
}

// relieve calls another judge when the newest one has enough to remember.
func (d *deliveries) relieve() {
	if w := d.newest(); w.judge.Units() >= maxUnits || w.events >= maxEvents {
		d.call()
	}
}

// wake has those look again who wait for a message, or for one that nobody knew. d.mu is held.
func (d *deliveries) wake(token []byte) {
	for _, key := range [...]string{string(token), ""} {
		for _, delivered := range d.waiting[key] {
			close(delivered)
		}
		delete(d.waiting, key)
	}
}

// errSinkStopped is the end of waiting for a sink that takes no mail any more.
var errSinkStopped = errors.New("the sink was stopped")

// wait returns when a message was delivered to any of its recipients, or why it waits no longer: the context's error, or errSinkStopped. fate is what is
// known then.
func (d *deliveries) wait(ctx context.Context, id string) (fate messageFate, err error) {
	for {
		d.mu.Lock()
		if fate = d.of(id); fate.deliveries > 0 || err != nil {
			d.mu.Unlock()
			if fate.deliveries > 0 {
				err = nil
			}
			return fate, err
		}
		delivered := make(chan struct{})
		d.waiting[fate.token] = append(d.waiting[fate.token], delivered)
		d.mu.Unlock()
		select {
		case <-delivered:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-d.stopped:
			err = errSinkStopped
		}
		d.stopWaiting(fate.token, delivered)
	}
}

// stopWaiting takes back who waits no longer.
func (d *deliveries) stopWaiting(token string, delivered chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.waiting[token]
	for i, c := range list {
		if c == delivered {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if d.waiting[token] = list; len(list) == 0 {
		delete(d.waiting, token)
	}
}

// messageFate is what is known of a message.
type messageFate struct {
	token      string    // empty: nothing
	at         time.Time // of the first delivery; zero before
	attempts   int       // RCPT commands
	deliveries int
	code       smtp.Code // of the last attempt
	recipients []recipientFate
}

// recipientFate is the judge's word on one recipient, as scripts see it.
type recipientFate struct {
	Address    string `js:"address"`
	Fate       string `js:"fate"`
	Attempts   int    `js:"attempts"`
	Deliveries int    `js:"deliveries"`
}

// of returns what is known of the message that an identity names: its X-Storm-Id, ENVID, sender or Message-ID. d.mu is held.
func (d *deliveries) of(id string) (f messageFate) {
	var last time.Time
	for _, w := range d.judges {
		if w.judge.Provisional(id, func(u *reconcile.Unit) { f.add(u, &last) }) {
			break
		}
	}
	return f
}

// add adds a recipient; last is when the last attempt was so far.
func (f *messageFate) add(u *reconcile.Unit, last *time.Time) {
	r := recipientFate{Address: string(u.Recipient), Fate: u.Fate.String(), Attempts: len(u.Attempts)}
	for _, copied := range u.Deliveries {
		if copied.Dropped {
			continue
		}
		r.Deliveries++
		if f.at.IsZero() || copied.Time.Before(f.at) {
			f.at = copied.Time
		}
	}
	if n := len(u.Attempts); n > 0 && !u.Attempts[n-1].Before(*last) {
		*last, f.code = u.Attempts[n-1], u.LastCode
	}
	f.token = string(u.Token)
	f.attempts += r.Attempts
	f.deliveries += r.Deliveries
	f.recipients = append(f.recipients, r)
}
