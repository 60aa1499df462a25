package session

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// turnWork bounds what a session does in one call, in units of about a plain command's work: one that has done so much waits until its
// driver has written the output, and has looked at the other connections. So what one client pipelines costs the others little,
// whatever it is. Where many connections are busy at the same time (Scratch.Crowd), each does less, so that a turn of them all stays short.
const (
	turnWork  = 128
	leastWork = 16   // whatever the crowd: most clients pipeline no more
	crowdWork = 4096 // of a crowd in one turn, if that leaves leastWork for each

	readCommands = 4 << 10
	readInBody   = 64 << 10 // octets, by which a crowd costs others about as much as by crowdWork from manyRead on,
	manyRead     = 128
	manyShort    = 32 // or, where lines are short, from manyShort on
	leastRead    = 8 << 10
)

// The work of what takes more than a plain command.
const (
	helloWork    = 8  // a reply of a dozen lines
	authWork     = 32 // hashing
	rowsPerWork  = 2  // rows of a ledger
	rulesPerWork = 8  // rules that are asked whether they match
	headerWork   = 4 << 10
)

// workOf returns the work of an occurrence of a stage, without that of its rules.
func (s *Session) workOf(stage smtp.Stage) int {
	switch stage {
	case smtp.StageEhlo:
		return helloWork
	case smtp.StageAuth, smtp.StageStartTLS:
		return authWork
	case smtp.StageMessage:
		if tx := s.tx; tx != nil {
			return 1 + tx.header.takeSearched()/headerWork
		}
	}
	return 1
}

// worked reports whether this call has done its share.
func (s *Session) worked() bool { return s.work.spent >= s.env.Scratch.share() }

// WantRead returns how many octets the next read should take at the most: 4 KiB while commands are expected, so that a client
// can't make the session answer thousands of commands in one go; more within a body, but where many are busy.
func (s *Session) WantRead() int {
	switch {
	case s.state == stateData && s.tx.scanner.ShortLines():
		return s.env.Scratch.bodyRead(manyShort)
	case s.state == stateData, s.state == stateChunk:
		return s.env.Scratch.bodyRead(manyRead)
	}
	return readCommands
}

// yield pauses until the others have had their turn.
func (s *Session) yield() { s.wait, s.out.waitTold = waitDrain, false }
