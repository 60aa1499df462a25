package fault

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Occurrence is what is known when a stage occurs. Its slices belong to the session and are valid during the call only.
// Counters that the plan's Needs do not ask for may be left zero.
type Occurrence struct {
	Stage    smtp.Stage
	Listener string     // the listener's name
	Client   netip.Addr // the client's address; invalid for a unix socket
	// Connection tells this connection from all others of the server: scopes go by it.
	Connection uint64
	ConnN      uint64     // this client's n-th connection, from 1 (Needs.Connections)
	Helo       []byte     // argument of HELO, EHLO or LHLO, from that stage on
	TLS        bool       // the connection is encrypted; known before connect when TLS is implicit
	TLSVersion TLSVersion // by which version; 0 before the handshake
	// Handshake: a TLS handshake follows a positive reply. Told for outcomes that were asked for only.
	Handshake bool
	// GoesOn: AUTH asks for another response, so that a 535 is not yet met. AsWritten: the command is refused, but by an outcome with a reply
	// of its own. Told for outcomes that were asked for only.
	GoesOn, AsWritten bool

	Mechanism []byte // of AUTH, as the client wrote it, at auth (Needs.Auth)
	AuthStep  uint64 // n-th reply of that AUTH, from 1 (Needs.Auth)

	Parameters []byte // what MAIL said behind its path, from mail on (Needs.Parameters)

	Sender   []byte // reverse-path without <>, from mail on; empty for the null sender
	MailN    uint64 // the sender's n-th MAIL, from 1 (Needs.Mails)
	MessageN uint64 // n-th message (MAIL) of this connection, from 1

	Recipient []byte // forward-path without <>, at rcpt and at an LMTP message
	RcptN     uint64 // that (sender, recipient) pair's n-th RCPT, from 1 (Needs.Recipients)

	RecipientsHash     uint64   // at data, bdat and message: sum of HashRecipient over the accepted recipients (Needs.Recipients)
	MaxRcptN           uint64   // the highest RcptN of the accepted recipients (Needs.Recipients)
	Recipients         int      // how many recipients were accepted so far, from rcpt on
	AcceptedRecipients [][]byte // the accepted recipients, for a match on any of them

	Size    int64   // octets of the message: from mail on as declared by SIZE (0: not), at message as counted
	Headers Headers // the message's header, at message; nil when it isn't captured (Needs.Headers)

	Nth     uint64 // n-th occurrence of this stage in this connection, from 1; of commands that are refused, the n-th of those that the plan has rules for, whatever the stage
	Turn    uint64 // n-th reply of this connection, from 1: the greeting (Needs.Turns)
	NthRcpt uint64 // n-th RCPT of the transaction, from 1, at rcpt

	Time time.Time // when it occurs (Needs.Time)

	Levels *Levels // of the standings that matter at the stage; nil where none does
	Early  uint64  // greylists for which it comes too early, by EarlyCheck.Bit

	// Asked is how many rules were asked whether they match: a decision adds to it, so that a session can tell what the occurrence
	// has cost.
	Asked int

	// OutOfOrder: the command is refused by the session, with this Error, unless a rule for that speaks; only such rules do (Match.Wrong).
	// BadSequence: it is refused for being out of order.
	OutOfOrder, BadSequence bool
	Error                   *smtp.Reply
}

// Needs says which counters that connections share, and what else that costs something, a plan's rules draw or match on. A
// session asks for no other: the plain path touches none.
type Needs struct {
	Connections bool // Occurrence.ConnN
	Mails       bool // Occurrence.MailN
	Recipients  bool // Occurrence.RcptN, MaxRcptN and RecipientsHash
	Headers     bool // Occurrence.Headers: the message's header is captured
	QueueIDs    bool // replies name messages by QueueID
	Auth        bool // Occurrence.Mechanism and AuthStep
	Parameters  bool // Occurrence.Parameters
	Time        bool // Occurrence.Time
	Turns       bool // Occurrence.Turn
}

func (n Needs) or(m Needs) Needs {
	return Needs{
		Connections: n.Connections || m.Connections,
		Mails:       n.Mails || m.Mails,
		Recipients:  n.Recipients || m.Recipients,
		Headers:     n.Headers || m.Headers,
		Time:        n.Time || m.Time,
		QueueIDs:    n.QueueIDs || m.QueueIDs,
		Auth:        n.Auth || m.Auth,
		Parameters:  n.Parameters || m.Parameters,
		Turns:       n.Turns || m.Turns,
	}
}

// Cause says who decided an outcome.
type Cause uint8

// The causes, from the last resort up.
const (
	CausePlain    Cause = iota // nobody spoke: the plain reply
	CauseProtocol              // a protocol error (decided by the session, never by a plan)
	CauseRule                  // a rule of the plan
	CauseLimit                 // a limit of the plan
	CauseTrigger               // an address trigger or a header of the message
	CauseNext                  // an outcome that was asked for from outside, see Next
	CauseReact                 // the treatment of a reaction of the plan
)

// String returns "plain", "protocol", "rule", "limit", "trigger", "next" or "react".
func (c Cause) String() string {
	switch c {
	case CausePlain:
		return "plain"
	case CauseProtocol:
		return "protocol"
	case CauseRule:
		return "rule"
	case CauseLimit:
		return "limit"
	case CauseTrigger:
		return "trigger"
	case CauseNext:
		return "next"
	case CauseReact:
		return "react"
	}
	return "unknown"
}

// Decision is the outcome of one stage occurrence.
//
// A nil Reply from View.Decide means the stage's plain reply, which the session renders itself (a greeting holds its host name,
// the EHLO reply its capabilities); see Plain.
type Decision struct {
	Cause    Cause
	Outcome  int32         // index into Rule.Outcomes
	Rule     *Rule         // set when Cause is CauseRule
	Chosen   *Outcome      // that outcome, with its faults, also for CauseNext, and for CauseTrigger by a mode; nil otherwise
	Limit    *Limit        // set when Cause is CauseLimit, and for CauseReact when a limit of the treatment has refused
	Reaction *Reaction     // set when Cause is CauseReact
	Next     *Next         // set when Cause is CauseNext
	Reply    *smtp.Reply   // shared and never changed
	Draw     uint64        // that chose the outcome of a rule with several: the same for the same key
	Delay    time.Duration // from the moment the reply is known to the moment it is written; 0 to MaxDelay
}
