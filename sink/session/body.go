package session

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// data handles DATA.
func (s *Session) data(args []byte) {
	e, tx := s.exchange, s.tx
	switch {
	case tx == nil:
		s.refuse(smtp.StageData, &replyMailFirst)
	case tx.chunked():
		s.refuse(smtp.StageData, &replyAfterChunk) // RFC 3030 section 2
	case len(args) > 0:
		s.refuse(smtp.StageData, &replyNoArguments)
	case tx.body == smtp.BodyBinaryMIME:
		s.refuse(smtp.StageData, &replyBinaryByChunks) // RFC 3030 section 3
	case len(tx.recipients) > 0:
		e.opensBody = true
		s.answer(smtp.StageData)
	default:
		s.refuse(smtp.StageData, s.noRecipients())
	}
}

// noRecipients returns the refusal of a body that nobody is to get.
func (s *Session) noRecipients() *smtp.Reply {
	if s.cfg.LMTP {
		return &replyRcptFirst // RFC 2033 section 4.2
	}
	return &replyNoValidRecipients // RFC 5321 section 3.3
}

// afterData opens the body: any 3yz does, since clients go by the first digit (RFC 5321 section 4.2.1).
func (s *Session) afterData(r *smtp.Reply) {
	switch {
	case r.Code.Class() == 3 && s.exchange.opensBody:
		if s.tx == nil {
			s.openWithoutMail()
		}
		s.tx.misplaced = s.exchange.misplaced
		s.tx.scanner.Reset()
		s.state, s.exchange.bodyOpened = stateData, true
		s.capture(false)
		s.beginBody(smtp.StageData, &s.exchange.decision)
	case s.tx != nil:
		s.noteRefusal(smtp.StageData, r)
	}
}

// openWithoutMail opens what a body goes into that a plan's 3yz to a DATA without MAIL makes the client send. It leaves no row.
func (s *Session) openWithoutMail() {
	s.tx = newTransaction(s.exchange.now)
	s.tx.withoutMail = true
}

// feedData takes octets of the body of DATA.
func (s *Session) feedData(p []byte) int {
	tx := s.tx
	if e := s.exchange; !e.blind && !e.bodyOpened {
		s.out.receipts.body()
	}
	p = tx.fault.limit(p)
	n, done := tx.scanner.Scan(p)
	s.readMessage(p[:n])
	if done {
		s.endBody()
	} else {
		s.advanceBody(n)
	}
	return n
}

// readMessage looks at octets of the message as far as anybody needs it.
func (s *Session) readMessage(p []byte) {
	tx := s.tx
	tx.header.add(p)
	tx.digest.Add(p)
	if tx.captured != nil {
		s.keep(p)
	}
	if tx.mailed != nil {
		s.mailOn(p)
	}
}

// endBody answers the message: once, or in LMTP (RFC 2033 section 4.2) and where PRDR was asked for once per accepted recipient.
func (s *Session) endBody() {
	tx := s.tx
	if tx.header.finish(); tx.header.cut {
		s.lasting().longHeaders++
	}
	if tx.scanner.EightBit() && tx.body != smtp.Body8BitMIME && !tx.smtputf8 {
		s.lasting().eightBit++
	}
	tx.fault.pending = false
	s.state = stateCommand
	s.recordMessage()
	if tx.mailed != nil {
		s.postMail()
	}
	if tx.byRecipient && len(tx.recipients) > 0 {
		s.state = stateReplies // proceed goes on
		if !s.cfg.LMTP {
			s.write(smtp.StageMessage, &replyEachRecipient, false)
		}
		return
	}
	s.answerMessage()
}

// answerMessage answers the message, or its next recipient.
func (s *Session) answerMessage() {
	if err := s.messageError(); err != nil {
		s.refuse(smtp.StageMessage, err)
		return
	}
	s.answer(smtp.StageMessage)
}

