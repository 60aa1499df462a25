package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Receipt is what a driver knows of what it brings next: octets, the client's FIN, or the connection's end. Its zero value says that it
// came after the client's kernel had acknowledged all output, and so shows that the client has been told (docs/reconciliation.md).
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
	doubtProxied                      // a proxy's kernel acknowledges, not the client's: see Config.Proxied
)

// receipts keep what is known of the last final replies, and why it may be wrong: no row has settled them yet.
//
//	state            a final reply is given   octets follow           octets of a body   the client's FIN           a reset
//	receiptNone      receiptGiven
//	receiptGiven     receiptGiven             receiptFollowed         receiptTold        receiptTold, or            receiptUnknown, or
//	                                                                                     Untold, Unknown            Untold
//	receiptFollowed  receiptGiven             receiptTold, if another receiptTold        receiptTold                receiptUnknown, or
//	                                          reply was given since                                                 Told, if the FIN came before
//	the others       receiptGiven             the same                the same           the same                   the same
//
// Octets, a FIN or a reset that had come before the replies went out show nothing. A row settles: receiptNone.
type receipts struct {
	doubts doubts
	state  receipt
}

// note notes what the driver knows of what it brings next.
func (r *receipts) note(d Receipt) {
	r.doubts &^= doubtWaiting | doubtRefused | doubtMore
	if d.Waiting || d.Unacknowledged {
		r.doubts |= doubtWaiting
	}
	if d.Refused {
		r.doubts |= doubtRefused
	}
	if d.Finished {
		r.doubts |= doubtFinished
	}
	if d.More {
		r.doubts |= doubtMore
	}
}

// given notes that a final reply was handed over; inEnvelope, that it is not one after the body.
func (r *receipts) given(inEnvelope, late bool) {
	r.state = receiptGiven
	r.doubts &^= doubtLate | doubtAnswered | doubtEnvelope
	if inEnvelope {
		r.doubts |= doubtEnvelope
	}
	if late {
		r.doubts |= doubtLate
	}
}

// answered notes that some reply was handed over.
func (r *receipts) answered() { r.doubts |= doubtAnswered }

// followed notes that octets came. It reports whether they had come before the last output.
func (r *receipts) followed() (blind bool) {
	blind = r.doubts&doubtWaiting != 0
	r.doubts &^= doubtWaiting | doubtRefused
	switch {
	case blind:
		r.pipelined()
	case r.doubts&doubtProxied != 0:
	case r.state == receiptGiven:
		r.state = receiptFollowed
		r.doubts &^= doubtAnswered
	case r.state == receiptFollowed && r.doubts&doubtAnswered != 0:
		r.state = receiptTold
	}
	return blind
}

// pipelined notes that octets came before the client could have read the last reply.
func (r *receipts) pipelined() {
	if r.state == receiptGiven && r.doubts&doubtEnvelope == 0 {
		r.doubts |= doubtPipelines
	}
}

// body notes that octets of a body came: whoever sends those has read the 354, and all before it.
func (r *receipts) body() {
	if r.state == receiptGiven || r.state == receiptFollowed {
		r.state = receiptTold
	}
}

// finished judges by the client's FIN, or by how the connection ended instead.
func (r *receipts) finished() {
	d := r.doubts
	r.doubts &^= doubtWaiting | doubtRefused
	switch r.state {
	case receiptFollowed: // a client that has not read what it has got ends by a reset
		r.state = receiptTold
	case receiptGiven:
		switch {
		case d.refused():
			r.state = receiptUntold
		case d&(doubtRefused|doubtWaiting|doubtFinished|doubtProxied) != 0:
			r.state = receiptUnknown
		default:
			r.state = receiptTold
		}
	}
}

// fin notes that the client's FIN has come.
func (r *receipts) fin() { r.doubts |= doubtFinished }

// open reports whether a final reply was given that nothing has followed, so that the client's FIN will tell whether it has read it.
func (r *receipts) open() bool {
	return r.state == receiptGiven && r.doubts&(doubtFinished|doubtProxied) == 0
}

// broken judges by an end that is no FIN of the client's; inOrder, that it was no reset either.
func (r *receipts) broken(inOrder bool) {
	d := r.doubts
	r.doubts &^= doubtWaiting | doubtRefused
	switch {
	case r.state == receiptFollowed && (inOrder || d&doubtFinished != 0): // a client that has left something unread sends no FIN
		r.state = receiptTold
	case r.state == receiptGiven && d.refused():
		r.state = receiptUntold
	case r.state == receiptGiven, r.state == receiptFollowed:
		r.state = receiptUnknown
	}
}

