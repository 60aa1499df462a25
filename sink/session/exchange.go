package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	shared "github.com/smtpstorm/xk6-smtp/sink/state"
)

// exchange is one occurrence of a stage, such as a command or the end of a body, and the reply to it.
//
//	state             the reply                                    goes to
//	exchangeOpen      is not decided, or belongs to no stage       exchangeDecided (decided)
//	exchangeDecided   waits for its time, for its rows to be on    exchangeGiven (given), exchangeWithheld (withhold);
//	                  disk, for its message to be captured, or     exchangeDecided, when another reply takes its place
//	                  until all its pieces are sent
//	exchangeGiven     was handed to the driver as a whole          exchangeDecided, by what comes next
//	exchangeWithheld  never will be                                exchangeOpen, at the end of the call
//
// It also has space for what is handed out by pointer, which would otherwise be allocated anew for each command. So a session has one only
// while a call of its driver's is under way, or while a reply is decided and not given.
type exchange struct {
	call
	command

	state      exchangeState
	stage      smtp.Stage
	decision   fault.Decision
	occurrence fault.Occurrence
	described  bool            // occurrence was set
	levels     fault.Levels    // what occurrence.Levels is
	changes    []shared.Change // space for those of standings
	nth        uint64          // occurrence of the stage in this connection, see countOccurrence
	plain      bool            // the reply is the stage's plain one
	goesOn     bool            // fault.Occurrence.GoesOn
	asWritten  bool            // fault.Occurrence.AsWritten
	faults     *fault.Faults   // of the outcome; nil when it has none
	wrong      smtp.Reply      // a reply made for this occurrence
	filled     []byte          // scratch space for its lines
	enhanced   smtp.Enhanced   // of the reply, as it stands on the wire
	decidedAt  time.Duration   // since the session started
	promised   bool            // a ledger has been given the rows of the reply, or is about to write them (Config.Commit)
	amends     bool            // the rows of the reply instead of which this one is given may be on disk, or get there
	by         Origin          // who ends the connection, when a fault does
	ending     bool            // by was set
	announced  announcement    // by the reply to EHLO, as it was sent
	rows       struct {        // space for them
		attempt     Attempt
		transaction Transaction
		message     event.Message
		connection  Connection
		standing    event.Standing
	}
}

// announcement is what the reply to EHLO announced of what later replies, and rows, depend on.
type announcement struct{ enhanced, eightBit bool }

// command is what the command under way asks for, as far as the state that follows depends on it.
type command struct {
	mail smtp.MailArgs
	rcpt smtp.RcptArgs
	helo []byte       // argument of the greeting; a copy
	ask  fault.Switch // what this RCPT's recipient asks for

	opened    bool        // this MAIL opened the transaction
	opensBody bool        // a 3yz to this DATA opens the body
	candidate bool        // this RCPT's recipient will be accepted unless the reply says no
	misplaced *smtp.Reply // why the command is out of order; nil when it isn't

	recipient []byte        // of this RCPT: in the transaction's arena if it is a candidate
	orcpt     span          // of this RCPT, if it is a candidate
	rcptN     uint64        // of this RCPT
	read      time.Duration // since the session started: when this RCPT was read
}

// begin forgets the command before.
func (c *command) begin() {
	c.opened, c.opensBody, c.candidate, c.misplaced, c.recipient = false, false, false, nil, nil
}

type exchangeState uint8

const (
	exchangeOpen exchangeState = iota
	exchangeDecided
	exchangeGiven
	exchangeWithheld
)

// decided notes that the reply to this occurrence of the stage, or another one in its place, was decided. It returns the outcome's faults.
func (e *exchange) decided(stage smtp.Stage) *fault.Faults {
	e.state, e.stage, e.faults, e.promised, e.decidedAt = exchangeDecided, stage, nil, false, e.now
	if c := e.decision.Chosen; c != nil && c.Faulty {
		e.faults = &c.Faults
	}
	return e.faults
}

// pending reports whether a reply was decided and is not given, or not as a whole, but will be.
func (e *exchange) pending() bool { return e.state == exchangeDecided }

// unsent returns the reply that was decided and that the client has not got as a whole; nil when there is none.
func (e *exchange) unsent() *smtp.Reply {
	if e.state == exchangeDecided || e.state == exchangeWithheld {
		return e.decision.Reply
	}
	return nil
}

// given notes that the reply was handed over as a whole.
func (e *exchange) given() { e.state = exchangeGiven }

// withhold notes that a reply that waits never will be sent.
func (e *exchange) withhold() {
	if e.state == exchangeDecided {
		e.state = exchangeWithheld
	}
}

// endedBy notes who ends the connection.
func (e *exchange) endedBy(by Origin) { e.by, e.ending = by, true }

// origin says who made the decision.
func (e *exchange) origin() Origin { return originOf(&e.decision) }

// malformed reports whether a client can't read the reply.
func (e *exchange) malformed() bool {
	return e.faults != nil && e.faults.Unreadable()
}

// lateReply is how late a reply may be before the kernel is asked what became of it.
const lateReply = 100 * time.Millisecond

// late reports whether the reply is given late.
func (e *exchange) late() bool { return e.now-e.decidedAt >= lateReply }

// commitment returns for whom the rows are that the reply decides.
func (e *exchange) commitment() Commit {
	switch {
	case e.amends:
		return CommitAmended
	case e.promised:
		return CommitDone
	}
	return CommitNone
}

// end forgets, at the end of a call, what another session must not find.
func (e *exchange) end() {
	if e.described {
		e.described, e.occurrence = false, fault.Occurrence{}
	}
	if e.ending {
		e.ending, e.by = false, Origin{}
	}
	e.state = exchangeOpen
}
