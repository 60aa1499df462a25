package sasl

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/xdg-go/scram"

	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// scramIterations is RFC 7677's minimum: a sink that is meant to be fast asks for no more.
const scramIterations = 4096

// scramExchange is SCRAM (RFC 5802, RFC 7677), from xdg-go/scram.
type scramExchange struct {
	server       *scram.Server
	accounts     Accounts
	channel      session.Channel // nil: no mechanism that is bound to one is offered
	plus         bool            // this one is
	conversation *scram.ServerConversation
	started      bool
	verified     bool // the server's final message was sent; one empty response ends the exchange
	user         string
}

// scramCredentials are what SCRAM keeps of passwords, each with a salt of its own: the 4,096 rounds of hashing that they take are done
// once for each password of the accounts, not for each client that says AUTH. It is safe for concurrent use.
type scramCredentials struct {
	mu    sync.Mutex
	known map[scramSecret]scram.StoredCredentials
}

// scramSecret is a password as a hash function keeps it.
type scramSecret struct {
	octets   int // of the hash
	password string
}

// of returns the credentials of a password; salt is used if it was never asked for.
func (c *scramCredentials) of(hash scram.HashGeneratorFcn, password, salt string) (scram.StoredCredentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	secret := scramSecret{hash().Size(), password}
	if known, ok := c.known[secret]; ok {
		return known, nil
	}
	client, err := hash.NewClient("user", password, "") // the name is no part of them
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	made, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: salt, Iters: scramIterations})
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	if c.known == nil {
		c.known = map[scramSecret]scram.StoredCredentials{}
	}
	c.known[secret] = made
	return made, nil
}

func newScram(hash scram.HashGeneratorFcn, p *Provider, channel session.Channel, plus bool) (*scramExchange, error) {
	seed := make([]byte, 16+18)
	if _, err := io.ReadFull(p.Random, seed); err != nil {
		return nil, fmt.Errorf("sasl: nonce: %w", err)
	}
	salt, nonce := seed[:16], base64.RawStdEncoding.EncodeToString(seed[16:])
	x := &scramExchange{accounts: p.Accounts, channel: channel, plus: plus}
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		x.user = user
		password, ok := x.accounts.Password(user)
		if !ok {
			return scram.StoredCredentials{}, fmt.Errorf("%w for user %q", ErrCredentials, user)
		}
		stored, err := p.credentials.of(hash, password, string(salt))
		if err != nil {
			return scram.StoredCredentials{}, fmt.Errorf("%w for user %q: %w", ErrCredentials, user, err)
		}
		return stored, nil
	})
	if err != nil {
		return nil, err
	}
	x.server = server.WithNonceGenerator(func() string { return nonce })
	return x, nil
}

// begin begins the conversation once the client's first message tells what it is bound to. Where mechanisms with channel binding are offered,
// a client that says it has seen none of them is refused: somebody has left them out for it (RFC 5802 section 6).
func (x *scramExchange) begin(first string) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(first, "p="), ",")
	switch {
	case x.channel == nil:
		x.conversation = x.server.NewConversation()
		return
	case !strings.HasPrefix(first, "p="):
		kind = "tls-server-end-point" // any that there is
	}
	binding := scram.ChannelBinding{Type: scram.ChannelBindingType(kind), Data: x.channel.Binding(kind)}
	if x.plus {
		x.conversation = x.server.NewConversationWithChannelBindingRequired(binding)
	} else {
		x.conversation = x.server.NewConversationWithChannelBinding(binding)
	}
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
	if x.conversation == nil {
		x.begin(string(response))
	}
	challenge, err := x.conversation.Step(string(response))
	switch {
	case err == nil && x.conversation.Valid() && !mayAct(x.accounts, x.user, x.conversation.AuthzID()):
		return nil, false, fmt.Errorf("%w: user %q may not act as %q", ErrCredentials, x.user, x.conversation.AuthzID())
	case err == nil && x.conversation.Valid():
		// RFC 4954 has no success data: the server's final message is one more challenge.
		x.verified = true
		return []byte(challenge), false, nil
	case err == nil:
		return []byte(challenge), false, nil
	case strings.HasPrefix(challenge, "e="), errors.Is(err, ErrCredentials), x.user != "" && x.conversation.Done():
		return nil, false, fmt.Errorf("%w for user %q", ErrCredentials, x.user)
	default:
		return nil, false, asSyntax(err)
	}
}

func (x *scramExchange) User() string {
	if x.verified && x.conversation.AuthzID() != "" {
		return x.conversation.AuthzID()
	}
	return x.user
}

// asSyntax marks an error of a library as the client's malformed response, unless it speaks of credentials.
func asSyntax(err error) error {
	if err == nil || errors.Is(err, ErrCredentials) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSyntax, err)
}
