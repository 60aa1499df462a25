package xk6smtp

import (
	"bytes"
	"context"
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
	at       time.Time // of the first delivery; zero before
	attempts int       // per recipient
	code     smtp.Code // of the last attempt
}

// deliveries is the Observer of an embedded sink. A message is known by its X-Storm-Id, and by its ENVID or sender.
type deliveries struct {
	mu      sync.Mutex
	known   *recent[delivery]
	waiting map[string][]chan struct{} // closed at the delivery
}

func newDeliveries() *deliveries {
	return &deliveries{known: newRecent[delivery](), waiting: make(map[string][]chan struct{})}
}

// Attempt implements sink.Observer.
func (d *deliveries) Attempt(a *session.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := bytes.TrimSpace(a.StormID)
	d.note(string(id), a)
	if !bytes.Equal(id, a.Token) {
		d.note(string(a.Token), a)
	}
}

func (d *deliveries) note(token string, a *session.Attempt) {
	if token == "" {
		return
	}
	known, _ := d.known.get(token)
	known.attempts++
	known.code = a.Code
	if a.Delivered && known.at.IsZero() {
		known.at = a.End
		for _, done := range d.waiting[token] {
			close(done)
		}
		delete(d.waiting, token)
	}
	d.known.put(token, known)
}

// wait returns when a message was delivered, or with what is known of it and the context's error.
func (d *deliveries) wait(ctx context.Context, token string) (delivery, error) {
	d.mu.Lock()
	known, _ := d.known.get(token)
	if !known.at.IsZero() {
		d.mu.Unlock()
		return known, nil
	}
	done := make(chan struct{})
	d.waiting[token] = append(d.waiting[token], done)
	d.mu.Unlock()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known, _ = d.known.get(token)
	if !known.at.IsZero() {
		return known, nil
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
	return known, err
}
