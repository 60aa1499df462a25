package xk6smtp

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxRecent is how many messages an embedded sink remembers: the latest ones.
const maxRecent = 200_000

// recent is a map that forgets what was put into it first once it is full. The zero value is not ready.
type recent[V any] struct {
	values map[string]V
	order  []string // a ring once it is full
	oldest int
}

func newRecent[V any]() *recent[V] { return &recent[V]{values: make(map[string]V)} }

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) put(key string, value V) {
	if _, ok := r.values[key]; !ok {
		if len(r.order) < maxRecent {
			r.order = append(r.order, key)
		} else {
			delete(r.values, r.order[r.oldest])
			r.order[r.oldest] = key
			r.oldest = (r.oldest + 1) % maxRecent
		}
	}
	r.values[key] = value
}

// delivery is what a sink knows of one message.
type delivery struct {
	at         time.Time // of the first delivery; zero before
	attempts   int       // RCPT commands
	deliveries int       // those of them that ended in one
	code       smtp.Code // of the last attempt
	last       time.Time // when that one's fate was known
	sampled    bool      // smtp_delivery_duration has it
}

// add counts an attempt.
func (d *delivery) add(code smtp.Code, end time.Time) {
	d.attempts++
	if !end.Before(d.last) {
		d.code, d.last = code, end
	}
}

// deliveries is the Observer of an embedded sink. A message is known by its X-Storm-Id, and by its ENVID or sender. An attempt that ended
// before the header came shows no X-Storm-Id: it belongs to the message whose header comes in the same transaction, or else to the next
// one from the same sender to the same recipient.
type deliveries struct {
	mu      sync.Mutex
	known   *recent[delivery]
	early   *earlyAttempts
	waiting map[string][]chan struct{} // closed at the delivery
	stopped chan struct{}              // closed when the sink was stopped
	once    sync.Once
}

func newDeliveries() *deliveries {
	return &deliveries{
		known: newRecent[delivery](), early: newEarlyAttempts(maxRecent), waiting: make(map[string][]chan struct{}), stopped: make(chan struct{}),
	}
}

// stop ends all waiting: nothing more is delivered. It may be called more than once.
func (d *deliveries) stop() { d.once.Do(func() { close(d.stopped) }) }

// Attempt implements sink.Observer.
func (d *deliveries) Attempt(a *session.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, token := stormID(a.StormID), string(a.Token)
	switch {
	case id == "" && a.Message > 0 && len(a.Recipient) > 0:
		d.early.add(&earlyAttempt{
			pair: envelopePair{string(a.Sender), string(a.Recipient)}, transaction: transactionID{a.Conn, a.Message},
			token: token, code: a.Code, time: a.Time, end: a.End,
		})
	case id != "":
		d.claim(id, a)
		d.note(id, a)
	}
	if id != token {
		d.note(token, a)
	}
}

// claim gives a message the attempts that ended before its header came.
func (d *deliveries) claim(id string, a *session.Attempt) {
	claimed := d.early.take(envelopePair{string(a.Sender), string(a.Recipient)}, transactionID{a.Conn, a.Message})
	if len(claimed) == 0 {
		return
	}
	known, _ := d.known.get(id)
	for _, e := range claimed {
		if e.token != id { // otherwise it counts already
			known.add(e.code, e.end)
		}
	}
	d.known.put(id, known)
}

func (d *deliveries) note(token string, a *session.Attempt) {
	if token == "" {
		return
	}
	known, _ := d.known.get(token)
	known.add(a.Code, a.End)
	if a.Delivered {
		known.deliveries++
		if known.at.IsZero() {
			known.at = a.End
			for _, done := range d.waiting[token] {
				close(done)
			}
			delete(d.waiting, token)
		}
	}
	d.known.put(token, known)
}

// errSinkStopped is the end of waiting for a sink that takes no mail any more.
var errSinkStopped = errors.New("the sink was stopped")

// wait returns when a message was delivered, or why it waits no longer: the context's error, or errSinkStopped.
func (d *deliveries) wait(ctx context.Context, token string) error {
	d.mu.Lock()
	if known, _ := d.known.get(token); !known.at.IsZero() {
		d.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	d.waiting[token] = append(d.waiting[token], done)
	d.mu.Unlock()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-d.stopped:
		err = errSinkStopped
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, _ := d.known.get(token); !known.at.IsZero() {
		return nil
	}
	list := d.waiting[token]
	for i, c := range list {
		if c == done {
			d.waiting[token] = append(list[:i:i], list[i+1:]...)
		}
	}
	if len(d.waiting[token]) == 0 {
		delete(d.waiting, token)
	}
	return err
}

// clockSlack is how far a sink's clock, which is read once a turn, may lag behind that of a client.
const clockSlack = 10 * time.Millisecond

// of returns what is known of a message. If this process sent it, attempts count that no header has claimed so far: those with the envelope
// that it was sent with, since then.
func (d *deliveries) of(token string, sent *sending) delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, _ := d.known.get(token)
	if sent == nil {
		return known
	}
	for _, to := range sent.to {
		for _, e := range d.early.of(envelopePair{sent.from, to}) {
			if e.token != token && !e.time.Before(sent.at.Add(-clockSlack)) {
				known.add(e.code, e.end)
			}
		}
	}
	return known
}

// sample reports, once for each message, that its delivery is to be counted.
func (d *deliveries) sample(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.known.get(token)
	if !ok || known.sampled {
		return false
	}
	known.sampled = true
	d.known.put(token, known)
	return true
}

// stormID is the value of a header field X-Storm-Id without folding and the blanks around it (RFC 5322 section 2.2.3).
func stormID(value []byte) string {
	if bytes.IndexByte(value, '\n') >= 0 {
		value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r"), nil), []byte("\n"), nil)
	}
	return string(bytes.TrimSpace(value))
}
