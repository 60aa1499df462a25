package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Receipt is what a driver knows of what it brings next: octets, the client's FIN, or the connection's end. Its zero value says that it
// came after the client's kernel had acknowledged all output, and so shows that the client has been told (docs/books.md).
type Receipt struct {
	// Waiting: it had come before the last output was handed over, or may have; it shows nothing.
	Waiting bool
	// Unacknowledged: it crossed the last output, which the client's kernel had not acknowledged when this came.
	Unacknowledged bool
	// Refused: the last output certainly never reached the client. Its kernel has answered it by a reset, or the send failed.
	Refused bool
	// Finished: the client's FIN has come, by which it closed in good order.
	Finished bool
	// More: the read that brought it filled its buffer, so that more may be waiting already.
	More bool
}

// receipt is what is known of the last final replies: the replies that after a message for one of its recipients or for all.
type receipt uint8

const (
	receiptNone     receipt = iota // there was none, or rows have settled it
	receiptGiven                   // handed over, and nothing has followed yet that shows anything
	receiptFollowed                // octets have followed. A client that never reads may send those, too; then it ends by a reset
	receiptTold                    // the client knows them
	receiptUnknown                 // nobody can say
	receiptUntold                  // the client certainly doesn't know them
)

// told turns it into what rows say. A connection that goes on without a reset has read what it was given.
func (r receipt) told() event.Told {
	switch r {
	case receiptFollowed, receiptTold:
		return event.ToldYes
	case receiptUntold:
		return event.ToldNo
	case receiptNone:
		return event.ToldNothing
	}
	return event.ToldUnknown
}

// doubts say why what follows may not show what it seems to.
type doubts uint16

const (
	doubtWaiting   doubts = 1 << iota // Receipt.Waiting or Unacknowledged, of what comes next
	doubtRefused                      // Receipt.Refused, likewise
	doubtMore                         // Receipt.More, of what came last
	doubtFinished                     // the client's FIN has come
	doubtLate                         // the last final reply was given late: the client may have lost its patience
	doubtPipelines                    // the client doesn't wait for the reply to its messages
	doubtFormer                       // the last final replies are of the message before
	doubtAnswered                     // another reply was given after the last final ones
	doubtEarlier                      // the client was told others of the same message before
	doubtEnvelope                     // the last final replies are not those after the body
)

// lateReply is how late a reply may be before the kernel is asked what became of it.
const lateReply = 100 * time.Millisecond

// Receipt tells what the driver knows of the octets, the end of file or the end that it brings by its next call. A driver that calls
// it with the zero value, or not at all, says that all was acknowledged.
func (s *Session) Receipt(r Receipt) {
	s.doubts &^= doubtWaiting | doubtRefused | doubtMore
	if r.Waiting || r.Unacknowledged {
		s.doubts |= doubtWaiting
	}
	if r.Refused {
		s.doubts |= doubtRefused
	}
	if r.Finished {
		s.doubts |= doubtFinished
	}
	if r.More {
		s.doubts |= doubtMore
	}
}

// Doubts reports whether the kernel should be asked: at once, whether input waits already, and when more comes, whether all output was
// acknowledged by then. That is so after a late final reply, and on connections whose clients don't wait for replies to messages.
func (s *Session) Doubts() bool {
	if s.receipt != receiptGiven && s.receipt != receiptFollowed {
		return false
	}
	return s.doubts&(doubtLate|doubtPipelines) != 0 || s.doubts&doubtMore != 0 && s.receipt == receiptGiven
}

// Awaits reports whether final replies were given of which nothing has shown yet that the client has got them: an end of file then
// says more when the kernel is asked.
func (s *Session) Awaits() bool { return s.receipt == receiptGiven }

// Hangup tells that the client's FIN has come while the session takes no input. Replies given later may find nobody: they are sent
// all the same, since a client may have closed one side only.
func (s *Session) Hangup(now time.Time) {
	if s.state == stateClosed || s.doubts&doubtFinished != 0 {
		return
	}
	s.beginCall(now)
	if s.wait != waitCommit { // the rows of the reply that waits may be written already
		s.finished()
		s.except()
	}
	s.doubts |= doubtFinished
	s.endCall()
}

// followed notes that octets came.
func (s *Session) followed() {
	shown := s.doubts&doubtWaiting == 0
	s.work.blind = !shown
	s.doubts &^= doubtWaiting | doubtRefused
	switch {
	case !shown || s.cfg.Proxied: // a proxy's kernel acknowledges, not the client's
		if !shown && s.receipt == receiptGiven && s.doubts&doubtEnvelope == 0 {
			s.doubts |= doubtPipelines
		}
	case s.receipt == receiptGiven:
		s.receipt = receiptFollowed
		s.doubts &^= doubtAnswered
	case s.receipt == receiptFollowed && s.doubts&doubtAnswered != 0:
		s.receipt = receiptTold
	}
}

