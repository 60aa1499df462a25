package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- CRAM-MD5 (RFC 2195) is defined over MD5
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"

	gosasl "github.com/emersion/go-sasl"
)

// matches compares a password in constant time: the sink is test equipment, and yet it should not be the one that teaches a bad habit.
func matches(accounts Accounts, user, password string) error {
	want, ok := accounts.Password(user)
	if subtle.ConstantTimeCompare([]byte(want), []byte(password)) != 1 || !ok {
		return fmt.Errorf("%w for user %q", ErrCredentials, user)
	}
	return nil
}

// plain is PLAIN (RFC 4616), from go-sasl.
type plain struct {
	gosasl.Server
	user string
}

func newPlain(accounts Accounts) *plain {
	p := &plain{}
	p.Server = gosasl.NewPlainServer(func(identity, user, password string) error {
		p.user = user
		if !mayAct(accounts, user, identity) {
			return fmt.Errorf("%w: user %q may not act as %q", ErrCredentials, user, identity)
		}
		err := matches(accounts, user, password)
		if err == nil && identity != "" {
			p.user = identity
		}
		return err
	})
	return p
}

func (p *plain) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := p.Server.Next(response)
	return challenge, done && err == nil, asSyntax(err) // go-sasl says done beside an error
}

func (p *plain) User() string { return p.user }

// login is LOGIN: two prompts, two answers. An initial response is the user name.
type login struct {
	accounts Accounts
	user     string
	asked    bool // the user name was given, the password was asked for
}

func (l *login) Next(response []byte) ([]byte, bool, error) {
	switch {
	case l.asked:
		err := matches(l.accounts, l.user, string(response))
		return nil, err == nil, err
	case response == nil:
		return []byte("Username:"), false, nil
	default:
		l.user, l.asked = string(response), true
		return []byte("Password:"), false, nil
	}
}

func (l *login) User() string { return l.user }

// cramMD5 is CRAM-MD5 (RFC 2195): the client answers "user hex(HMAC-MD5(password, challenge))".
type cramMD5 struct {
	accounts  Accounts
	challenge []byte
	asked     bool
	user      string
}

func newCramMD5(accounts Accounts, hostname string, random io.Reader) (*cramMD5, error) {
	nonce := make([]byte, 16)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("sasl: challenge: %w", err)
	}
	return &cramMD5{accounts: accounts, challenge: fmt.Appendf(nil, "<%x@%s>", nonce, hostname)}, nil
}

func (c *cramMD5) Next(response []byte) ([]byte, bool, error) {
	if !c.asked {
		c.asked = true
		if response != nil { // RFC 4954 section 4: no initial response where the server speaks first
			return nil, false, fmt.Errorf("%w: CRAM-MD5 takes no initial response", ErrSyntax)
		}
		return c.challenge, false, nil
	}
	at := bytes.LastIndexByte(response, ' ')
	if at < 0 {
		return nil, false, fmt.Errorf("%w: no digest", ErrSyntax)
	}
	c.user = string(response[:at])
	password, ok := c.accounts.Password(c.user)
	mac := hmac.New(md5.New, []byte(password))
	mac.Write(c.challenge)
	want := hex.AppendEncode(nil, mac.Sum(nil))
	if !hmac.Equal(want, bytes.ToLower(response[at+1:])) || !ok {
		return nil, false, fmt.Errorf("%w for user %q", ErrCredentials, c.user)
	}
	return nil, true, nil
}

func (c *cramMD5) User() string { return c.user }

// xoauth2 is XOAUTH2: "user=" name ^A "auth=Bearer " token ^A ^A. On a wrong token the server sends a JSON status as a challenge, and
// the client answers with an empty response before the final reply.
type xoauth2 struct {
	accounts Accounts
	user     string
	failed   error
}

func (x *xoauth2) Next(response []byte) ([]byte, bool, error) {
	switch {
	case x.failed != nil:
		return nil, false, x.failed
	case response == nil:
		return []byte{}, false, nil
	}
	user, token, ok := parseXOAuth2(response)
	if !ok {
		return nil, false, fmt.Errorf("%w: want user=NAME^Aauth=Bearer TOKEN^A^A", ErrSyntax)
	}
	x.user = user
	if err := matches(x.accounts, user, token); err != nil {
		x.failed = err
		return []byte(`{"status":"401","schemes":"bearer","scope":"https://mail.example/"}`), false, nil
	}
	return nil, true, nil
}

func parseXOAuth2(response []byte) (user, token string, ok bool) {
	fields := bytes.Split(response, []byte{1})
	if len(fields) != 4 || len(fields[2]) != 0 || len(fields[3]) != 0 {
		return "", "", false
	}
	name, okUser := bytes.CutPrefix(fields[0], []byte("user="))
	if len(fields[1]) < len("auth=Bearer ") || !bytes.EqualFold(fields[1][:len("auth=Bearer ")], []byte("auth=Bearer ")) {
		return "", "", false
	}
	return string(name), string(fields[1][len("auth=Bearer "):]), okUser
}

func (x *xoauth2) User() string { return x.user }
