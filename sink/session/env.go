package session

import (
	"errors"
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	shared "github.com/smtpstorm/xk6-smtp/sink/state"
)

// Env is what a session shares with others: any of its members, and Env itself, may serve many sessions. It must not be changed
// while a session uses it. With a Scratch, all its sessions must be driven by one goroutine.
type Env struct {
	Plans     Plans         // nil: no rules, every reply is plain
	Attempts  Attempts      // nil: every ordinal is 0
	Limits    Limits        // nil: limits that connections share admit everything
	Standings Standings     // nil: no reaction ever begins
	Auth      Authenticator // nil: AUTH is not offered
	Recorder  Recorder      // nil: nobody counts
	Captures  *Captures     // nil: no message is captured, whatever Config.Capture says
	Mailbox   Mailbox       // nil: nobody wants the messages
	Next      *shared.Next  // nil: no outcomes are asked for from outside
	// Number counts a connection of a client that turns out not to be the one that has connected, and returns its ordinal; nil: 1.
	Number  func(client netip.Addr) uint64
	Scratch *Scratch // nil: sessions take their scratch space from a pool
}

// Plans tells the plan that is in force, and its phase. A session asks at connect, after a TLS handshake and at each MAIL: a transaction
// keeps its view to its end.
type Plans interface {
	Current(now time.Time) *fault.View // nil: no rules
}

// Attempts counts what connections share. Each call counts one more and returns the ordinal, from 1. A session asks only for what
// View.Needs says. The slices are valid during the call only.
type Attempts interface {
	Mail(sender []byte) uint64
	Recipient(sender, recipient []byte) uint64
}

// Limits keeps the counts of limits that connections share: rates and quotas (but those of scope connection), concurrency and greylists.
// The others a session keeps itself.
type Limits interface {
	// Admit counts the occurrence towards a rate, a quota or a greylist, and reports whether it is within the limit. It is asked only for
	// those whom the limit is for (Limit.Applies). o is valid during the call only.
	Admit(now time.Time, l *fault.Limit, o *fault.Occurrence) bool
	// Return gives back what Admit took of a rate or a quota for an occurrence that another limit refuses.
	Return(l *fault.Limit, o *fault.Occurrence)
	// Early reports whether an occurrence comes back to a greylist before its delay is over. The greylist keeps nothing of it.
	Early(now time.Time, l *fault.Limit, o *fault.Occurrence) bool
	// Enter counts an open connection, or a transaction, towards a limit of concurrency, unless that is beyond the limit.
	Enter(l *fault.Limit, p shared.Place) bool
	// Occupy counts an open connection that did not have to pass, even beyond the limit.
	Occupy(p shared.Place)
	// Release gives back what Enter granted or Occupy counted. It is called once for each such call.
	Release(p shared.Place)
}

// Standings keeps what the reactions of plans know of their keys. Look and Count append what standings have begun, or have another level now,
// to changes. o is valid during the call only.
type Standings interface {
	// Look puts the levels of the standings that matter at the stage into levels, which is zero before. A reaction that begins at first sight
	// begins now.
	Look(now time.Time, p *fault.Plan, x *fault.StageReactions, o *fault.Occurrence, levels *fault.Levels, changes []shared.Change) []shared.Change
	// Count counts an occurrence for reactions.
	Count(now time.Time, p *fault.Plan, o *fault.Occurrence, c fault.Counts, changes []shared.Change) []shared.Change
	// End tells that a connection has ended, by its ConnInfo.ID.
	End(connection uint64)
}

// Authenticator has the mechanisms of AUTH (RFC 4954). It must be safe for concurrent use if its sessions are driven by several
// goroutines.
type Authenticator interface {
	// Mechanisms returns the names of the mechanisms that are offered where a listener names no others, in upper case and in the order in
	// which EHLO announces them. The slice is never changed.
	Mechanisms() []string
	// Start begins an exchange with one of Mechanisms, or another that it knows. channel is what mechanisms whose name ends in -PLUS bind it
	// to; nil: none of these is offered. An error means that it can't begin now.
	Start(mechanism string, channel Channel) (AuthExchange, error)
}

// AuthExchange is one authentication under way. It belongs to one session.
type AuthExchange interface {
	// Next takes the client's response, decoded, and returns the next challenge, not encoded. A nil response means that the client
	// has sent no initial response. done means that the client is authenticated. An error ends the exchange: one that wraps
	// ErrMalformedResponse says that the response can't be parsed, any other that the credentials are wrong. The response is valid
	// during the call only.
	Next(response []byte) (challenge []byte, done bool, err error)
	// User returns the authenticated name.
	User() string
}

// ErrMalformedResponse says that the response of a client in an exchange can't be parsed.
var ErrMalformedResponse = errors.New("malformed response")
