package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/conn"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// DriverKind says what carries the connections.
type DriverKind uint8

// The drivers.
const (
	DriverAuto  DriverKind = iota // epoll where there is epoll, net elsewhere
	DriverEpoll                   // event loops; Linux only
	DriverNet                     // a goroutine per connection
)

var driverNames = [...]string{"auto", "epoll", "net"}

// String returns the driver's name as flags write it.
func (k DriverKind) String() string {
	if int(k) < len(driverNames) {
		return driverNames[k]
	}
	return "unknown"
}

// ParseDriver returns the driver of that name. The error names the valid ones.
func ParseDriver(name string) (DriverKind, error) {
	for i, n := range driverNames {
		if n == name {
			return DriverKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown driver %q (valid: %s)", name, strings.Join(driverNames[:], " "))
}

// resolve replaces DriverAuto by what this system has.
func (k DriverKind) resolve() (DriverKind, error) {
	switch {
	case k == DriverAuto && conn.HaveEpoll:
		return DriverEpoll, nil
	case k == DriverAuto:
		return DriverNet, nil
	case k == DriverEpoll && !conn.HaveEpoll:
		return 0, fmt.Errorf("driver %q needs Linux, and this is %s (valid: net)", k, runtime.GOOS)
	case int(k) >= len(driverNames):
		return 0, fmt.Errorf("unknown driver %d", k)
	}
	return k, nil
}

// Listener is one address to listen on.
type Listener struct {
	Name    string // what rules match; unique. Empty means the address as it is written
	Network string // "tcp" (the default), "tcp4", "tcp6" or "unix"
	Address string // host:port, where port 0 means any free one; the path of a unix socket
	LMTP    bool   // speak LMTP (RFC 2033)

	ImplicitTLS bool // TLS from the first octet on (RFC 8314 section 3.3)
	Proxied     bool // clients come through a proxy, which takes replies that they may never get: see session.Config.Proxied
	DSN         bool // all that comes here is taken for notifications: see DSNConfig

	// Service is how it serves where that is not as Config says for all listeners.
	Service fault.Service

	// Inherited, if not nil, is a TCP socket that another process has bound, to a port of its own, and handed over: systemd, for
	// instance. The server listens on it, as if it had opened it; Address names it. When the server ends, connections wait in the socket's
	// queue for whoever has it then. Linux only. The file stays the caller's, who may close it after the server has ended.
	Inherited *os.File
}

// Local reports whether only this machine can reach the address.
func (l *Listener) Local() bool {
	if l.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// ParseListener parses what a flag says: [name=]host:port or [name=]unix:/path.
func ParseListener(s string) (Listener, error) {
	l := Listener{Network: "tcp", Address: s}
	if name, address, ok := strings.Cut(s, "="); ok {
		if name == "" {
			return Listener{}, fmt.Errorf("invalid listener %q: the name before = is empty", s)
		}
		l.Name, l.Address = name, address
	}
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		l.Network, l.Address = "unix", path
	}
	if err := l.validate(); err != nil {
		return Listener{}, err
	}
	return l, nil
}

// name returns the listener's name, which is its address when it has none.
func (l *Listener) name() string {
	if l.Name == "" {
		return l.Address
	}
	return l.Name
}

func (l *Listener) network() string {
	if l.Network == "" {
		return "tcp"
	}
	return l.Network
}

func (l *Listener) validate() error {
	if field, err := l.Service.Validate(); err != nil {
		return fmt.Errorf("listener %q: %s: %w", l.name(), field, err)
	}
	if l.Inherited != nil && !conn.CanInherit {
		return fmt.Errorf("listener %q: inherited sockets need Linux, and this is %s", l.name(), runtime.GOOS)
	}
	switch l.network() {
	case "tcp", "tcp4", "tcp6":
		_, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			return fmt.Errorf("invalid listener %q (want [name=]host:port or [name=]unix:/path%s)", l.Address, meant(l.Address))
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			return fmt.Errorf("invalid listener %q: port %q is not a number from 0 to 65535 or the name of a service", l.Address, port)
		}
	case "unix":
		if l.Address == "" {
			return errors.New("invalid listener \"unix:\": the path is empty")
		}
	default:
		return fmt.Errorf("unknown network %q of listener %q (valid: tcp tcp4 tcp6 unix)", l.Network, l.Address)
	}
	return nil
}

// meant proposes the listener that a text without a port, or without a host, was probably meant to be.
func meant(address string) string {
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		return ", such as 127.0.0.1:" + address
	}
	if strings.HasPrefix(address, "/") {
		return ", such as unix:" + address
	}
	return ", such as 127.0.0.1:2525"
}

