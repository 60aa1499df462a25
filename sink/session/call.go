package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// call is what is known of the call of the driver's that is under way.
type call struct {
	now        time.Duration // since the session started
	cost       int           // so far, see callCost
	blind      bool          // its input had come before the last output was handed over
	bodyOpened bool          // a 3yz that its input has brought about opened the body
}

// callCost bounds what a session does in one call, in units of about a plain command's cost: one that has done so much waits until its
// driver has written the output, and has looked at the other connections. So what one client pipelines costs the others little,
// whatever it is. Where many connections are busy at the same time (Scratch.SetBusy), each does less, so that a turn of them all stays short.
const (
	callCost  = 128
	leastCost = 16   // however many are busy: most clients pipeline no more
	turnCost  = 4096 // of all in one turn, if that leaves leastCost for each

	readCommands = 4 << 10
	readInBody   = 64 << 10 // octets, by which many busy connections cost the others about as much as by turnCost from manyRead on,
	manyRead     = 128
	manyShort    = 32 // or, where lines are short, from manyShort on
	leastRead    = 8 << 10
)

// The cost of what takes more than a plain command.
const (
	helloCost     = 8  // a reply of a dozen lines
	authCost      = 32 // hashing
	rowsPerCost   = 2  // rows of a ledger
	rulesPerCost  = 8  // rules that are asked whether they match
	headerPerCost = 4 << 10
)

// costOf returns the cost of an occurrence of a stage, without that of its rules.
func (s *Session) costOf(stage smtp.Stage) int {
	switch stage {
	case smtp.StageEhlo:
		return helloCost
	case smtp.StageAuth, smtp.StageStartTLS:
		return authCost
	case smtp.StageMessage:
		if tx := s.tx; tx != nil {
			return 1 + tx.header.takeSearched()/headerPerCost
		}
	}
	return 1
}

// spent reports whether this call has done its share.
func (s *Session) spent() bool { return s.exchange.cost >= s.env.Scratch.share() }

// WantRead returns how many octets the next read should take at the most: 4 KiB while commands are expected, so that a client
// can't make the session answer thousands of commands in one go; more within a body, but where many are busy; of a client that is read slowly, what
// passes at a time, in whole KiB.
func (s *Session) WantRead() int {
	switch {
	case s.slowInput():
		return min((s.extra.link.in.most()+1023)&^1023, readCommands)
	case s.state == stateData && s.tx.scanner.ShortLines():
		return s.env.Scratch.bodyRead(manyShort)
	case s.state == stateData, s.state == stateChunk:
		return s.env.Scratch.bodyRead(manyRead)
	}
	return readCommands
}

// yield pauses until the others have had their turn.
func (s *Session) yield() { s.pause.begin(waitDrain) }