// bodyBegun notes that octets of a body came: whoever sends those has read the 354, and all before it.
func (s *Session) bodyBegun() {
	if s.receipt <= receiptFollowed && s.receipt != receiptNone && !s.work.blind && !s.work.bodyOpened {
		s.receipt = receiptTold
	}
}

// finished judges by the client's FIN, or by how the connection ended instead.
func (s *Session) finished() {
	d := s.doubts
	s.doubts &^= doubtWaiting | doubtRefused
	switch s.receipt {
	case receiptFollowed: // a client that has not read what it has got ends by a reset
		s.receipt = receiptTold
	case receiptGiven:
		switch {
		case d&doubtRefused != 0 && d&doubtAnswered == 0 && !s.cfg.Proxied:
			s.receipt = receiptUntold
		case d&(doubtRefused|doubtWaiting|doubtFinished) != 0 || s.cfg.Proxied:
			s.receipt = receiptUnknown
		default:
			s.receipt = receiptTold
		}
	}
}

// broken judges by an end that is no FIN of the client's.
func (s *Session) broken(err error) {
	d := s.doubts
	s.doubts &^= doubtWaiting | doubtRefused
	switch {
	case s.receipt == receiptFollowed && (err == nil || d&doubtFinished != 0): // a client that has left something unread sends no FIN
		s.receipt = receiptTold
	case s.receipt == receiptGiven && d&doubtRefused != 0 && d&doubtAnswered == 0 && !s.cfg.Proxied:
		s.receipt = receiptUntold
	case s.receipt == receiptGiven, s.receipt == receiptFollowed:
		s.receipt = receiptUnknown
	}
}

// final reports whether a reply is the last that a message gets for a recipient, or as a whole.
func final(stage smtp.Stage, r *smtp.Reply) bool {
	switch stage {
	case smtp.StageMessage:
		return true
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml, smtp.StageRcpt, smtp.StageBdat:
		return r.Code.Class() != 2
	case smtp.StageData:
		return r.Code.Class() != 3
	}
	return false
}

// beforeFinal writes what must stand before the rows of a final reply.
func (s *Session) beforeFinal() {
	s.resolveFormer()
	if s.receipt < receiptFollowed {
		return
	}
	if s.doubts&(doubtFinished|doubtLate) != 0 || s.work.late() || s.receipt > receiptTold {
		s.except()
		return
	}
	s.doubts |= doubtEarlier // settled with those to come, unless these turn out to be untold
}

// given notes that a final reply was handed over.
func (s *Session) given(stage smtp.Stage) {
	s.beforeFinal()
	s.receipt = receiptGiven
	s.doubts &^= doubtLate | doubtAnswered | doubtEnvelope
	if stage != smtp.StageMessage {
		s.doubts |= doubtEnvelope
	}
	if s.work.late() {
		s.doubts |= doubtLate
	}
}

func (w *work) late() bool { return w.now-w.decided >= lateReply }

// resolveFormer says what is known of the last message's replies before a row of another message says that they were told.
func (s *Session) resolveFormer() {
	if s.doubts&doubtFormer == 0 {
		return
	}
	if s.receipt.told() != event.ToldYes {
		s.except()
	}
	s.receipt = receiptNone
	s.doubts &^= doubtFormer | doubtEarlier
}

// beforeBody says what is known of the replies to recipients of this message before its message row says that they were told: a chunk
// may have come with them.
func (s *Session) beforeBody() {
	s.resolveFormer()
	if s.receipt.told() != event.ToldYes {
		s.except()
	}
	s.receipt = receiptNone
	s.doubts &^= doubtEarlier
}

// except writes the row that says whether the client knows the last final replies.
func (s *Session) except() {
	told := s.toldLast()
	s.receipt = receiptNone
	if s.env.Recorder == nil || told == event.ToldNothing {
		return
	}
	message := s.messages
	if s.doubts&doubtFormer != 0 {
		message--
	}
	s.doubts &^= doubtFormer | doubtEarlier
	s.env.Recorder.Told(&event.Exception{Conn: s.id, Message: uint64(message), Told: told})
}

// toldLast returns what is known of all final replies that no row has settled.
func (s *Session) toldLast() event.Told {
	told := s.receipt.told()
	if told == event.ToldNo && s.doubts&doubtEarlier != 0 {
		return event.ToldUnknown // of some it is certain that they were told
	}
	return told
}
