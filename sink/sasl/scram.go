package sasl

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/xdg-go/scram"
)

// scramIterations is RFC 7677's minimum: a sink that is meant to be fast asks for no more.
const scramIterations = 4096

// scramExchange is SCRAM-SHA-256 (RFC 5802, RFC 7677), from xdg-go/scram.
type scramExchange struct {
	conversation *scram.ServerConversation
	started      bool
	verified     bool // the server's final message was sent; one empty response ends the exchange
	user         string
}

// scramCredentials are what SCRAM keeps of passwords, each with a salt of its own: the 4,096 rounds of hashing that they take are done
// once for each password of the accounts, not for each client that says AUTH. It is safe for concurrent use.
type scramCredentials struct {
	mu    sync.Mutex
	known map[string]scram.StoredCredentials // by password
}

// of returns the credentials of a password; salt is used if it was never asked for.
func (c *scramCredentials) of(password, salt string) (scram.StoredCredentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.known[password]; ok {
		return known, nil
	}
	client, err := scram.SHA256.NewClient("user", password, "") // the name is no part of them
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	made, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: salt, Iters: scramIterations})
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	if c.known == nil {
		c.known = map[string]scram.StoredCredentials{}
	}
	c.known[password] = made
	return made, nil
}

func newScram(accounts Accounts, random io.Reader, credentials *scramCredentials) (*scramExchange, error) {
	seed := make([]byte, 16+18)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("sasl: nonce: %w", err)
	}
	salt, nonce := seed[:16], base64.RawStdEncoding.EncodeToString(seed[16:])
	x := &scramExchange{}
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		x.user = user
		password, ok := accounts.Password(user)
		if !ok {
			return scram.StoredCredentials{}, fmt.Errorf("%w for user %q", ErrCredentials, user)
		}
		stored, err := credentials.of(password, string(salt))
		if err != nil {
			return scram.StoredCredentials{}, fmt.Errorf("%w for user %q: %w", ErrCredentials, user, err)
		}
		return stored, nil
	})
	if err != nil {
		return nil, err
	}
	x.conversation = server.WithNonceGenerator(func() string { return nonce }).NewConversation()
	return x, nil
}

func (x *scramExchange) Next(response []byte) ([]byte, bool, error) {
	switch {
	case x.verified:
		return nil, true, nil
	case response == nil && !x.started:
		x.started = true
		return []byte{}, false, nil
	}
	x.started = true
	challenge, err := x.conversation.Step(string(response))
	switch {
	case err == nil && x.conversation.Valid():
		// RFC 4954 has no success data: the server's final message is one more challenge.
		x.verified = true
		return []byte(challenge), false, nil
	case err == nil:
		return []byte(challenge), false, nil
	case errors.Is(err, ErrCredentials), x.user != "" && x.conversation.Done():
		return nil, false, fmt.Errorf("%w for user %q", ErrCredentials, x.user)
	default:
		return nil, false, asSyntax(err)
	}
}

func (x *scramExchange) User() string { return x.user }

// asSyntax marks an error of a library as the client's malformed response, unless it speaks of credentials.
func asSyntax(err error) error {
	if err == nil || errors.Is(err, ErrCredentials) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSyntax, err)
}
