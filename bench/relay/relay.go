// Package relay is a small queueing relay for tests of those who judge relays: it takes messages by SMTP, delivers each to one next hop
// with an exact retry policy (package queue), notifies senders of failures (RFC 3461, RFC 3464), lists its queue and logs what it does.
// It is truthful, or it lies on purpose, each lie an exact number of times.
//
// It leaves out what a real relay needs beyond that: routing, TLS, AUTH, notifications of delays, and a spool on disk.
package relay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	smtpserver "github.com/emersion/go-smtp"

	"github.com/smtpstorm/xk6-smtp/bench/queue"
)

// Config says how a relay works.
type Config struct {
	Listen     string // address to take messages at, such as 127.0.0.1:0
	NextHop    string // host:port that every message goes to
	ReturnPath string // host:port that notifications go to; empty: NextHop
	Hostname   string // "relay.test" if empty
	Policy     queue.Policy
	// Timeout bounds the wait for each reply of the next hop; 0: 5 minutes (RFC 5321 section 4.5.3.2).
	Timeout time.Duration
	// Seed decides jitter, and whom the lies strike.
	Seed uint64
	Lies []Lie
	// Late is how long after its delivery a message is delivered again by DuplicateLate; 0: 6 s.
	Late time.Duration
	// Spool is what a relay that was killed has left; nil: nothing.
	Spool *Spool
	// Log gets a JSON line for each event, in the form of mta.jsonl; nil: none is written.
	Log io.Writer
}

// Relay is a relay that runs. Its methods may be called from any goroutine.
type Relay struct {
	cfg      Config
	server   *smtpserver.Server
	listener net.Listener
	ctx      context.Context // of deliveries; it ends by Kill
	cancel   context.CancelFunc
	wake     chan struct{} // something may be due sooner
	quit     chan struct{} // closed when it stops
	work     sync.WaitGroup

	mu      sync.Mutex
	queue   *queue.Queue
	spool   *Spool
	lies    *lies
	alone   map[Kind]*message // waits for one to be swapped with
	before  string            // first recipient of the message that was accepted last
	stopped bool
	killed  bool
	logErr  error
}

// Start starts a relay. What is in the spool is due at once.
func Start(cfg Config) (*Relay, error) {
	cfg.Hostname = cmp.Or(cfg.Hostname, "relay.test")
	cfg.ReturnPath = cmp.Or(cfg.ReturnPath, cfg.NextHop)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Minute)
	cfg.Late = cmp.Or(cfg.Late, 6*time.Second)
	if cfg.Spool == nil {
		cfg.Spool = &Spool{}
	}
	r := &Relay{cfg: cfg, spool: cfg.Spool, wake: make(chan struct{}, 1), quit: make(chan struct{}), alone: map[Kind]*message{}}
	var err error
	if r.queue, err = queue.New(cfg.Policy, cfg.Seed); err != nil {
		return nil, err
	}
	if r.lies, err = newLies(cfg.Lies, cfg.Seed); err != nil {
		return nil, err
	}
	if r.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r.server = r.newServer()
	r.ctx, r.cancel = context.WithCancel(context.Background())
	now := time.Now()
	for _, id := range slices.Sorted(maps.Keys(r.spool.messages)) {
		r.enqueue(r.spool.messages[id], now)
	}
	r.work.Go(func() { _ = r.server.Serve(r.listener) }) // it ends when the relay does
	r.work.Go(r.dispatch)
	return r, nil
}

// Addr returns the address at which the relay takes messages.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Close takes no more messages, lets the deliveries that are under way come to their end, and stops. The spool keeps the rest. Its error
// is that of the log.
func (r *Relay) Close() error {
	r.stop(false)
	return r.logErr
}

// Kill stops the relay as SIGKILL does: connections end where they are, and what was not yet noted in the spool is forgotten, replies
// that were read among it.
func (r *Relay) Kill() { r.stop(true) }

func (r *Relay) stop(kill bool) {
	r.mu.Lock()
	first := !r.stopped
	r.stopped, r.killed = true, r.killed || kill
	r.mu.Unlock()
	if first {
		close(r.quit)
	}
	if kill {
		r.cancel()
	}
	_ = r.server.Close()   // of no consequence: connections and listener are gone by then
	_ = r.listener.Close() // which the server doesn't know of, if it had no time to begin
	r.work.Wait()
	r.cancel()
}

// enqueue has a message of the spool delivered, first at a time of its own. It is called with the lock held, or before there is a need.
func (r *Relay) enqueue(m *message, due time.Time) {
	r.queue.Add(m.id, m.hop, m.arrived, due)
	r.look()
}

// look has the queue looked at.
func (r *Relay) look() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// dispatch starts deliveries when they are due.
func (r *Relay) dispatch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.quit:
			return
		case <-r.wake:
		case <-timer.C:
		}
		r.mu.Lock()
		for !r.stopped {
			e, ok := r.queue.Take(time.Now())
			if !ok {
				break
			}
			m := *r.spool.messages[e.ID] // as it is now
			r.work.Go(func() {
				outcomes, hungUp := r.deliver(&m)
				r.recordAttempt(m.id, outcomes, hungUp)
			})
		}
		if due, ok := r.queue.Next(); ok {
			timer.Reset(time.Until(due))
		}
		r.mu.Unlock()
	}
}
