package session

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Defaults of Config.
const (
	DefaultMaxSize       = 50 << 20        // octets
	DefaultMaxRecipients = 1000            // RFC 5321 section 4.5.3.1.8 asks for at least 100
	DefaultMaxDiscard    = 64 << 20        // octets
	DefaultIdleTimeout   = 5 * time.Minute // RFC 5321 section 4.5.3.2.7
	DefaultMaxHold       = 10 * time.Minute
	DefaultMaxCommit     = time.Minute // far below the ten minutes that clients wait (RFC 5321 section 4.5.3.2.6)
	DefaultMaxHeader     = 64 << 10    // octets
	DefaultMaxEnvelope   = 64 << 20    // octets: half a million common addresses
)

// Config is what the sessions of a listener have in common. It must not be changed while a session uses it.
type Config struct {
	// Hostname is the name in the greeting and in the replies to HELO and EHLO. Empty means "localhost".
	Hostname string

	// MaxSize is the largest message in octets, as SIZE announces it (RFC 1870). 0 means DefaultMaxSize; a negative value
	// means no limit, which SIZE announces as 0.
	MaxSize int64

	// MaxRecipients is how many recipients one transaction may have; the others are refused with 452 4.5.3. 0 means
	// DefaultMaxRecipients.
	MaxRecipients int

	// MaxDiscard is how many octets of a refused BDAT chunk are read and thrown away; a larger one is answered with 421. 0 means
	// DefaultMaxDiscard.
	MaxDiscard int64

	// MaxLine is how many octets a command line may have, CRLF included; MAIL and RCPT may have smtp.MaxEnvelopeLine, AUTH and its answers
	// smtp.MaxAuthLine, if that is more. 0 means smtp.MaxCommandLine, which is the least; smtp.MaxAuthLine is the most.
	MaxLine int

	// MaxHeader is how many octets of a message's header rules, triggers and rows know. Fields that do not end within are as if absent. 0
	// means DefaultMaxHeader.
	MaxHeader int

	// MaxEnvelope bounds the memory that a transaction keeps of its envelope, in octets, whatever MaxRecipients is: RCPT is refused with 452
	// 4.5.3 then. 0 means DefaultMaxEnvelope; 1 GiB is the most.
	MaxEnvelope int

	// IdleTimeout is how long a client may be silent before 421 4.4.2. 0 means DefaultIdleTimeout; a negative value, never.
	// A planned delay of a reply does not count.
	IdleTimeout time.Duration

	// BareLF says what a CR or LF that stands alone in the body of DATA leads to.
	BareLF BareLF

	// MaxHold is how long a fault may hold a connection: silence, a half-closed connection, a body that is not read on, a TLS
	// handshake that stalls. Then the session closes it. 0 means DefaultMaxHold.
	MaxHold time.Duration

	// LMTP makes the listener speak LMTP (RFC 2033): LHLO, and a reply per recipient after the body.
	LMTP bool

	// TLS says whether the driver can do handshakes, and when.
	TLS TLSMode

	// RequireTLS refuses what RFC 3207 section 4 allows to refuse until there is TLS: 530 5.7.0.
	RequireTLS bool

	// AuthNeedsTLS announces AUTH only once there is TLS, and refuses it before with 538 5.7.11.
	AuthNeedsTLS bool

	// RequireAuth refuses mail until the client is authenticated: 530 5.7.0 (RFC 4954 section 6).
	RequireAuth bool

	// Triggers lets recipients' addresses and messages' headers ask for replies and delays; see fault.AddressTrigger and
	// fault.HeaderSwitch.
	Triggers bool

	// CaptureHeaders gives Attempt.StormID and Attempt.MessageID, which costs a copy of each message's header.
	CaptureHeaders bool

	// HashBodies gives the hash of each message's body in the Recorder's Message, which costs a look at the body.
	HashBodies bool

	// Capture says which messages are captured whole: see EffectCapture.
	Capture Capture

	// Proxied says that clients come through a proxy, whose kernel acknowledges output that they may never get: only the octets of a
	// body then show that a client knows the replies before.
	Proxied bool

	// Farewell is how long the reply to a QUIT waits for the client's FIN if that QUIT came before the client can have read the reply to its
	// message. Such a client may close as soon as it has read the latter. If the reply to QUIT is there by then, its kernel sends a reset
	// as it does for a client that has read nothing; if it is not, a FIN, which tells. 0: not at all.
	Farewell time.Duration

	// Commit holds each positive reply after a body back until its rows are on disk: see EffectCommit. When they can't be put
	// there, the reply is 451 4.3.0.
	Commit bool

	// Service is how the listener serves beside that: what it says of sizes and idle clients is put into MaxSize and IdleTimeout by Serve.
	Service fault.Service

	// MaxCommit is how long a reply waits for its rows. Then it is 451 4.3.0, too: a disk that hangs must not hold connections. 0
	// means DefaultMaxCommit.
	MaxCommit time.Duration
}

