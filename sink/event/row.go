package event

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Kind says what a row tells.
type Kind uint8

// The kinds of rows.
const (
	KindStart       Kind = iota // a run of the sink starts
	KindConnection              // a connection ended
	KindTransaction             // a transaction ended without any RCPT command
	KindAttempt                 // the fate of one RCPT command is known
	KindSwap                    // another plan is in force
	KindGap                     // rows are missing here: the file could not be written
	KindMessage                 // a body came to its end: what is the message's own
	KindTold                    // whether the client knows a reply, where later rows would say something else
	KindPhase                   // the storm entered another phase
	KindStop                    // a run of the sink ended in an orderly way
	KindStorm                   // somebody has moved the storm's clock
	KindReset                   // somebody has reset what is counted: an epoch begins
	KindStanding                // a standing to which a reaction of the plan has led has begun, or changed

	// NumKinds is how many kinds there are.
	NumKinds = int(KindStanding) + 1
)

var kindNames = [NumKinds]string{"start", "connection", "transaction", "attempt", "swap", "gap", "message", "told", "phase", "stop", "storm", "reset", "standing"}

// String returns the kind as rows write it.
func (k Kind) String() string {
	if int(k) < NumKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind returns the kind of that name. The error names the valid ones.
func ParseKind(name []byte) (Kind, error) {
	for i, n := range kindNames {
		if n == string(name) {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown kind %q (valid: %s)", name, strings.Join(kindNames[:], " "))
}

// Ending says how an attempt or a transaction ended.
type Ending uint8

// The endings.
const (
	EndReply     Ending = iota // a reply decided: Stage and Code tell which
	EndAbandoned               // the client gave the transaction up, by the command that Stage names
	EndLost                    // the connection ended; Stage tells which reply the client would have got next
	EndTimeout                 // the client was silent for too long; Stage as for EndLost

	// NumEndings is how many endings there are.
	NumEndings = int(EndTimeout) + 1
)

var endingNames = [NumEndings]string{"reply", "abandoned", "lost", "timeout"}

// String returns "reply", "abandoned", "lost" or "timeout".
func (e Ending) String() string {
	if int(e) < NumEndings {
		return endingNames[e]
	}
	return fmt.Sprintf("ending(%d)", uint8(e))
}

// ParseEnding returns the ending of that name. The error names the valid ones.
func ParseEnding(name string) (Ending, error) {
	for i, n := range endingNames {
		if n == name {
			return Ending(i), nil
		}
	}
	return 0, fmt.Errorf("unknown ending %q (valid: %s)", name, strings.Join(endingNames[:], " "))
}

// Start starts a run: each process that opens a ledger appends one. Connections are known by (run, conn).
type Start struct {
	Run        string // identifies the run among all ledgers; empty in ledgers of format 1
	Time       time.Time
	Plan       string // name of the plan in force
	PlanHash   string // identifies its text
	Seed       uint64
	Durability Durability
	Reactions  string // of the plan, as Standing.Reaction has them, with blanks in between: standings of others are over
}

// Connection is the last row of a connection. A connection that lacks one was open when its run ended.
type Connection struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort // invalid for a unix socket
	Via      netip.AddrPort // who connected, when Client is another by a PROXY header or XCLIENT; else invalid
	Time     time.Time      // accepted
	End      time.Time

	Phase          string // the storm's phase at connect; empty without phases
	Helo           []byte // argument of the last HELO, EHLO or LHLO that was accepted
	Extended       bool   // it was EHLO or LHLO
	TLS            string // protocol version, such as "TLS 1.3"; empty without TLS
	Messages       uint64 // MAIL commands
	Attempts       uint64 // RCPT commands
	Delivered      uint64 // attempts that were delivered
	OctetsIn       uint64
	OctetsOut      uint64
	Undeclared8Bit uint64        // bodies with 8-bit octets that MAIL did not announce
	Pregreet       bool          // the client talked before its greeting, which was held back by a plan that wanted to know
	User           string        // whom AUTH authenticated; empty when it did not
	Injections     uint64        // STARTTLS commands with plaintext behind them, which was thrown away
	BadSwitches    uint64        // address triggers and header switches that could not be read
	BadSwitch      string        // the first of them, its beginning
	LongHeaders    uint64        // messages whose header was longer than what is looked at
	Stage          smtp.Stage    // of the last reply; only meaningful when Code is not 0
	Code           smtp.Code     // of the last reply; 0 when there was none
	Enhanced       smtp.Enhanced // of the same reply
	Text           string        // of the same reply, lines parted by LF, where a template of the plan made it; else empty
	Fault          string        // what ended the connection besides a reply, or else was done last of what no other row tells; empty: nothing
	Cause          string        // who did that, or ended the connection by a reply, as in Transaction; empty when nobody did
	Refusal        Refusal       // the last of which no other row tells
	Reason         string        // why it ended: a lower-case word such as "quit"
	Error          string        // the error that ended it, if one did
	Told           Told          // whether the client knows the final replies of its last message; see Told
	// Cut names the keys whose values were cut, see ledger.MaxValue, with blanks in between; empty: none.
	Cut string
}

// Refusal is a reply of 4yz or 5yz outside of transactions, such as the greeting, that the plan has decided, or a tester. Protocol errors
// are none. The zero value is none.
type Refusal struct {
	Stage    smtp.Stage // only meaningful when Code is not 0
	Code     smtp.Code  // 0: there was none
	Enhanced smtp.Enhanced
	Cause    string // as in Transaction
}

// Transaction is the row of a transaction that ended without any RCPT command, such as one whose MAIL was refused.
type Transaction struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort
	Time     time.Time // when MAIL was read
	End      time.Time

	Message   uint64 // the connection's n-th MAIL, from 1; 0 when unknown
	Phase     string
	Sender    []byte // reverse-path without <>; empty for the null sender
	N         uint64 // the sender's n-th MAIL, from 1; 0 when nobody counted
	Token     []byte // ENVID of the MAIL command (RFC 3461 section 4.4), else the sender
	Ending    Ending
	Stage     smtp.Stage
	Code      smtp.Code // of the reply that decided, also of one that was not sent; 0 when none did
	Enhanced  smtp.Enhanced
	Text      string    // of the same reply, as in Connection
	Cause     string    // who decided, such as "plain", "protocol", "rule:NAME", "limit:NAME"; empty when unknown
	Fault     string    // what was done besides reply and delay; empty: nothing
	ReplySent bool      // the deciding reply was handed to the driver
	Handed    time.Time // when that was; zero: at End
	Ambiguous bool      // a fault made the reply, or the acceptance at MAIL or RCPT, unreadable or tore the connection so that the client may not know
	// Cut names the keys whose values were cut, see ledger.MaxValue, with blanks in between; empty: none.
	Cut string
}

// Attempt is the final row of one RCPT command: exactly one is written for each, but with durability Ack, where the row is written
// before its reply goes out and another amends it when that reply was not sent after all.
type Attempt struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort
	Time     time.Time // when RCPT was read
	End      time.Time // when its fate was known
	Mail     time.Time // when the MAIL of its transaction was read; zero when unknown
	Handed   time.Time // when the deciding reply was handed over, if that was not at End; zero otherwise

	Message   uint64 // the connection's n-th MAIL, from 1; 0 when unknown or outside a transaction
	Phase     string
	Sender    []byte // reverse-path without <>; empty for the null sender, and outside a transaction
	Recipient []byte // forward-path without <>; empty when it could not be parsed
	N         uint64 // that pair's n-th RCPT, from 1; 0 when nobody counted
	Token     []byte // ENVID of the MAIL command, else the sender
	StormID   []byte // X-Storm-Id of the message, when headers were captured and no Message row says it
	MessageID []byte // Message-ID of the message, likewise
	ORCPT     []byte // ORCPT of the RCPT command as it came, type;xtext (RFC 3461 section 4.2); empty without one
	Ending    Ending
	Stage     smtp.Stage
	Code      smtp.Code     // of the reply that decided, as it stood on the wire, also of one that was not sent; 0 when none did
	Enhanced  smtp.Enhanced // zero when the session had none to give
	Text      string        // of the same reply, as in Connection
	Cause     string        // as in Transaction
	Fault     string        // as in Transaction
	Delivered bool          // the message counts as delivered to this recipient, whatever the client was told
	ReplySent bool          // the deciding reply was handed to the driver
	Ambiguous bool          // a fault made the reply unreadable or tore the connection so that the client may not know
	Size      int64         // octets of the body read, dots unstuffed, without the final dot
	Amends    bool          // takes the place of the row before it that has the same connection, message, time and recipient, if there is one
	// Cut names the keys whose values were cut, see ledger.MaxValue, with blanks in between; empty: none.
	Cut string
}

