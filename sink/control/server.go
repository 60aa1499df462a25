package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// Bounds of what clients can cost. docs/control.md lists them.
const (
	DefaultConnections = 64 // at the same time
	DefaultStreams     = 16 // of events, at the same time

	DefaultBody    = 1 << 20  // octets
	DefaultClaims  = 64 << 20 // octets of a body that is judged
	DefaultBacklog = 1 << 20  // octets of events that wait for one stream

	headerTimeout = 5 * time.Second  // from a request's first octet to the end of its header
	bodyTimeout   = 10 * time.Second // for its body
	writeTimeout  = 10 * time.Second // for each write that a client has to take
	idleTimeout   = time.Minute      // between two requests
	maxHeader     = 16 << 10         // octets
	beat          = 15 * time.Second // between two comments of a stream that has nothing else to say
	closeTimeout  = time.Second      // for the requests that are under way when the server closes
)

// Config is what a Server is told at its start.
type Config struct {
	Sink *sink.Server
	Tail *sink.Tail // an observer of that sink

	Tokens    []Token           // none: whoever connects has the right to everything
	Hosts     []string          // names by which clients may call this server, beside its addresses and localhost
	Ledger    string            // path of the sink's ledger; empty: there is none
	KeepPorts bool              // a plan that would open or close a listener is refused
	Bounds    Bounds            // of what clients can cost
	Say       func(line string) // is told what somebody has changed; nil: nobody
	Warn      func(line string) // is told what looks dangerous; nil: nobody
	Now       func() time.Time  // nil means time.Now
	writeWait time.Duration     // 0 means writeTimeout; shorter in tests
	beatEvery time.Duration     // 0 means beat
}

// Bounds are what clients of the API can cost. 0 means the default of each.
type Bounds struct {
	Connections int // at the same time, of each listener: one that waits makes room for a new one
	Streams     int // of events, at the same time; further ones are refused
	Body        int // octets of a request's body
	Claims      int // octets of claims that are judged
	Backlog     int // octets of events that wait for one stream; then it is cut off
}

// orDefaults fills in the defaults.
func (b Bounds) orDefaults() Bounds {
	return Bounds{
		Connections: cmp.Or(b.Connections, DefaultConnections), Streams: cmp.Or(b.Streams, DefaultStreams), Body: cmp.Or(b.Body, DefaultBody),
		Claims: cmp.Or(b.Claims, DefaultClaims), Backlog: cmp.Or(b.Backlog, DefaultBacklog),
	}
}

// Server answers requests about one sink. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	routes   map[string]map[string]*route // by path and method
	mux      *http.ServeMux               // leads a request to the methods of its path
	sessions sessions
	statsRead
	streams  chan struct{} // a place for each stream
	judging  chan struct{} // a place for the one judgement at a time
	stopping atomic.Bool

	mu      sync.Mutex
	servers []*http.Server
	closed  bool
	quit    context.Context // done when the server closes: streams end
	cancel  context.CancelFunc
}

// New returns a server that serves nobody yet. The error names what is wrong with the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Sink == nil || cfg.Tail == nil {
		return nil, errors.New("control: a sink and a tail that observes it are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Say == nil {
		cfg.Say = func(string) {}
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string) {}
	}
	cfg.Bounds = cfg.Bounds.orDefaults()
	cfg.writeWait = cmp.Or(cfg.writeWait, writeTimeout)
	cfg.beatEvery = cmp.Or(cfg.beatEvery, beat)
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), routes: map[string]map[string]*route{},
		streams: make(chan struct{}, cfg.Bounds.Streams), judging: make(chan struct{}, 1),
	}
	s.quit, s.cancel = context.WithCancel(context.Background())
	for _, r := range s.ownRoutes() {
		s.add(r)
	}
	return s, nil
}

// Serve answers requests of clients that come to the listener, which may be of TCP, TLS or a unix socket, until Close or Shutdown; then
// it returns nil. It closes the listener.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, s.guarded(s.cfg.Hosts)) }

// ServeScraped answers those requests alone that monitoring makes: what was registered as Scraped, /healthz and /readyz. No token is
// asked for, and no host name checked: none of it tells of a peer.
func (s *Server) ServeScraped(l net.Listener) error { return s.serve(l, s.scraped()) }

func (s *Server) serve(l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return s.quit },
		ErrorLog:    log.New(discard{}, "", 0), // of clients that break the protocol or leave
	}
	srv.ConnState = (&connections{limit: s.cfg.Bounds.Connections}).state
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return l.Close()
	}
	s.servers = append(s.servers, srv)
	s.mu.Unlock()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Stop says that the sink is about to end: what would change it is refused from now on, and /readyz says so. Reading goes on until Close.
func (s *Server) Stop() { s.stopping.Store(true) }

// Close ends all streams and lets other requests under way end, for a second at most.
func (s *Server) Close() error {
	s.mu.Lock()
	servers := s.servers
	s.closed, s.servers = true, nil
	s.mu.Unlock()
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var all error
	for _, srv := range servers {
		if err := srv.Shutdown(ctx); err != nil {
			err = srv.Close() // whoever takes so long has had its time
			all = errors.Join(all, err)
		}
	}
	return all
}

// connections bounds the connections of a server: past the limit one that waits for its next request goes, or else the one that comes.
type connections struct {
	limit int

	mu   sync.Mutex
	open map[net.Conn]http.ConnState
}

func (c *connections) state(conn net.Conn, now http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]http.ConnState{}
	}
	switch now {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
		return
	case http.StateNew:
		if len(c.open) >= c.limit {
			victim := conn
			for other, state := range c.open {
				if state == http.StateIdle {
					victim = other
					break
				}
			}
			_ = victim.Close() // its own goroutine tells of the end
			if victim == conn {
				return
			}
			delete(c.open, victim)
		}
	}
	c.open[conn] = now
}
