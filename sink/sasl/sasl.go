// Package sasl has the server side of the authentication mechanisms that the sink offers with AUTH (RFC 4954): PLAIN, LOGIN,
// CRAM-MD5, SCRAM-SHA-256, SCRAM-SHA-1, these also bound to a TLS channel, and XOAUTH2. PLAIN and SCRAM come from libraries; the other
// three are a page each.
//
// An exchange works on decoded octets: base64, the "*" that cancels, line limits and reply codes belong to the session (package
// session, whose Authenticator a Provider is). Accounts and randomness are passed in. The package leaves out password storage (a sink's accounts are test data) and
// the client side.
package sasl

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/xdg-go/scram"

	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// ErrCredentials says that the exchange was well-formed and the credentials are wrong: 535 5.7.8.
var ErrCredentials = errors.New("sasl: wrong credentials")

// ErrSyntax says that the client's response can't be parsed: 501 5.5.2.
var ErrSyntax = fmt.Errorf("sasl: %w", session.ErrMalformedResponse)

// Accounts looks up the password, or for XOAUTH2 the token, of a user. It must be safe for concurrent use.
type Accounts interface {
	Password(user string) (password string, ok bool)
}

// Any is the account directory that accepts every user with the same password.
type Any struct{ Shared string }

// Password implements Accounts.
func (a Any) Password(string) (string, bool) { return a.Shared, true }

// Users is an account directory: user name to password. It must not be changed while it is used.
type Users map[string]string

// Password implements Accounts.
func (u Users) Password(user string) (string, bool) {
	password, ok := u[user]
	return password, ok
}

// Deputies are Accounts that tell who may act as somebody else. With others nobody may.
type Deputies interface {
	// MayAct reports whether a user who is authenticated may have another authorization identity (RFC 4422 section 3.4.1).
	MayAct(user, identity string) bool
}

// mayAct reports whether a user may have the authorization identity; the empty one is his own.
func mayAct(accounts Accounts, user, identity string) bool {
	if identity == "" || identity == user {
		return true
	}
	d, ok := accounts.(Deputies)
	return ok && d.MayAct(user, identity)
}

// Acting are accounts of which some may act as others.
type Acting struct {
	Accounts
	As map[string][]string // by user: identities; * is for any. It must not be changed while it is used.
}

// MayAct implements Deputies.
func (a Acting) MayAct(user, identity string) bool {
	return slices.ContainsFunc(a.As[user], func(name string) bool { return name == "*" || name == identity })
}

// Mechanism names a mechanism as EHLO announces it.
type Mechanism string

// The mechanisms, in the order in which they are announced: strongest first.
const (
	ScramSHA256Plus Mechanism = "SCRAM-SHA-256-PLUS"
	ScramSHA256     Mechanism = "SCRAM-SHA-256" // RFC 7677
	ScramSHA1Plus   Mechanism = "SCRAM-SHA-1-PLUS"
	ScramSHA1       Mechanism = "SCRAM-SHA-1" // RFC 5802
	CramMD5         Mechanism = "CRAM-MD5"    // RFC 2195
	Plain           Mechanism = "PLAIN"       // RFC 4616
	Login           Mechanism = "LOGIN"       // draft-murchison-sasl-login
	XOAuth2         Mechanism = "XOAUTH2"     // Google's and Microsoft's, before RFC 7628
)

// Mechanisms returns all mechanisms in the order in which they are announced.
func Mechanisms() []Mechanism {
	return []Mechanism{ScramSHA256Plus, ScramSHA256, ScramSHA1Plus, ScramSHA1, CramMD5, Plain, Login, XOAuth2}
}

// Usual returns those that are offered where nobody asks for others.
func Usual() []Mechanism { return []Mechanism{ScramSHA256, CramMD5, Plain, Login, XOAuth2} }

// Provider starts exchanges with all mechanisms. It must not be copied, and is safe for concurrent use if its Accounts and its Random are.
type Provider struct {
	Accounts Accounts
	// Hostname stands in the challenge of CRAM-MD5.
	Hostname string
	// Random is the source of challenges and nonces, such as crypto/rand.Reader.
	Random io.Reader

	credentials scramCredentials
}

var mechanismNames = func() (names []string) {
	for _, m := range Usual() {
		names = append(names, string(m))
	}
	return names
}()

// Mechanisms returns the names of the usual mechanisms in the order in which they are announced.
func (p *Provider) Mechanisms() []string { return mechanismNames }

// Start begins an exchange with one of the package's Mechanisms. The error is the random source's. The errors of the exchange wrap ErrCredentials or
// ErrSyntax; before its end, its User is the name that the client has claimed so far.
func (p *Provider) Start(mechanism string, channel session.Channel) (session.AuthExchange, error) {
	switch m := Mechanism(mechanism); m {
	case Plain:
		return newPlain(p.Accounts), nil
	case Login:
		return &login{accounts: p.Accounts}, nil
	case CramMD5:
		return newCramMD5(p.Accounts, p.Hostname, p.Random)
	case ScramSHA256, ScramSHA256Plus:
		return newScram(scram.SHA256, p, channel, m == ScramSHA256Plus)
	case ScramSHA1, ScramSHA1Plus:
		return newScram(scram.SHA1, p, channel, m == ScramSHA1Plus)
	case XOAuth2:
		return &xoauth2{accounts: p.Accounts}, nil
	default:
		return nil, fmt.Errorf("unknown mechanism %q (valid: %v)", m, Mechanisms())
	}
}