// Known reports whether, as far as this row alone tells, a client of a delivered attempt knows that it was: a 2xx after the body was
// handed over in a form that it could read. Whether it did read it is told by what follows, see Told.
func (a *Attempt) Known() bool {
	return a.Ending == EndReply && a.ReplySent && !a.Ambiguous && a.Code.Class() == 2
}

// Swap says that another plan came into force.
type Swap struct {
	Time      time.Time
	Plan      string
	PlanHash  string
	Seed      uint64
	Restart   bool   // the storm's clock started again
	Reactions string // as in Start
}

// Gap says that rows are missing at its place: the file could not be written, and can be again.
type Gap struct {
	Rows  uint64 // how many, at most: rows that a session wrote again after a failed commit are among them
	Error string // why the last of them could not be written
}

// Message says what is the message's own, once: the attempts of its transaction refer to it by (conn, message). It stands before
// those that its end decides. Without it nothing is known of headers and body.
type Message struct {
	Conn      uint64
	Message   uint64    // the connection's n-th MAIL, from 1
	Time      time.Time // when the final dot, or the last octet of BDAT LAST, was read
	Headers   bool      // StormID and MessageID were looked for: an empty one is absent from the message
	StormID   []byte    // X-Storm-Id, at most 998 octets
	MessageID []byte    // Message-ID, likewise
	Hashed    bool      // Body and Size are known
	Body      uint64    // xxh64 of the first 64 KiB of the canonical body, see docs/reconciliation.md
	Size      int64     // octets of the canonical body
	QueueID   uint64    // what replies call the message, where the plan has them do so; 0: nothing
	SevenBit  bool      // the session had not offered 8BITMIME (RFC 6152)
}

