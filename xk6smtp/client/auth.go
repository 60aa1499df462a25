package client

import (
	"context"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- CRAM-MD5 (RFC 2195) is defined over MD5
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	gosasl "github.com/emersion/go-sasl"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The mechanisms of AUTH, as EHLO announces them.
const (
	ScramSHA256 = "SCRAM-SHA-256" // RFC 7677
	CramMD5     = "CRAM-MD5"      // RFC 2195
	Plain       = "PLAIN"         // RFC 4616
	Login       = "LOGIN"         // draft-murchison-sasl-login
	XOAuth2     = "XOAUTH2"       // the password is the bearer token
)

// automatic is what a client takes when it may choose, best first. XOAUTH2 is not among them: its password is none.
var automatic = []string{ScramSHA256, CramMD5, Plain, Login}

// Mechanisms returns the mechanisms that Credentials can name.
func Mechanisms() []string { return append(append([]string{}, automatic...), XOAuth2) }

// Errors of an exchange that the client ends.
var (
	// ErrNoMechanism is a server that offers no mechanism that the credentials can be used with.
	ErrNoMechanism = errors.New("the server offers no mechanism of AUTH that fits")
	// ErrServerUnproven is a server that accepted the credentials without proving that it knows them (RFC 5802 section 5).
	ErrServerUnproven = errors.New("the server did not prove that it knows the password")
	// ErrChallenge is a challenge that the mechanism has no answer to.
	ErrChallenge = errors.New("unexpected challenge")
)

// maxChallenges is more than any mechanism needs; a server that goes on asking must not keep the client.
const maxChallenges = 8

// Credentials are a user, a password and how to show them. They may be shared by any number of connections.
type Credentials struct {
	mechanism      string // empty: the best that the server offers
	user, password string
	scram          *scramKeys // nil if SASLprep forbids the password
}

// NewCredentials prepares credentials. mechanism is one of Mechanisms, or empty for the best of all but XOAUTH2 that the server
// announces; one that is named is tried whether or not it is announced.
func NewCredentials(mechanism, user, password string) (*Credentials, error) {
	c := &Credentials{mechanism: strings.ToUpper(mechanism), user: user, password: password}
	known := mechanism == ""
	for _, name := range Mechanisms() {
		known = known || name == c.mechanism
	}
	if !known {
		return nil, fmt.Errorf("unknown mechanism %q (valid: %s)", mechanism, strings.Join(Mechanisms(), " "))
	}
	if strings.ContainsRune(user+password, 0) {
		return nil, errors.New("user and password must not hold NUL")
	}
	if c.mechanism == "" || c.mechanism == ScramSHA256 {
		var err error
		if c.scram, err = newScramKeys(user, password); err != nil && c.mechanism != "" {
			return nil, fmt.Errorf("%s: %w", ScramSHA256, err)
		}
	}
	return c, nil
}

// choose returns the mechanism to use with a server, or the empty string.
func (c *Credentials) choose(capabilities *Capabilities) string {
	if c.mechanism != "" {
		return c.mechanism
	}
	offered := capabilities.mechanisms()
	for _, name := range automatic {
		if name == ScramSHA256 && c.scram == nil {
			continue
		}
		for _, o := range offered {
			if strings.EqualFold(o, name) {
				return name
			}
		}
	}
	return ""
}

// exchange is the client's side of a mechanism, on decoded octets.
type exchange struct {
	initial []byte                                 // the initial response
	send    bool                                   // whether there is one
	next    func(challenge []byte) ([]byte, error) // the response to a challenge
	proven  func() bool                            // asked after 235; nil if the server has nothing to prove
	prompts bool                                   // challenges are words for people: in base64, or not
	// iterations says how many rounds of hashing the response to a challenge costs; nil: too few to count.
	iterations func(challenge []byte) int
}

func (c *Credentials) start(mechanism string) (x exchange, err error) {
	challenges := 0
	x.next = func([]byte) ([]byte, error) { return nil, ErrChallenge }
	switch mechanism {
	case Plain:
		// The mechanism has no challenge: whatever the first one says, it asks for the response.
		x.send, x.prompts = true, true
		_, x.initial, err = gosasl.NewPlainClient("", c.user, c.password).Start()
	case Login:
		// The challenges are words of no fixed spelling, and servers send them in base64, without its padding, or as they are; their order
		// is all that counts.
		x.prompts = true
		x.next = func([]byte) ([]byte, error) {
			challenges++
			switch challenges {
			case 1:
				return []byte(c.user), nil
			case 2:
				return []byte(c.password), nil
			}
			return nil, ErrChallenge
		}
	case CramMD5:
		x.next = func(challenge []byte) ([]byte, error) {
			if challenges++; challenges > 1 {
				return nil, ErrChallenge
			}
			mac := hmac.New(md5.New, []byte(c.password))
			mac.Write(challenge)
			return []byte(c.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
		}
	case XOAuth2:
		x.send = true
		x.initial = []byte("user=" + c.user + "\x01auth=Bearer " + c.password + "\x01\x01")
		// The one challenge explains a refusal; an empty response asks for it.
		x.next = func([]byte) ([]byte, error) {
			if challenges++; challenges > 1 {
				return nil, ErrChallenge
			}
			return []byte{}, nil
		}
	case ScramSHA256:
		conversation := c.scram.conversation()
		first, err := conversation.Step("")
		if err != nil {
			return x, err
		}
		x.send, x.initial, x.proven, x.iterations = true, []byte(first), conversation.Valid, scramIterations
		x.next = func(challenge []byte) ([]byte, error) {
			if conversation.Done() {
				return nil, ErrChallenge
			}
			c.scram.note(challenge)
			response, err := conversation.Step(string(challenge))
			return []byte(response), err
		}
	}
	return x, err
}

// authenticate runs AUTH to its final reply. A refusal is a reply; an exchange that the client ends breaks the connection.
func (c *Conn) authenticate(credentials *Credentials) (Reply, *Error) {
	mechanism := credentials.choose(&c.capabilities)
	if mechanism == "" {
		return Reply{}, c.broke(smtp.StageAuth, ErrNoMechanism)
	}
	x, startErr := credentials.start(mechanism)
	if startErr != nil {
		return Reply{}, c.broke(smtp.StageAuth, startErr)
	}
	line, shown := "AUTH "+mechanism, "AUTH "+mechanism
	if x.send {
		line, shown = line+" "+encodeResponse(x.initial, true), shown+" "+masked
	}
	begun := c.cfg.Now()
	reply, err := c.exchangeShown(smtp.StageAuth, line+"\r\n", shown)
	for n := 0; err == nil && reply.Code == 334; n++ {
		var response []byte
		challenge, cause := x.decode(reply.Text)
		switch {
		case cause != nil:
		case n >= maxChallenges:
			cause = ErrChallenge
		case n == 0 && x.send && (len(challenge) == 0 || x.prompts):
			response = x.initial // the server took no notice of it, as if it had not been there (RFC 4954 section 4)
		default:
			response, cause = c.respond(&x, challenge)
			_ = errors.As(cause, &err)
		}
		if err != nil {
			break
		}
		if cause != nil {
			// RFC 4954 section 4: a client that gives up says so, and the server answers 501.
			if _, err = c.exchange(smtp.StageAuth, "*\r\n"); err == nil {
				if !errors.Is(cause, ErrChallenge) {
					cause = fmt.Errorf("%w: %w", ErrChallenge, cause)
				}
				err = c.broke(smtp.StageAuth, cause)
			}
			return Reply{}, err
		}
		reply, err = c.exchangeShown(smtp.StageAuth, encodeResponse(response, false)+"\r\n", masked)
	}
	c.began = begun
	if err == nil && reply.Code.Class() == 2 && x.proven != nil && !x.proven() {
		return Reply{}, c.broke(smtp.StageAuth, ErrServerUnproven)
	}
	return reply, err
}

// encodeResponse is a response in base64; an empty initial one is "=" (RFC 4954 section 4).
func encodeResponse(response []byte, initial bool) string {
	if len(response) == 0 && initial {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// decode is a challenge's octets; base64 may lack its padding. What only a person would read is not decoded.
func (x *exchange) decode(text string) ([]byte, error) {
	if x.prompts {
		return []byte(text), nil
	}
	text = strings.TrimSpace(text)
	challenge, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		if unpadded, unpaddedErr := base64.RawStdEncoding.DecodeString(text); unpaddedErr == nil {
			return unpadded, nil
		}
	}
	return challenge, err
}

// respond answers a challenge. How long that takes is the server's choice, and so it ends with the operation's context, the phase's limit
// and Close; what was being hashed then is left behind, and soon over. An *Error says that
// the wait is over, any other error that there is no answer.
func (c *Conn) respond(x *exchange, challenge []byte) ([]byte, error) {
	n := 0
	if x.iterations != nil {
		n = x.iterations(challenge)
	}
	switch {
	case n > maxIterations:
		return nil, fmt.Errorf("the rounds of hashing that the server asks for are more than %d, or no number", maxIterations)
	case n <= fewIterations:
		return x.next(challenge)
	}
	type answer struct {
		response []byte
		cause    error
	}
	answered := make(chan answer, 1)
	go func() {
		response, cause := x.next(challenge)
		answered <- answer{response, cause}
	}()
	var overdue <-chan time.Time
	if limit := c.cfg.Timeouts[smtp.StageAuth]; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		overdue = timer.C
	}
	select {
	case a := <-answered:
		return a.response, a.cause
	case <-overdue:
		return nil, c.broke(smtp.StageAuth, ErrTimeout)
	case <-c.ctx.Done():
		return nil, c.broke(smtp.StageAuth, fmt.Errorf("%w: %w", ErrAborted, context.Cause(c.ctx)))
	case <-c.gone:
		return nil, c.broke(smtp.StageAuth, net.ErrClosed) // Conn.cause names it
	}
}
