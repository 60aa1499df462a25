package session

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Recorder is told what happens in a session, on the goroutine that drives the session. What it is given is valid during the call
// only. An occurrence that was Decided but not yet Replied is in flight: its reply is delayed, its connection died first, or
// what was decided at stage pregreet took a greeting's place.
type Recorder interface {
	// Decided tells that an occurrence of the stage got its outcome, in view v, which is nil without a plan. d.Reply is never nil: it
	// is the reply that will be sent, or, when the outcome has a fault that keeps it (fault.Faults.Unsent), the one that will not.
	// e is its enhanced status code as it stands on the wire: zero where the session has none to give.
	Decided(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View)
	// Replied tells that this reply was handed to the driver for writing: its end is part of the next write effect.
	Replied(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View)
	// Struck tells that a fault of d happened that no reply carries: in a body or a chunk, or in a TLS handshake. d.Reply and e are as for
	// Decided, though at bdat it may not have been called.
	Struck(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View)
	// Attempt is called exactly once for each RCPT command, when its fate is known; with Config.Commit, those that a positive
	// reply after the body decides come once more before, as if that reply had been sent: see Attempt.Commit.
	Attempt(a *Attempt)
	// Transaction is called once for each transaction that ended without any RCPT command, such as a refused MAIL.
	Transaction(t *Transaction)
	// Message is called once for each message whose body has come to its end, before the attempts that its end decides.
	Message(m *event.Message)
	// Told is called where the rows to come would say something else of the replies before them than what is known: see event.Told.
	Told(e *event.Exception)
	// Standing is called for each standing that an occurrence on the connection has begun, changed or ended: at once, before anything that
	// follows from it. by is who decided the reply that the row tells of.
	Standing(s *event.Standing, by Origin)
	// Connection is called once, as the last call for the connection.
	Connection(c *Connection)
}

// Ending says how an attempt or a transaction ended.
type Ending uint8

// The endings.
const (
	EndReply     Ending = iota // a reply decided: Stage and Code tell which
	EndAbandoned               // the client gave the transaction up: by RSET, HELO, EHLO or QUIT, which Stage tells
	EndLost                    // the connection ended or fell silent; Stage tells which reply the client would have got next
	EndTimeout                 // the client was silent for too long; Stage as for EndLost
)

// String returns "reply", "abandoned", "lost" or "timeout".
func (e Ending) String() string {
	switch e {
	case EndReply:
		return "reply"
	case EndAbandoned:
		return "abandoned"
	case EndLost:
		return "lost"
	case EndTimeout:
		return "timeout"
	}
	return "unknown"
}

// Attempt is the final row of one RCPT command. Its slices are valid during Recorder.Attempt only.
type Attempt struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort

	Mail   time.Time // when the MAIL command of its transaction was read; zero outside a transaction
	Time   time.Time // when the RCPT command was read
	End    time.Time // when its fate was known
	Handed time.Time // when the deciding reply was handed to the driver, if that was not at End

	Sender    []byte // reverse-path without <>; empty for the null sender, and for a RCPT outside a transaction
	Recipient []byte // forward-path without <>; empty when it could not be parsed
	ORCPT     []byte // of the RCPT command, type;xtext (RFC 3461 section 4.2); empty without one
	N         uint64 // that pair's n-th RCPT, from 1; 0 when the plan's rules need no such counter or the command was refused before
	Token     []byte // what identifies the message: ENVID of the MAIL command, else the sender
	StormID   []byte // the first X-Storm-Id of the message, unfolded, if headers were captured and it has one
	MessageID []byte // Message-ID, likewise
	Message   uint64 // the connection's n-th MAIL, from 1; 0 outside a transaction
	Phase     string // of the storm, at MAIL; outside a transaction, as the session knows it; empty without one

	Ending    Ending
	Stage     smtp.Stage    // where it ended
	Code      smtp.Code     // of the reply that decided, also of one that was decided but not sent; 0 when none did
	Enhanced  smtp.Enhanced // of the same reply; zero when the session had none to give
	Text      string        // of the same reply, lines parted by LF, if it was made for this occurrence by a template of the plan
	Origin                  // who decided that reply, or ended the connection by a fault; zero when neither was so
	Delivered bool          // the message counts as accepted for this recipient: 2xx after the body, unless a fault has it otherwise
	ReplySent bool          // the deciding reply was handed to the driver
	Cut       bool          // only a part of it was
	Unclear   bool          // a fault broke the reply to MAIL or RCPT by which the recipient was accepted: the client may take it for a refusal
	Whole     bool          // the body has come to its end: a message row tells of it
	Size      int64         // octets of the body read so far, dots unstuffed, without the final dot
	Commit    Commit
}

// Origin says who decided, and what was done besides the reply and its delay.
type Origin struct {
	Cause fault.Cause
	By    string // name of the rule or limit, or of an outcome that was asked for; empty for other causes
	Fault string // as fault.Faults.Names has it; empty when nothing was done
}