// Config is all that a Server is told at its start. Only Listeners must be set, unless the plan has some.
type Config struct {
	// Listeners are where the sink listens, beside those that the plan declares. One that has the name of a planned one gives it another
	// address.
	Listeners []Listener
	Plan      *fault.Plan // nil: every reply is the plain one
	PlanHash  string      // identifies the plan's text in the ledger
	PlanText  []byte      // of which the plan was made, for Server.PlanInForce; nil: nobody asks for it
	Driver    DriverKind

	// Loops is the number of event loops of the epoll driver; 0 means one. The net driver spreads its counters over as many
	// shards.
	Loops int

	Hostname      string         // in the greeting and the replies to HELO and EHLO; empty means "localhost"
	MaxSize       int64          // octets; 0 means session.DefaultMaxSize, negative no limit
	MaxRecipients int            // per transaction; 0 means session.DefaultMaxRecipients
	Bounds        Bounds         // of what else clients can cost
	MaxDiscard    int64          // octets of a refused BDAT chunk that are read and thrown away; 0 means session.DefaultMaxDiscard
	IdleTimeout   time.Duration  // 0 means session.DefaultIdleTimeout, negative none
	BareLF        session.BareLF // what a CR or LF that stands alone in a body leads to

	// WriteTimeout is how long a client may take no output that is due to it, before its connection is given up: with the net driver
	// whenever the sink writes, with the epoll driver, where a client that does not read stops its own input only, once the
	// connection is to end (by the idle timeout, for instance). 0 means DefaultWriteTimeout.
	WriteTimeout time.Duration

	// MaxHold is how long a fault may hold a connection: silence, a handshake that stalls, a listener that never greets. 0 means
	// session.DefaultMaxHold.
	MaxHold time.Duration

	// Farewell is how long the reply to a QUIT that was pipelined behind a message waits for the client's FIN, which tells that the client
	// has read the reply to the message; see session.Config.Farewell. It is for rows: without a ledger and an observer nothing waits. A
	// client that reads the reply to such a QUIT loses as much with each connection. 0 means DefaultFarewell; below 0, not at all.
	Farewell time.Duration

	TLS     TLSConfig
	Auth    AuthConfig
	Ledger  LedgerConfig
	DSN     DSNConfig
	Capture CaptureConfig

	// NoTriggers leaves addresses and headers that ask for something (fault.AddressTrigger, fault.HeaderSwitch) without effect.
	NoTriggers bool

	// StateMemory bounds the memory of attempt counters, token buckets and greylists together, in octets; 0 means DefaultStateMemory.
	// Each takes StateEntry octets. When it is full the ones that were not used for the longest time are forgotten, and counted.
	StateMemory int64

	// StandingMemory bounds the memory of what reactions of plans know, in octets; 0 means DefaultStandingMemory. A key takes StandingOctets
	// of the reactions that have it. When it is full the keys that were not used for the longest time are forgotten, and counted: first
	// those that have no standing in force.
	StandingMemory int64

	// Now is the clock; nil means time.Now. It must keep pace with real time.
	Now func() time.Time

	// Observer, if not nil, is told what happens, in the rows that a ledger would have. It is called on the goroutines that drive the
	// connections: it must be quick and safe for concurrent use, must not keep the row or its slices, and must not call the server's
	// methods. See Tail and Observers.
	Observer Observer
}

// TLSConfig says when TLS is offered, and by which certificate.
type TLSConfig struct {
	// Offer says whether STARTTLS is announced. Listeners with implicit TLS don't depend on it.
	Offer TLSOffer
	// Require refuses mail until there is TLS: 530 5.7.0 (RFC 3207 section 4).
	Require bool
	// Certificate is shown in handshakes; nil means one that is made at the start, see Server.Authority.
	Certificate *tls.Certificate
}

// TLSOffer says when STARTTLS is offered.
type TLSOffer uint8

