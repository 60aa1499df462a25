package sink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/conn"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// Errors of a Server's methods.
var (
	ErrStarted = errors.New("sink: the server was started before")
	ErrClosed  = conn.ErrClosed
)

// The time series: a window per second, at most an hour of them before they are joined.
const (
	windowLength = time.Second
	maxWindows   = 3600
)

// Server is a sink. Its methods are safe for concurrent use.
type Server struct {
	cfg          Config
	kind         DriverKind
	run          string // identifies the run among all
	now          func() time.Time
	active       atomic.Pointer[activePlan]
	store        *state.Store // of attempts and limits
	attempts     *state.Attempts
	limits       *state.Limits
	standings    *state.Standings
	next         *state.Next
	metrics      *metrics.Set
	certificates *certificates
	auth         *sasl.Provider // nil: AUTH is not offered

	changed        chan struct{} // the listeners may have to change
	reopenFailures atomic.Uint64
	overfilled     atomic.Bool // a listener was unaccepted: its queue is full on purpose
	overflowed     uint64      // listenOverflows at the start; set before the driver

	mu         sync.Mutex     // guards what follows
	driver     conn.Driver    // nil before Start
	ledger     *openedLedger  // nil without one, and before Start
	dsn        *notifications // nil without a directory for them, and before Start
	captured   *capture.Store // nil unless messages are captured, and before Start
	phases     phaseNotes
	late       late
	epoch      epoch
	listeners  []*boundListener
	series     *metrics.Series
	start      time.Time
	end        time.Time // when the last connection was gone; zero before
	closed     bool
	quit       chan struct{} // ends the supervisor
	supervised chan struct{} // the supervisor has ended
	stop       chan struct{} // ends the sampler
	done       chan struct{} // the sampler has ended
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
		cfg: cfg, kind: kind, now: cfg.Now, run: rand.Text(),
		store:   state.NewStore(cfg.StateMemory),
		metrics: metrics.NewSet(cfg.Loops, cfg.Bounds.Domains),
		next:    new(state.Next),
		changed: make(chan struct{}, 1),
		epoch:   epoch{number: 1},
	}
	s.attempts, s.limits = state.NewAttempts(s.store), state.NewLimits(s.store)
	s.standings = state.NewStandings(cfg.StandingMemory)
	if s.certificates, err = newCertificates(cfg.Hostname, cfg.TLS.Certificate, cfg.Now); err != nil {
		return nil, fmt.Errorf("sink: cannot make a certificate: %w", err)
	}
	if cfg.Auth.Accounts != nil {
		s.auth = &sasl.Provider{Accounts: cfg.Auth.Accounts, Hostname: cfg.hostname(), Random: rand.Reader}
	}
	s.activate((*activePlan)(nil).after(cfg.Plan, cfg.PlanHash, cfg.PlanText, s.now()))
	return s, nil
}

// activate puts a plan into force.
func (s *Server) activate(f *activePlan) {
	if old := s.active.Load(); f.plan != nil && (old == nil || old.plan != f.plan) {
		s.metrics.Use(f.plan)
	}
	s.standings.Use(s.now(), f.plan)
	s.active.Store(f)
}

// Start listens on all listeners. When it fails nothing listens, and the error wraps the cause (syscall.EADDRINUSE, for instance)
// and names the address, or the ledger's file.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.driver != nil:
		return ErrStarted
	}
	if err := s.openFiles(); err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	if err := s.listen(); err != nil {
		_ = s.closeFiles() // what failed is told already
		s.ledger, s.dsn, s.captured = nil, nil, nil
		return fmt.Errorf("sink: %w", err)
	}
	s.series = metrics.NewSeries(s.start, windowLength, maxWindows)
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go s.sample(s.driver)
	s.quit, s.supervised = make(chan struct{}), make(chan struct{})
	go s.supervise()
	return nil
}

// openFiles opens what the sink writes, if it writes anything: once it is known that it can listen. s.mu is held.
func (s *Server) openFiles() (err error) {
	if !s.cfg.Ledger.wanted() && s.cfg.DSN.Dir == "" && !s.cfg.Capture.wanted() {
		return nil
	}
	if err = tryPorts(s.cfg.listenersFor(s.active.Load().plan)); err != nil {
		return err
	}
	if err = s.openCaptured(); err != nil {
		return err
	}
	if s.dsn, err = openNotifications(&s.cfg.DSN); err == nil && s.cfg.Ledger.wanted() {
		err = s.openLedger()
	}
	if err != nil {
		_ = s.closeFiles() // what failed is told already
		s.dsn, s.captured = nil, nil
	}
	return err
}

