package session

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// turnWork bounds what a session does in one call, in units of about a plain command's work: one that has done so much waits until its
// driver has written the output, and has looked at the other connections. So what one client pipelines costs the others little,
// whatever it is.
const turnWork = 128

// The work of what takes more than a plain command.
const (
	helloWork    = 8  // a reply of a dozen lines
	authWork     = 32 // hashing
	rowsPerWork  = 16 // rows of a ledger
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
		if tx := s.tx; tx != nil && tx.header.captured() && (s.view.Needs().Headers || tx.ask != nil) {
			return 1 + len(tx.header.buffer.B)/headerWork
		}
	}
	return 1
}

// worked reports whether this call has done its share.
func (s *Session) worked() bool { return s.work.spent >= turnWork }

// yield pauses until the others have had their turn.
func (s *Session) yield() { s.wait, s.out.waitTold = waitDrain, false }
