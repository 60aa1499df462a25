package session

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Recorder is told what happens in a session, on the goroutine that drives the session. What it is given is valid during the call
// only. An occurrence that was Decided but not yet Replied is in flight: its reply is delayed, or its connection died first.
type Recorder interface {
	// Decided tells that an occurrence of the stage got its outcome. d.Reply is never nil: it is the reply that will be sent.
	Decided(s smtp.Stage, d *fault.Decision)
	// Replied tells that this reply was handed to the driver for writing: it is part of the next write effect.
	Replied(s smtp.Stage, d *fault.Decision)
	// Attempt is called exactly once for each RCPT command, when its fate is known.
	Attempt(a *Attempt)
	// Transaction is called once for each transaction that ended without any RCPT command, such as a refused MAIL.
	Transaction(t *Transaction)
	// Connection is called once, as the last call for the connection.
	Connection(c *Connection)
}

// Ending says how an attempt or a transaction ended.
type Ending uint8

// The endings.
const (
	EndReply     Ending = iota // a reply decided: Stage and Code tell which
	EndAbandoned               // the client gave the transaction up: by RSET, HELO, EHLO or QUIT, which Stage tells
	EndLost                    // the connection ended; Stage tells which reply the client would have got next
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

	Time time.Time // when the RCPT command was read
	End  time.Time // when its fate was known

	Sender    []byte // reverse-path without <>; empty for the null sender, and for a RCPT outside a transaction
	Recipient []byte // forward-path without <>; empty when it could not be parsed
	N         uint64 // that pair's n-th RCPT, from 1; 0 when the plan's rules need no such counter or the command was refused before
	Token     []byte // what identifies the message: ENVID of the MAIL command, else the sender

	Ending    Ending
	Stage     smtp.Stage    // where it ended
	Code      smtp.Code     // of the reply that decided, also of one that was decided but not sent; 0 when none did
	Enhanced  smtp.Enhanced // of the same reply, whether or not the client asked for such codes by EHLO
	Delivered bool          // the message was accepted for this recipient: 2xx after the body
	ReplySent bool          // the deciding reply was handed to the driver
	Size      int64         // octets of the body read so far, dots unstuffed, without the final dot
}

// Transaction is the row of a transaction that died before RCPT. Its slices are valid during Recorder.Transaction only.
type Transaction struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort

	Time time.Time // when the MAIL command was read
	End  time.Time

	Sender []byte // reverse-path without <>
	N      uint64 // the sender's n-th MAIL, from 1; 0 when the plan's rules need no such counter
	Token  []byte // as in Attempt

	Ending    Ending
	Stage     smtp.Stage
	Code      smtp.Code
	Enhanced  smtp.Enhanced
	ReplySent bool
}

// Connection is the last row of a connection. Its slices are valid during Recorder.Connection only.
type Connection struct {
	Conn     uint64
	Listener string
	Client   netip.AddrPort

	Time time.Time // when the connection was accepted
	End  time.Time

	Helo           []byte // argument of the last HELO, EHLO or LHLO that was accepted
	Extended       bool   // it was EHLO or LHLO
	Messages       uint64 // MAIL commands that were in sequence and could be parsed, whatever the reply
	Attempts       uint64 // RCPT commands
	Delivered      uint64 // attempts that were delivered
	OctetsIn       uint64
	OctetsOut      uint64
	Undeclared8Bit uint64 // bodies that held 8-bit octets though MAIL said neither BODY=8BITMIME nor BINARYMIME nor SMTPUTF8
	Reason         CloseReason
	Err            error // what the driver passed to Closed
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
)

// String returns "quit", "eof", "reply", "timeout", "shutdown", "abuse" or "error".
func (r CloseReason) String() string {
	if int(r) < len(closeReasons) {
		return closeReasons[r]
	}
	return "unknown"
}

var closeReasons = [...]string{"quit", "eof", "reply", "timeout", "shutdown", "abuse", "error"}
