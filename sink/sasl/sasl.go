// Package sasl has the server side of the authentication mechanisms that the sink offers with AUTH (RFC 4954): PLAIN, LOGIN,
// CRAM-MD5, SCRAM-SHA-256 and XOAUTH2. PLAIN and SCRAM come from libraries; the other three are a page each.
//
// An exchange works on decoded octets: base64, the "*" that cancels, line limits and reply codes belong to the session (package
// session, whose Authenticator a Provider is). Accounts and randomness are passed in. The package leaves out channel binding, password storage (a sink's accounts are test data) and
// the client side.
package sasl

import (
	"errors"
	"fmt"
	"io"

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

// Mechanism names a mechanism as EHLO announces it.
type Mechanism string

// The mechanisms, in the order in which they are announced: strongest first.
const (
	ScramSHA256 Mechanism = "SCRAM-SHA-256" // RFC 7677
	CramMD5     Mechanism = "CRAM-MD5"      // RFC 2195
	Plain       Mechanism = "PLAIN"         // RFC 4616
	Login       Mechanism = "LOGIN"         // draft-murchison-sasl-login
	XOAuth2     Mechanism = "XOAUTH2"       // Google's and Microsoft's, before RFC 7628
)

// Mechanisms returns all mechanisms in the order in which they are announced.
func Mechanisms() []Mechanism { return []Mechanism{ScramSHA256, CramMD5, Plain, Login, XOAuth2} }

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
	for _, m := range Mechanisms() {
		names = append(names, string(m))
	}
	return names
}()

// Mechanisms returns the names of all mechanisms in the order in which they are announced.
func (p *Provider) Mechanisms() []string { return mechanismNames }

// Start begins an exchange with one of Mechanisms. The error is the random source's. The errors of the exchange wrap ErrCredentials or
// ErrSyntax; before its end, its User is the name that the client has claimed so far.
func (p *Provider) Start(mechanism string) (session.AuthExchange, error) {
	switch m := Mechanism(mechanism); m {
	case Plain:
		return newPlain(p.Accounts), nil
	case Login:
		return &login{accounts: p.Accounts}, nil
	case CramMD5:
		return newCramMD5(p.Accounts, p.Hostname, p.Random)
	case ScramSHA256:
		return newScram(p.Accounts, p.Random, &p.credentials)
	case XOAuth2:
		return &xoauth2{accounts: p.Accounts}, nil
	default:
		return nil, fmt.Errorf("unknown mechanism %q (valid: %v)", m, Mechanisms())
	}
}