// Told says whether a client knows a reply.
//
// Nothing in the row of a reply can say so, since that row is written before the reply goes out. It is settled by what follows: an
// exception row (kind told) for the reply; else a later row of the same connection, which makes it ToldYes; else Connection.Told.
// Without all of these it is unknown.
type Told uint8

// The values of Told.
const (
	ToldNothing Told = iota // the row doesn't say: told by a connection that ended by QUIT, unknown by any other
	ToldYes                 // octets or a FIN came that the client sent after it had got the reply
	ToldNo                  // certainly never received
	ToldUnknown             // neither is certain

	// NumTold is how many values there are.
	NumTold = int(ToldUnknown) + 1
)

var toldNames = [NumTold]string{"", "told", "untold", "unknown"}

// String returns "told", "untold" or "unknown", and nothing for ToldNothing.
func (t Told) String() string {
	if int(t) < NumTold {
		return toldNames[t]
	}
	return fmt.Sprintf("told(%d)", uint8(t))
}

// ParseTold returns the value of that name. The error names the valid ones.
func ParseTold(name string) (Told, error) {
	for i, n := range toldNames {
		if n == name && i > 0 {
			return Told(i), nil
		}
	}
	return 0, fmt.Errorf("unknown value %q (valid: %s)", name, strings.Join(toldNames[1:], " "))
}

// Exception says of one reply whether the client knows it. It stands after the row of the reply and before the next row of the
// connection that would settle it otherwise.
type Exception struct {
	Conn      uint64
	Message   uint64
	Recipient []byte // empty: the replies to all recipients of the message
	Told      Told   // not ToldNothing
}

// Phase says that the storm entered a phase.
type Phase struct {
	Time  time.Time
	Phase string // empty: the last one is over
}

// Storm says that somebody has moved the storm's clock. The phase that is in force after it has a row of its own, unless it was before.
type Storm struct {
	Time   time.Time
	Action string        // start, stop, jump or extend
	Phase  string        // that begins, or is extended; empty: none, the storm is over
	Index  uint64        // of that phase among all of the storm, repetitions counted, from 0
	By     time.Duration // how much longer it takes
}

// Reset says that somebody has reset what is counted: an epoch begins.
type Reset struct {
	Time  time.Time
	Epoch uint64 // from 1: 2 is the first of a run that has a row
	State bool   // attempts, token buckets, greylists and standings were forgotten
}

// The reasons of a Standing.
const (
	StandingWhen       = "when"        // what the reaction counts has come often enough: it begins
	StandingWorse      = "worse"       // what makes it worse has come often enough while it held: it rises
	StandingBack       = "back"        // what lowers it has come
	StandingFirstSight = "first-sight" // the key was seen for the first time, or again after its standing was over
	StandingForgiven   = "forgiven"    // somebody has ended it, by the control API
)

// Standing says that the standing of a key by a reaction of the plan has begun or ended, has another level, or holds for longer. One that
// ends because its time is over has no row: Until tells.
type Standing struct {
	Time        time.Time
	Conn        uint64    // the connection that led to it; 0: none did, and nothing is known of an occurrence
	React       string    // the reaction's name
	Reaction    uint64    // identifies the reaction's whole text
	Key         string    // whose standing it is, as people read it
	Fingerprint [16]byte  // identifies the key
	From, To    uint64    // the level before and after; 0: it did not hold, or does no longer
	Until       time.Time // when it ends by itself; zero: never, or it does not hold
	Reason      string    // one of the constants

	// The occurrence that led to it, see Conn.
	Stage    smtp.Stage
	Code     smtp.Code // of the reply that was decided, sent or not; 0 when none was yet
	Enhanced smtp.Enhanced
	Cause    string // who decided it, as in Transaction; empty when nobody had yet

	// Cut names the keys whose values were cut, see ledger.MaxValue, with blanks in between; empty: none.
	Cut string
}

// Stop ends a run in an orderly way: all its rows are before it. A run without one died.
type Stop struct {
	Time time.Time
	Rows uint64 // that the run has before it, its start included; 0: not known. The ledger's writer counts them
}

// Row is one row of a ledger: the member that Kind names is meaningful.
type Row struct {
	Kind        Kind
	Start       Start
	Connection  Connection
	Transaction Transaction
	Attempt     Attempt
	Swap        Swap
	Gap         Gap
	Message     Message
	Told        Exception
	Phase       Phase
	Stop        Stop
	Storm       Storm
	Reset       Reset
	Standing    Standing
}