// closeFiles closes what openFiles has opened. s.mu is held.
func (s *Server) closeFiles() (err error) {
	if s.dsn != nil {
		err = s.dsn.close()
	}
	if s.captured != nil {
		err = errors.Join(err, s.captured.Close())
	}
	if s.ledger != nil {
		err = errors.Join(err, s.ledger.writer.Close())
	}
	return err
}

// newDriver returns the driver that the server runs on. s.mu is held.
func (s *Server) newDriver() (conn.Driver, error) {
	cfg := conn.Config{
		Loops: s.cfg.Loops, Now: s.now, Connections: s.cfg.Bounds.Connections, WriteTimeout: s.writeTimeout(), MaxHold: s.maxHold(), Metrics: s.metrics, Observer: s.cfg.Observer,
		Env:    session.Env{Plans: s, Attempts: s.attempts, Limits: s.limits, Standings: s.standings, Next: s.next},
		Number: s.attempts.Connection, Certificates: s.certificates.profileOf,
	}
	if s.auth != nil { // a nil of its type would be one that is there
		cfg.Env.Auth = s.auth
	}
	if s.ledger != nil {
		cfg.Ledger = s.ledger.shard
	}
	if s.dsn != nil {
		cfg.Captures, cfg.Env.Captures = s.dsn, s.dsn.room
	}
	if s.captured != nil {
		cfg.Mailbox = s.captured
	}
	if s.kind == DriverNet {
		return conn.NewNet(cfg), nil
	}
	return conn.NewEpoll(cfg)
}

// listen starts the driver and opens the listeners. s.mu is held.
func (s *Server) listen() (err error) {
	if s.driver, err = s.newDriver(); err != nil {
		s.driver = nil
		return err
	}
	s.start = s.now()
	s.overflowed, _ = listenOverflows()
	s.observe(&event.Row{Kind: event.KindStart, Start: s.startRow(s.start)})
	f := s.active.Load()
	for _, l := range s.cfg.listenersFor(f.plan) {
		b := s.bind(l, false, f.plan)
		if err := s.open(b, f.plan); err != nil {
			_ = s.driver.Close()
			s.driver, s.listeners = nil, nil
			return err
		}
		s.listeners = append(s.listeners, b)
	}
	s.apply(s.now())
	return nil
}

// Run identifies this run of the sink among all: its ledger's start row has it.
func (s *Server) Run() string { return s.run }

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

// ListenerInfo is a listener and where it listens.
type ListenerInfo struct {
	Listener
	Addr  net.Addr            // with the real port; what it was, while the listener is refused
	Fault fault.ListenerFault // in force
}

// Listeners returns the listeners of the plan in force; none before Start. Their names are never empty.
func (s *Server) Listeners() []ListenerInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ListenerInfo
	for _, l := range s.listeners {
		info := ListenerInfo{Listener: l.Listener, Addr: l.addr, Fault: l.fault.load()}
		info.Name = l.name
		out = append(out, info)
	}
	return out
}

// sample feeds the time series until the server ends.
func (s *Server) sample(d conn.Driver) {
	defer close(s.done)
	ticker := time.NewTicker(windowLength)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			traffic, _ := d.Counters()
			s.series.Sample(s.now(), s.totals(traffic))
		}
	}
}

func (s *Server) totals(t count.Traffic) *count.Window {
	return s.metrics.Totals(t.Connections, t.BytesIn)
}

// Shutdown ends the server in good order: it closes the listeners, answers the clients that are between transactions with 421, lets
// the transactions in flight end, and returns when all connections have gone. When ctx is done before, the rest is closed at once
// and ctx's error returned. Stats stay readable.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.finish(func(d conn.Driver) error { return d.Shutdown(ctx) })
}

// Close ends the server at once: listeners and connections are closed. Stats stay readable. A Shutdown under way ends, too.
func (s *Server) Close() error {
	return s.finish(conn.Driver.Close)
}

// finish ends the driver, and the sampler once no more connections are there.
func (s *Server) finish(end func(conn.Driver) error) error {
	s.mu.Lock()
	first := !s.closed && s.driver != nil
	s.closed = true
	d := s.driver
	s.mu.Unlock()
	if d == nil {
		return nil
	}
	if first {
		close(s.quit)
	}
	<-s.supervised
	err := end(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.end = s.now()
		close(s.stop)
		stop := event.Row{Kind: event.KindStop, Stop: event.Stop{Time: s.now()}}
		if s.ledger != nil {
			s.ledger.writer.Stop(&stop.Stop)
		}
		s.observe(&stop)
		err = errors.Join(err, s.closeFiles(), s.handBack())
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