// The choices.
const (
	TLSOfferAuto TLSOffer = iota // when the plan has a TLS fault or a condition on TLS, or a certificate is given
	TLSOfferAlways
	TLSOfferNever
)

var tlsOffers = [...]string{"auto", "always", "never"}

// String returns the choice as flags write it.
func (o TLSOffer) String() string {
	if int(o) < len(tlsOffers) {
		return tlsOffers[o]
	}
	return "unknown"
}

// ParseTLSOffer parses a choice. The error names the valid ones.
func ParseTLSOffer(name string) (TLSOffer, error) {
	for i, n := range tlsOffers {
		if n == name {
			return TLSOffer(i), nil
		}
	}
	return 0, fmt.Errorf("unknown choice %q (valid: %s)", name, strings.Join(tlsOffers[:], " "))
}

// AuthConfig says who may authenticate.
type AuthConfig struct {
	Accounts sasl.Accounts // nil: AUTH is not offered
	Require  bool          // refuse mail until the client is authenticated: 530 5.7.0 (RFC 4954 section 6)
	NeedsTLS bool          // announce AUTH only once there is TLS, and refuse it before: 538 5.7.11
}

// Observer is told what happens in a sink.
type Observer = conn.Observer

// Observers tells each of them.
type Observers []Observer

// Row implements Observer.
func (o Observers) Row(row *event.Row) {
	for _, observer := range o {
		observer.Row(row)
	}
}

// maxLoops is what package reactor allows.
const maxLoops = 1024

func (c *Config) validate() error {
	listeners := c.listenersFor(c.Plan)
	if len(listeners) == 0 {
		return errors.New("no listener: name at least one address to listen on")
	}
	if err := c.checkListeners(listeners); err != nil {
		return err
	}
	if err := c.Bounds.validate(); err != nil {
		return err
	}
	switch {
	case c.Loops < 0 || c.Loops > maxLoops:
		return fmt.Errorf("invalid number of loops %d (want 0 to %d)", c.Loops, maxLoops)
	case c.MaxRecipients < 0:
		return fmt.Errorf("invalid number of recipients %d (want 1 or more)", c.MaxRecipients)
	case c.Auth.Accounts == nil && (c.Auth.Require || c.Auth.NeedsTLS):
		return errors.New("authentication is asked for, but there are no accounts")
	case c.TLS.Offer == TLSOfferNever && c.TLS.Require:
		return errors.New("TLS is required, but never offered")
	}
	return nil
}

func (c *Config) checkListeners(listeners []Listener) error {
	names := make(map[string]bool)
	for i := range listeners {
		l := &listeners[i]
		if err := l.validate(); err != nil {
			return err
		}
		if l.DSN && c.DSN.Dir == "" {
			return fmt.Errorf("listener %q is for notifications: name a directory where they are kept", l.name())
		}
		if err := c.checkMechanisms(l); err != nil {
			return err
		}
		// Two listeners on "127.0.0.1:0" get different ports but would share a name.
		if names[l.name()] {
			return fmt.Errorf("two listeners have the name %q: name them apart (name=address)", l.name())
		}
		names[l.name()] = true
	}
	return nil
}

// checkMechanisms refuses a listener that has mechanisms of AUTH which the server doesn't.
func (c *Config) checkMechanisms(l *Listener) error {
	var known []string
	if c.Auth.Accounts != nil {
		for _, m := range sasl.Mechanisms() {
			known = append(known, string(m))
		}
	}
	for _, name := range l.Service.Mechanisms {
		switch {
		case known == nil:
			return fmt.Errorf("listener %q has mechanisms of AUTH, but there are no accounts", l.name())
		case !slices.Contains(known, name):
			return fmt.Errorf("listener %q: unknown mechanism of AUTH %q (valid: %s)", l.name(), name, strings.Join(known, " "))
		}
	}
	return nil
}

// listenersFor returns where to listen under a plan.
func (c *Config) listenersFor(plan *fault.Plan) []Listener {
	out := slices.Clone(c.Listeners)
	for _, planned := range ListenersOf(plan) {
		at := slices.IndexFunc(out, func(l Listener) bool { return l.name() == planned.Name })
		if at < 0 {
			out = append(out, planned)
			continue
		}
		out[at].LMTP, out[at].ImplicitTLS, out[at].Proxied, out[at].DSN = planned.LMTP, planned.ImplicitTLS, planned.Proxied, planned.DSN
		out[at].Service = planned.Service
	}
	return out
}