// messageError returns what is wrong with the message that was read, or nil.
func (s *Session) messageError() *smtp.Reply {
	tx := s.tx
	switch {
	case len(tx.recipients) == 0:
		return s.noRecipients()
	case tx.misplaced != nil:
		return tx.misplaced
	case s.tooBig(tx.octets()):
		return &replyTooBig
	case (tx.scanner.BareLF() || tx.scanner.BareCR()) && s.cfg.BareLF == BareLFReject:
		return &replyBareLF
	}
	return nil
}

func (s *Session) tooBig(octets int64) bool {
	limit := s.cfg.maxSize()
	return limit > 0 && octets > limit
}

// afterMessage writes the final rows that the reply decides.
func (s *Session) afterMessage(r *smtp.Reply) {
	tx := s.tx
	defer func() { s.exchange.amends = false }()
	if s.state == stateReplies {
		s.recordMessages(tx.next, tx.next+1, r, s.exchange.commitment())
		s.sayOverall(r)
		tx.next++
		if tx.next < len(tx.recipients) {
			return
		}
		s.state = stateCommand
	}
	s.recordMessages(tx.next, len(tx.recipients), r, s.exchange.commitment())
	tx.next = len(tx.recipients)
	s.dropTransaction()
}

// bdat handles BDAT: whatever its answer, its octets follow (RFC 3030 section 2).
func (s *Session) bdat(args []byte) {
	size, last, err := smtp.ParseBdat(args)
	if err != nil {
		if s.tx != nil {
			s.tx.chunk()
		}
		s.refuse(smtp.StageBdat, syntaxReply(err)) // nobody knows how much would follow
		return
	}
	s.more().framing.startChunk(size, last)
	if s.tx != nil {
		s.tx.last = size
	}
	refused := s.chunkError() != nil || size == math.MaxInt64 || s.tooBig(s.tx.size+min(size, math.MaxInt64-s.tx.size))
	if refused && size > s.cfg.maxDiscard() {
		s.refuse(smtp.StageBdat, &replyChunkTooBig)
		return
	}
	s.state = stateChunk
	if !refused {
		if s.tx.size == 0 {
			s.capture(true)
		}
		s.beginChunk()
	}
	if size == 0 && s.state == stateChunk && !s.paused() {
		s.endChunk()
	}
}

// chunkError returns why a chunk can't be part of a message, or nil.
func (s *Session) chunkError() *smtp.Reply {
	tx := s.tx
	switch {
	case s.refused:
		return &replyOnlyQuit
	case tx == nil:
		return &replyMailFirst
	case tx.state == txDoomed:
		return &replyDoomed
	case len(tx.recipients) == 0:
		return s.noRecipients()
	}
	return nil
}

// feedChunk takes octets of a chunk.
func (s *Session) feedChunk(p []byte) int {
	f := &s.extra.framing
	p = f.chunk(p)
	if tx := s.tx; tx != nil && tx.state != txDoomed {
		p = tx.fault.limit(p)
		tx.size += int64(len(p))
		s.readMessage(p)
	}
	if f.take(len(p)) {
		s.endChunk()
	} else if s.tx != nil {
		s.advanceBody(len(p))
	}
	return len(p)
}

// endChunk answers a chunk: as stage bdat, or as the message if it is the last.
func (s *Session) endChunk() {
	s.state = stateCommand
	err := s.chunkError()
	if s.tx != nil {
		s.tx.chunk()
		s.tx.fault.pending = false
	}
	switch {
	case err != nil:
		s.refuse(smtp.StageBdat, err)
	case s.extra.framing.last:
		s.endBody()
	case s.tooBig(s.tx.size):
		s.refuse(smtp.StageBdat, &replyTooBig)
	default:
		s.answer(smtp.StageBdat)
	}
}

// afterChunk dooms the transaction when the chunk failed.
func (s *Session) afterChunk(r *smtp.Reply) {
	if tx := s.tx; tx != nil && r.Code.Class() != 2 {
		if tx.state != txDoomed {
			s.noteRefusal(smtp.StageBdat, r)
		}
		tx.doom()
	}
}
