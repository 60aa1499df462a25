package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// Errors of a Server's methods.
var (
	ErrStarted = errors.New("sink: the server was started before")
	ErrClosed  = errors.New("sink: the server was closed")
)

// The time series: a window per second, at most an hour of them before they are joined.
const (
	windowLength = time.Second
	maxWindows   = 3600
)

// Server is a sink. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	kind     DriverKind
	now      func() time.Time
	plan     atomic.Pointer[fault.Plan]
	attempts *state.Attempts
	metrics  *metrics.Set

	mu        sync.Mutex // guards what follows
	driver    driver     // nil before Start
	listeners []*boundListener
	series    *metrics.Series
	start     time.Time
	end       time.Time // when the last connection was gone; zero before
	closed    bool
	stop      chan struct{} // ends the sampler
	done      chan struct{} // the sampler has ended
}

// driver carries connections. All its methods are safe for concurrent use.
type driver interface {
	// listen opens a listener; connections may arrive before it returns.
	listen(l *boundListener) (net.Addr, error)
	// shutdown closes the listeners, tells every session, and waits until all connections have gone or ctx is done; then it
	// closes. The error is ctx's when connections were left.
	shutdown(ctx context.Context) error
	// close ends everything at once and returns when all goroutines have ended.
	close() error
	// counters may be called at any time, also after close.
	counters() DriverCounters
}

// boundListener is a listener as its connections need it.
type boundListener struct {
	Listener
	name    string
	session *session.Config
	addr    net.Addr // set by Start
}

// New returns a server that does not listen yet. The error names what is wrong with the configuration.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	kind, err := cfg.Driver.resolve()
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Loops = max(cfg.Loops, 1)
	s := &Server{
		cfg: cfg, kind: kind, now: cfg.Now,
		attempts: state.NewAttempts(cfg.MaxCounters),
		metrics:  metrics.NewSet(cfg.Loops),
	}
	s.Swap(cfg.Plan)
	return s, nil
}

// Current implements session.Plans.
func (s *Server) Current(now time.Time) *fault.View {
	p := s.plan.Load()
	if p == nil {
		return nil
	}
	return p.View(now, time.Time{})
}

// Swap puts another plan into force; nil means none. Transactions that are under way keep the plan that they began with, and the
// attempt counters go on.
func (s *Server) Swap(plan *fault.Plan) {
	if plan != nil && plan != s.plan.Load() {
		s.metrics.Use(plan)
	}
	s.plan.Store(plan)
}

// Start listens on all listeners. When it fails nothing listens, and the error wraps the cause (syscall.EADDRINUSE, for instance)
// and names the address.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.driver != nil:
		return ErrStarted
	}
	d, err := s.newDriver()
	if err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	s.start = s.now()
	bound := make([]*boundListener, len(s.cfg.Listeners))
	for i := range s.cfg.Listeners {
		l := &s.cfg.Listeners[i]
		bound[i] = &boundListener{Listener: *l, name: l.name(), session: s.cfg.sessionConfig(l)}
		if bound[i].addr, err = d.listen(bound[i]); err != nil {
			_ = d.close()
			return fmt.Errorf("sink: cannot listen on %s: %w", l.Address, rootCause(err))
		}
	}
	s.driver, s.listeners = d, bound
	s.series = metrics.NewSeries(s.start, windowLength, maxWindows)
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go s.sample(d)
	return nil
}

// Addr returns the address on which the named listener listens: with the real port, when any free one was asked for. The empty
// name means the first listener. It is nil before Start and for an unknown name.
func (s *Server) Addr(listener string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if listener == "" || l.name == listener {
			return l.addr
		}
	}
	return nil
}

// sample feeds the time series until the server ends.
func (s *Server) sample(d driver) {
	defer close(s.done)
	ticker := time.NewTicker(windowLength)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			s.series.Sample(s.now(), s.totals(d.counters()))
		}
	}
}

func (s *Server) totals(c DriverCounters) metrics.Totals {
	return s.metrics.Totals(c.Accepted, c.BytesIn)
}

// Shutdown ends the server in good order: it closes the listeners, answers the clients that are between transactions with 421, lets
// the transactions in flight end, and returns when all connections have gone. When ctx is done before, the rest is closed at once
// and ctx's error returned. Stats stay readable.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.finish(func(d driver) error { return d.shutdown(ctx) })
}

// Close ends the server at once: listeners and connections are closed. Stats stay readable. A Shutdown under way ends, too.
func (s *Server) Close() error {
	return s.finish(driver.close)
}

// finish ends the driver, and the sampler once no more connections are there.
func (s *Server) finish(end func(driver) error) error {
	s.mu.Lock()
	s.closed = true
	d := s.driver
	s.mu.Unlock()
	if d == nil {
		return nil
	}
	err := end(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.end = s.now()
		close(s.stop)
	}
	<-s.done
	return err
}

// rootCause returns the innermost error: "address already in use" without the operation and address around it, which Start names
// once, in the same words for both drivers.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
