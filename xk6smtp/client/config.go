package client

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Dialer opens connections. net.Dialer and k6's dialer are Dialers.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolver turns "host:port" into an address and a port, which may differ from the ones asked for. k6's dialer is a Resolver.
type Resolver interface {
	ResolveAddr(address string) (net.IP, int, error)
}

// Observer is told of everything that the client learns about replies, in the order in which it happens, on the goroutine that
// runs the operation.
type Observer interface {
	// Reply is called for every whole, well-formed reply.
	Reply(phase smtp.Stage, code smtp.Code, enhanced smtp.Enhanced)
	// Lost is called for every reply that was awaited and will never come, and once for an operation that failed before it
	// awaited any. It is not called for commands that were pipelined behind one that was answered by 421: that reply says that
	// they get none (RFC 5321 section 3.8). err is not nil; err.Phase is phase.
	Lost(phase smtp.Stage, err *Error)
}

// Timeouts is the longest wait for the reply of each phase, from the first byte of its command, or from the reply before it
// when commands are pipelined. The connect phase covers resolving and dialling, and then once more the greeting. The message
// phase covers writing the body, and then once more its reply. Zero means no limit.
type Timeouts [smtp.NumStages]time.Duration

// AllTimeouts returns the same limit for every phase.
func AllTimeouts(d time.Duration) Timeouts {
	var t Timeouts
	for i := range t {
		t[i] = d
	}
	return t
}

// Config says how to connect and how to speak. It may be shared; it must not change while a Conn uses it.
type Config struct {
	// Address is "host:port".
	Address string
	// LocalName is the argument of EHLO and HELO, "localhost" if empty.
	LocalName string
	// Dialer opens the connection.
	Dialer Dialer
	// Resolver is asked before dialling so that the two are timed apart. Without one the Dialer resolves, and resolving counts
	// as connecting.
	Resolver Resolver
	// TLS says whether and when the connection is encrypted.
	TLS TLSMode
	// TLSConfig is used for handshakes, and never changed; its ServerName is the host of Address if it is empty. Without one the
	// system's roots hold, and TLS 1.2 is the least.
	TLSConfig *tls.Config
	// Credentials are shown by AUTH as soon as the connection stands; nil: no AUTH.
	Credentials *Credentials
	// LMTP speaks LMTP instead (RFC 2033): LHLO, and a reply for each accepted recipient after the body.
	LMTP bool
	// ChunkSize, if not 0, has bodies sent by BDAT in chunks of at most so many octets, instead of by DATA, where the server
	// offers CHUNKING (RFC 3030).
	ChunkSize int
	// ForbidPipelining waits for each reply even if the server offers PIPELINING.
	ForbidPipelining bool
	// Force8Bit has Send send addresses that are not ASCII to servers without SMTPUTF8, and bodies with octets above 127 to servers without
	// 8BITMIME. Otherwise it refuses them with a *MissingExtensionError.
	Force8Bit bool
	// Timeouts bounds every wait.
	Timeouts Timeouts
	// Trace, if not nil, is told of every line of the dialogue as it passes, on the goroutine that runs the operation.
	Trace func(TraceEntry)
	// Now is the clock, time.Now in production: its readings must carry monotonic time.
	Now func() time.Time
}

func (c *Config) localName() string {
	if c.LocalName == "" {
		return "localhost"
	}
	return c.LocalName
}
