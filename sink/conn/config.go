package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// ErrClosed is what a connection ended by that Driver.Close has cut off.
var ErrClosed = errors.New("sink: the server was closed")

// Config is all that a driver is told. All but Ledger, Captures, Mailbox and Observer is needed.
type Config struct {
	Loops        int // event loops of the epoll driver; over as many shards of Metrics the net driver spreads its connections
	Now          func() time.Time
	Connections  int           // the most at the same time, whatever carries them; those beyond wait in the kernel's queue. 0: as many as come
	WriteTimeout time.Duration // how long a client may take no output that is due to it
	MaxHold      time.Duration // how long a client is held that is never greeted

	// Env is what the sessions share. Recorder and Scratch are the driver's to set.
	Env session.Env
	// Number counts a connection of a client that was accepted, and returns its ordinal.
	Number func(client netip.Addr) uint64
	// Certificates returns what a TLS handshake is done with, with this fault and by these versions.
	Certificates func(f fault.TLSFault, v fault.TLSVersions) (*tls.Config, error)

	Metrics  *metrics.Set
	Ledger   func(shard int) *LedgerShard // nil: there is no ledger
	Captures Keeper                       // nil: no notification is captured
	Mailbox  Mailbox                      // nil: no message is kept
	Observer Observer                     // nil: nobody
}

// Driver carries connections. All its methods are safe for concurrent use.
type Driver interface {
	// Listen opens a listener's sockets; connections may arrive before it returns. receiveBuffer is that of the connections; 0 leaves it
	// to the kernel.
	Listen(l Listener, at Place, receiveBuffer int) (Socket, error)
	// Shutdown closes the listeners (an inherited socket goes on to listen for whoever has it, too), tells every session, and waits until all connections have gone or ctx is done; then it
	// closes. The error is ctx's when connections were left.
	Shutdown(ctx context.Context) error
	// Close ends everything at once and returns when all goroutines have ended.
	Close() error
	// Counters may be called at any time, also after Close.
	Counters() (count.Traffic, count.Net)
}

// Place is where a listener listens.
type Place struct {
	Network, Address string
	// Inherited, if not nil, is a TCP socket that was bound by somebody else, who may have it still; Network and Address only name it.
	// Linux only. It stays the caller's.
	Inherited *os.File
}

// NewNet returns the driver that has a goroutine per connection.
func NewNet(cfg Config) Driver { return newNetDriver(&cfg, newRooms(cfg.Connections)) }

// Listener is what connections need to know of where they came in. Its methods are called by the goroutines that accept.
type Listener interface {
	ListenerName() string
	SessionConfig() *session.Config // of the connections to come
	Ungreeting() bool               // connections are accepted and never greeted
}

// numberOf counts a connection that was accepted, and returns its client's ordinal: 0 where a PROXY header says whose it is, and the session
// counts it.
func numberOf(cfg *Config, l Listener, client netip.Addr) uint64 {
	if l.SessionConfig().Service.ProxyProtocol && !l.Ungreeting() {
		return 0
	}
	return cfg.Number(client)
}

// Socket is a listener's sockets, as a driver has them. Its methods are called by one goroutine at a time.
type Socket interface {
	Addr() net.Addr
	SetAccepting(accepting bool)
	SetReceiveBuffer(octets int)
	Close() // what comes is refused, on an inherited socket, too
}

// Keeper keeps messages that sessions capture. It is safe for concurrent use.
type Keeper interface {
	// Keep keeps a message, and then calls who.Committed.
	Keep(ticket uint64, m *session.Captured, who Committer)
	// Forget forgets who waits no longer: its connection is gone, or has lost its patience.
	Forget(who Committer)
}

// Committer is a connection that waits for what it has told to be where it lasts.
type Committer interface {
	// Committed may be called on any goroutine, and does not block.
	Committed(ticket uint64, err error)
}

// Observer is told of connections, messages, transactions, attempts, and of replies that clients may not know. The rows of one connection
// come in order, and that of an attempt comes once, when its fate is known.
type Observer interface{ Row(row *event.Row) }
