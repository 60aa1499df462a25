package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TLSMode says whether and when a connection is encrypted.
type TLSMode uint8

// The modes.
const (
	TLSNone          TLSMode = iota // never
	TLSOpportunistic                // by STARTTLS if the server offers it and doesn't refuse it (RFC 3207)
	TLSRequired                     // by STARTTLS, or not at all
	TLSImplicit                     // from the first octet on (RFC 8314)
)

var tlsModeNames = [...]string{"none", "starttls", "required", "implicit"}

// String returns the mode's name as options write it.
func (m TLSMode) String() string { return tlsModeNames[m] }

// ParseTLSMode returns the mode of that name. The error names the valid ones.
func ParseTLSMode(name string) (TLSMode, error) {
	for i, n := range tlsModeNames {
		if n == name {
			return TLSMode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown TLS mode %q (valid: %s)", name, strings.Join(tlsModeNames[:], " "))
}

// ErrNoStartTLS is a server that doesn't offer STARTTLS where it is required.
var ErrNoStartTLS = errors.New("the server does not offer STARTTLS")

// HandshakeError is a TLS handshake that failed.
type HandshakeError struct {
	// Err is what crypto/tls said.
	Err error
}

// Error returns one line.
func (e *HandshakeError) Error() string { return "TLS handshake: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// tlsConfig is the configuration of a handshake: the server's name is the host of Address unless it is set.
func (c *Config) tlsConfig() *tls.Config {
	config := c.TLSConfig
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = c.Address
		if host, _, err := net.SplitHostPort(c.Address); err == nil {
			config.ServerName = host
		}
	}
	return config
}

// handshake encrypts the connection within the limit of the phase.
func (c *Conn) handshake(phase smtp.Stage) (time.Duration, *Error) {
	// What came in plaintext behind the reply could be an attacker's: RFC 3207 section 6 wants nothing of it to be used.
	if c.r != c.w {
		return NotMeasured, c.broke(phase, ErrUnexpectedData)
	}
	c.watch()
	if err := c.arm(phase); err != nil {
		return NotMeasured, c.broke(phase, err)
	}
	conn := tls.Client(c.net, c.cfg.tlsConfig())
	start := c.cfg.Now()
	if err := conn.Handshake(); err != nil {
		return NotMeasured, c.broke(phase, &HandshakeError{err})
	}
	took := c.cfg.Now().Sub(start)
	c.net, c.tls = conn, conn
	c.deadline = false
	c.capabilities = Capabilities{} // RFC 3207 section 4.2: whatever was learned before is void
	if c.cfg.Trace != nil {
		state := conn.ConnectionState()
		c.note(tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite))
	}
	return took, nil
}

// TLS returns the state of the connection's encryption; ok is false for a connection in plaintext.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	if c.tls == nil {
		return state, false
	}
	return c.tls.ConnectionState(), true
}

// broke ends the connection for a reason that isn't a reply's absence.
func (c *Conn) broke(phase smtp.Stage, err error) *Error {
	c.await(phase)
	return c.fail(err)
}

// secure says STARTTLS as the mode demands, and hello once more.
func (c *Conn) secure(g *Greeting) *Error {
	mode := c.cfg.TLS
	if mode != TLSOpportunistic && mode != TLSRequired {
		return nil
	}
	if _, offered := c.capabilities.Find("STARTTLS"); !offered {
		if mode == TLSRequired {
			return c.broke(smtp.StageStartTLS, ErrNoStartTLS)
		}
		return nil
	}
	reply, err := c.exchange(smtp.StageStartTLS, "STARTTLS\r\n")
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		if mode == TLSOpportunistic && reply.Code != 421 {
			return nil
		}
		g.Reply = reply
		return refusal(reply)
	}
	if g.Timings.TLS, err = c.handshake(smtp.StageStartTLS); err != nil {
		return err
	}
	g.Timings.EhloTLS, err = c.hello(g)
	return err
}

// drained reports that no octet waits within the TLS layer. A deadline that has passed lets a read take what was decrypted, and
// nothing else.
func (c *Conn) drained() bool {
	if c.tls == nil {
		return true
	}
	c.until = longAgo
	if c.guard.set(longAgo) != nil {
		return false
	}
	var one [1]byte
	n, err := c.tls.Read(one[:])
	var timeout net.Error
	return n == 0 && errors.As(err, &timeout) && timeout.Timeout()
}