// Serve makes the sessions of a listener serve as it says.
func (c *Config) Serve(s *fault.Service) {
	c.Service = *s
	if s.MaxSize != 0 {
		c.MaxSize = s.MaxSize
	}
	if s.IdleTimeout != 0 {
		c.IdleTimeout = s.IdleTimeout
	}
}

// TLSMode says when a listener does TLS.
type TLSMode uint8

// The modes.
const (
	TLSNever    TLSMode = iota // STARTTLS is not offered
	TLSStart                   // STARTTLS is announced (RFC 3207)
	TLSImplicit                // from the first octet on (RFC 8314 section 3.3)
)

// String returns "never", "starttls" or "implicit".
func (m TLSMode) String() string {
	switch m {
	case TLSNever:
		return "never"
	case TLSStart:
		return "starttls"
	case TLSImplicit:
		return "implicit"
	}
	return "unknown"
}

// TLSInfo is what is known of a TLS connection after its handshake.
type TLSInfo struct {
	Version string // such as "TLS 1.3"
	Number  fault.TLSVersion
	Channel Channel // what authentication may be bound to; nil: nothing
}

// Channel is a TLS connection as authentication is bound to it (RFC 5056).
type Channel interface {
	// Binding returns the data of a type of channel binding, such as "tls-exporter"; nil: the connection has none of that type.
	Binding(kind string) []byte
}

// BareLF is the policy for a CR or LF that stands alone in the body of DATA. Neither ever ends the body.
type BareLF uint8

// The policies.
const (
	BareLFReject BareLF = iota // 554 5.6.0 after the final dot
	BareLFAccept               // part of the body like any other octet
)

// String returns "reject" or "accept".
func (b BareLF) String() string {
	if b == BareLFAccept {
		return "accept"
	}
	return "reject"
}

// ParseBareLF parses "reject" or "accept".
func ParseBareLF(name string) (BareLF, error) {
	switch name {
	case "reject":
		return BareLFReject, nil
	case "accept":
		return BareLFAccept, nil
	}
	return 0, fmt.Errorf("unknown bare LF policy %q (valid: reject accept)", name)
}

func (c *Config) hostname() string {
	if c.Hostname == "" {
		return "localhost"
	}
	return c.Hostname
}

// maxSize returns the limit in octets; 0 means none.
func (c *Config) maxSize() int64 {
	switch {
	case c.MaxSize == 0:
		return DefaultMaxSize
	case c.MaxSize < 0:
		return 0
	}
	return c.MaxSize
}

func (c *Config) maxRecipients() int {
	if c.MaxRecipients <= 0 {
		return DefaultMaxRecipients
	}
	return c.MaxRecipients
}

func (c *Config) maxLine() int {
	if c.MaxLine <= 0 {
		return smtp.MaxCommandLine
	}
	return c.MaxLine
}

func (c *Config) maxHeader() int {
	if c.MaxHeader <= 0 {
		return DefaultMaxHeader
	}
	return c.MaxHeader
}

func (c *Config) maxEnvelope() int {
	if c.MaxEnvelope <= 0 {
		return DefaultMaxEnvelope
	}
	return c.MaxEnvelope
}

func (c *Config) maxDiscard() int64 {
	if c.MaxDiscard <= 0 {
		return DefaultMaxDiscard
	}
	return c.MaxDiscard
}

// idleTimeout returns 0 when there is none.
func (c *Config) idleTimeout() time.Duration {
	switch {
	case c.IdleTimeout == 0:
		return DefaultIdleTimeout
	case c.IdleTimeout < 0:
		return 0
	}
	return c.IdleTimeout
}

func (c *Config) maxHold() time.Duration {
	if c.MaxHold <= 0 {
		return DefaultMaxHold
	}
	return c.MaxHold
}

func (c *Config) maxCommit() time.Duration {
	if c.MaxCommit <= 0 {
		return DefaultMaxCommit
	}
	return c.MaxCommit
}

// ConnInfo is what is known of a connection when it is accepted.
type ConnInfo struct {
	ID       uint64         // the driver's number of the connection, for rows and logs
	Listener string         // the listener's name, which rules match
	Client   netip.AddrPort // the client's address; the zero value for a unix socket
	N        uint64         // this is the client's n-th connection that was accepted, from 1; of no meaning where a PROXY header says whose it is
	Local    netip.AddrPort // the address that it connected to; the session makes no use of it
}