// Commit says for whom the row of an attempt is, when Config.Commit is set.
type Commit uint8

// The values of Commit.
const (
	CommitNone    Commit = iota // for everybody: nothing was committed before
	CommitPending               // for the ledger only: EffectCommit follows, and then another row
	CommitDone                  // for everybody but the ledger, which had it as CommitPending
	CommitAmended               // for everybody: the ledger had it as CommitPending, but that reply was not sent, or not as a whole
)

// Transaction is the row of a transaction that died before RCPT. Its slices are valid during Recorder.Transaction only.
type Transaction struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort

	Time   time.Time // when the MAIL command was read
	End    time.Time
	Handed time.Time // as in Attempt

	Sender []byte // reverse-path without <>
	N      uint64 // the sender's n-th MAIL, from 1; 0 when the plan's rules need no such counter
	Token  []byte // as in Attempt

	Message uint64 // the connection's n-th MAIL, from 1
	Phase   string // of the storm, at MAIL; empty without one

	Ending    Ending
	Stage     smtp.Stage
	Code      smtp.Code
	Enhanced  smtp.Enhanced
	Text      string // as in Attempt
	Origin           // as in Attempt
	ReplySent bool
	Cut       bool // as in Attempt
}

// Connection is the last row of a connection. Its slices are valid during Recorder.Connection only.
type Connection struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort

	Via netip.AddrPort // who has connected, when Client is another by a PROXY header or XCLIENT; else invalid

	Time time.Time // when the connection was accepted
	End  time.Time // when it was gone

	Helo           []byte // argument of the last HELO, EHLO or LHLO that was accepted
	Extended       bool   // it was EHLO or LHLO
	Messages       uint64 // MAIL commands that were in sequence and could be parsed, whatever the reply
	Attempts       uint64 // RCPT commands
	Delivered      uint64 // attempts that were delivered
	OctetsIn       uint64
	OctetsOut      uint64
	Undeclared8Bit uint64 // bodies that held 8-bit octets though MAIL said neither BODY=8BITMIME nor BINARYMIME nor SMTPUTF8
	Phase          string // of the storm, as the session knew it last; empty without one
	TLS            bool   // the handshake was done
	TLSInfo        TLSInfo
	Pregreet       bool       // the client has talked before its greeting, which was held back by a plan that wants to know
	User           string     // whom AUTH authenticated; empty when it did not
	Injections     uint64     // STARTTLS commands with plaintext behind them, which was thrown away
	BadSwitches    uint64     // address triggers and header switches that could not be read
	BadSwitch      string     // the first of them as the client wrote it, at most fault.MaxBadSwitch octets
	LongHeaders    uint64     // messages whose header was longer than the 64 KiB that are captured, when headers were captured
	Stage          smtp.Stage // of the last reply
	Code           smtp.Code  // of the last reply; 0 when there was none
	Enhanced       smtp.Enhanced
	Text           string  // of the last reply, as in Attempt
	Refusal        Refusal // the last of which no other row tells
	Reason         CloseReason
	Cause          fault.Cause // who ended the connection, if a reply or a fault did, or else of the last fault that no other row tells; fault.CausePlain when nobody did
	By             string      // name of the rule or limit
	Fault          string      // as fault.Faults.Names has it: what ended the connection, or else the last fault of which no other row tells
	Err            error       // what the driver passed to Closed or TLSDone
	Told           event.Told  // whether the client knows the final replies that no row has settled
}

// Refusal is a reply of 4yz or 5yz at a stage outside of transactions, that no protocol error led to. The zero value is none.
type Refusal struct {
	Stage    smtp.Stage // only meaningful when Code is not 0
	Code     smtp.Code
	Enhanced smtp.Enhanced
	By       Origin
}

// CloseReason says why a connection ended.
type CloseReason uint8

// The reasons.
const (
	ClosedByQuit     CloseReason = iota // the client said QUIT
	ClosedByEOF                         // the client closed its side
	ClosedByReply                       // a reply of 421 as the answer to a command, or as the greeting
	ClosedByTimeout                     // the client was silent for too long
	ClosedByShutdown                    // the sink is shutting down
	ClosedByAbuse                       // a command line without end, or a refused chunk that is too large
	ClosedByError                       // the driver lost the connection or gave it up, see Connection.Err
	ClosedByFault                       // as planned, see Connection.Fault
	ClosedByTLS                         // the TLS handshake failed, see Connection.Err
	ClosedByForeign                     // the client spoke another protocol
	ClosedByProxy                       // there was no PROXY header, or a broken one, see Connection.Err
)

// String returns "quit", "eof", "reply", "timeout", "shutdown", "abuse", "error", "fault", "tls", "not-smtp" or "proxy".
func (r CloseReason) String() string {
	if int(r) < len(closeReasons) {
		return closeReasons[r]
	}
	return "unknown"
}

var closeReasons = [...]string{"quit", "eof", "reply", "timeout", "shutdown", "abuse", "error", "fault", "tls", "not-smtp", "proxy"}
