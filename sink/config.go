package sink

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
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
	case k == DriverAuto && haveEpoll:
		return DriverEpoll, nil
	case k == DriverAuto:
		return DriverNet, nil
	case k == DriverEpoll && !haveEpoll:
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
	switch l.network() {
	case "tcp", "tcp4", "tcp6":
		_, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			return fmt.Errorf("invalid listener %q (want [name=]host:port or [name=]unix:/path)", l.Address)
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

// Config is all that a Server is told at its start. Only Listeners must be set.
type Config struct {
	Listeners []Listener
	Plan      *fault.Plan // nil: every reply is the plain one
	Driver    DriverKind

	// Loops is the number of event loops of the epoll driver; 0 means one. The net driver spreads its counters over as many
	// shards.
	Loops int

	Hostname      string         // in the greeting and the replies to HELO and EHLO; empty means "localhost"
	MaxSize       int64          // octets; 0 means session.DefaultMaxSize, negative no limit
	MaxRecipients int            // per transaction; 0 means session.DefaultMaxRecipients
	MaxDiscard    int64          // octets of a refused BDAT chunk that are read and thrown away; 0 means session.DefaultMaxDiscard
	IdleTimeout   time.Duration  // 0 means session.DefaultIdleTimeout, negative none
	BareLF        session.BareLF // what a CR or LF that stands alone in a body leads to

	// MaxCounters caps the distinct keys of each table of attempt counters; 0 means state.DefaultMaxEntries.
	MaxCounters int

	// Now is the clock; nil means time.Now. It must keep pace with real time.
	Now func() time.Time

	// Observer, if not nil, is told of each attempt when its fate is known. It is called on the goroutines that drive the
	// connections: it must be quick and safe for concurrent use, and must not keep the slices of the attempt.
	Observer Observer
}

// Observer is told what became of RCPT commands, one by one.
type Observer interface{ Attempt(a *session.Attempt) }

// maxLoops is what package reactor allows.
const maxLoops = 1024

func (c *Config) validate() error {
	if len(c.Listeners) == 0 {
		return errors.New("no listener: name at least one address to listen on")
	}
	names := make(map[string]bool)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if err := l.validate(); err != nil {
			return err
		}
		// Two listeners on "127.0.0.1:0" get different ports but would share a name.
		if names[l.name()] {
			return fmt.Errorf("two listeners have the name %q: name them apart (name=address)", l.name())
		}
		names[l.name()] = true
	}
	if c.Loops < 0 || c.Loops > maxLoops {
		return fmt.Errorf("invalid number of loops %d (want 0 to %d)", c.Loops, maxLoops)
	}
	if c.MaxRecipients < 0 {
		return fmt.Errorf("invalid number of recipients %d (want 1 or more)", c.MaxRecipients)
	}
	return nil
}

// sessionConfig returns what the sessions of a listener have in common.
func (c *Config) sessionConfig(l *Listener) *session.Config {
	return &session.Config{
		Hostname:      c.Hostname,
		MaxSize:       c.MaxSize,
		MaxRecipients: c.MaxRecipients,
		MaxDiscard:    c.MaxDiscard,
		IdleTimeout:   c.IdleTimeout,
		BareLF:        c.BareLF,
		LMTP:          l.LMTP,
	}
}