func (c *Config) hostname() string {
	if c.Hostname == "" {
		return "localhost"
	}
	return c.Hostname
}

// The memory of attempt counters, token buckets and greylists, in octets.
const (
	DefaultStateMemory = state.DefaultMemory // what Config.StateMemory is by default
	StateEntry         = state.EntryOctets   // what each of them takes
)

// DefaultStandingMemory is what Config.StandingMemory is by default, in octets.
const DefaultStandingMemory = state.DefaultStandingMemory

// StandingOctets returns what a key of so many reactions takes of Config.StandingMemory. Its name, once a standing has begun for it, comes
// on top.
func StandingOctets(reactions int) int64 { return state.StandingOctets(reactions) }

// DefaultWriteTimeout is what Config.WriteTimeout is by default.
const DefaultWriteTimeout = 10 * time.Second

func (s *Server) writeTimeout() time.Duration {
	if s.cfg.WriteTimeout <= 0 {
		return DefaultWriteTimeout
	}
	return s.cfg.WriteTimeout
}

func (s *Server) maxHold() time.Duration {
	if s.cfg.MaxHold <= 0 {
		return session.DefaultMaxHold
	}
	return s.cfg.MaxHold
}

// DefaultFarewell is what Config.Farewell is by default.
const DefaultFarewell = 200 * time.Millisecond

func (c *Config) farewell() time.Duration {
	if c.Farewell == 0 {
		return DefaultFarewell
	}
	return max(c.Farewell, 0)
}

// sessionConfig returns what the sessions of a listener have in common under a plan.
func (s *Server) sessionConfig(l *Listener, plan *fault.Plan) *session.Config {
	c := &s.cfg
	cfg := &session.Config{
		Hostname:       c.Hostname,
		MaxSize:        c.MaxSize,
		MaxRecipients:  c.MaxRecipients,
		MaxDiscard:     c.MaxDiscard,
		MaxLine:        c.Bounds.Line,
		MaxHeader:      c.Bounds.Header,
		MaxEnvelope:    c.Bounds.Envelope,
		IdleTimeout:    c.IdleTimeout,
		BareLF:         c.BareLF,
		MaxHold:        c.MaxHold,
		LMTP:           l.LMTP,
		Proxied:        l.Proxied,
		RequireTLS:     c.TLS.Require,
		AuthNeedsTLS:   c.Auth.NeedsTLS,
		RequireAuth:    c.Auth.Require,
		Triggers:       !c.NoTriggers,
		CaptureHeaders: c.Ledger.wanted() || c.Observer != nil || c.Capture.wanted(),
		HashBodies:     c.Ledger.wanted() || c.Observer != nil,
		Commit:         c.Ledger.wanted() && c.Ledger.Durability == event.Ack,
		MaxCommit:      c.Ledger.Timeout,
	}
	cfg.Serve(&l.Service)
	if c.Ledger.wanted() || c.Observer != nil {
		cfg.Farewell = c.farewell()
	}
	switch {
	case l.DSN:
		cfg.Capture = session.CaptureAll
	case c.DSN.Dir != "":
		cfg.Capture = session.CaptureNull
	}
	cfg.TLS = c.tlsMode(l, plan)
	return cfg
}

// tlsMode returns when a listener does TLS under a plan.
func (c *Config) tlsMode(l *Listener, plan *fault.Plan) session.TLSMode {
	switch {
	case l.ImplicitTLS:
		return session.TLSImplicit
	case c.TLS.Offer == TLSOfferAlways, c.TLS.Require,
		c.TLS.Offer == TLSOfferAuto && (c.TLS.Certificate != nil || speaksOfTLS(plan)):
		return session.TLSStart
	}
	return session.TLSNever
}

// Authority returns the certificate, in PEM, that a client has to trust to find nothing wrong with the sink's own, or nil when the sink
// was given a certificate.
func (s *Server) Authority() []byte {
	if s.cfg.TLS.Certificate != nil {
		return nil
	}
	return s.certificates.authorityPEM()
}