// refused reports whether the last output, which never reached the client, is the last final reply.
func (d doubts) refused() bool { return d&(doubtRefused|doubtAnswered|doubtProxied) == doubtRefused }

// nextMessage notes that a message begins: the last final replies are of the one before.
func (r *receipts) nextMessage() {
	if r.state != receiptNone {
		r.doubts |= doubtFormer
	}
}

// former reports whether the last final replies are of the message before.
func (r *receipts) former() bool { return r.doubts&doubtFormer != 0 }

// told returns what is known of all final replies that no row has settled.
func (r *receipts) told() event.Told {
	told := r.state.told()
	if told == event.ToldNo && r.doubts&doubtEarlier != 0 {
		return event.ToldUnknown // of some it is certain that they were told
	}
	return told
}

// implied reports whether the rows to come say of the last final replies what is known of them: that the client was told.
func (r *receipts) implied() bool { return r.state.told() == event.ToldYes }

// keep leaves the last final replies to be settled with those to come.
func (r *receipts) keep() { r.doubts |= doubtEarlier }

// settled forgets the last final replies: a row says, or implies, what is known of them.
func (r *receipts) settled() {
	r.state = receiptNone
	r.doubts &^= doubtFormer | doubtEarlier
}

// Receipt tells what the driver knows of the octets, the end of file or the end that it brings by its next call. A driver that calls
// it with the zero value, or not at all, says that all was acknowledged.
func (s *Session) Receipt(r Receipt) { s.out.receipts.note(r) }

// Doubts reports whether the kernel should be asked: at once, whether input waits already, and when more comes, whether all output was
// acknowledged by then. That is so after a late final reply, and on connections whose clients don't wait for replies to messages.
func (s *Session) Doubts() bool {
	r := s.out.receipts
	if r.state != receiptGiven && r.state != receiptFollowed {
		return false
	}
	return r.doubts&(doubtLate|doubtPipelines) != 0 || r.doubts&doubtMore != 0 && r.state == receiptGiven
}

// Awaits reports whether final replies were given of which nothing has shown yet that the client has got them: an end of file then
// says more when the kernel is asked.
func (s *Session) Awaits() bool { return s.out.receipts.state == receiptGiven }

// Hangup tells that the client's FIN has come while the session takes no input. Replies given later may find nobody: they are sent
// all the same, since a client may have closed one side only.
func (s *Session) Hangup(now time.Time) {
	if s.state == stateClosed || s.out.receipts.doubts&doubtFinished != 0 {
		return
	}
	s.beginCall(now)
	if s.pause.wait != waitCommit { // the rows of the reply that waits may be written already
		s.out.receipts.finished()
		s.except()
	}
	s.out.receipts.fin()
	if s.pause.wait == waitFarewell {
		s.resume()
		s.reply()
		s.proceed()
	}
	s.endCall()
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
	r := &s.out.receipts
	if r.state < receiptFollowed {
		return
	}
	if r.doubts&(doubtFinished|doubtLate) != 0 || s.exchange.late() || r.state > receiptTold {
		s.except()
		return
	}
	r.keep() // settled with those to come, unless these turn out to be untold
}

// resolveFormer says what is known of the last message's replies before a row of another message says that they were told.
func (s *Session) resolveFormer() {
	if s.out.receipts.former() {
		s.resolve()
	}
}

// beforeBody says what is known of the replies to recipients of this message before its message row says that they were told: a chunk
// may have come with them.
func (s *Session) beforeBody() {
	s.resolveFormer()
	s.resolve()
}

// resolve says what is known of the last final replies, unless the next row implies it.
func (s *Session) resolve() {
	if !s.out.receipts.implied() {
		s.except()
	}
	s.out.receipts.settled()
}

// except writes the row that says whether the client knows the last final replies.
func (s *Session) except() {
	told := s.out.receipts.told()
	message := s.messages
	if s.out.receipts.former() {
		message--
	}
	if s.env.Recorder == nil || told == event.ToldNothing {
		s.out.receipts.state = receiptNone
		return
	}
	s.out.receipts.settled()
	s.env.Recorder.Told(&event.Exception{Conn: s.id, Message: uint64(message), Told: told})
}
