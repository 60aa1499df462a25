package session

import (
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// transaction is one mail transaction, from a MAIL that may be refused to its end (RFC 5321 section 3.3).
type transaction struct {
	// What every RCPT needs comes first, in a line of the processor's cache.
	arena       []byte      // all addresses, one after the other
	recipients  []recipient // the accepted ones, in RCPT order
	attempts    int         // RCPT commands
	body        smtp.Body   // what MAIL said
	smtputf8    bool        // what MAIL said
	chunked     bool        // BDAT was used
	withoutMail bool        // no MAIL opened it: see openWithoutMail
	misplaced   *smtp.Reply // why the DATA was out of order whose body a plan has let in; nil: it wasn't
	whole       bool        // its message row was given
	doomed      bool        // a chunk failed: only RSET helps
	stalled     bool        // a commit took too long: no other is tried

	started  time.Duration // since the session's start: when MAIL was read
	mailN    uint64        // the sender's n-th MAIL; 0 when nobody needs it
	senderAt span
	envID    span
	hash     uint64   // sum of the recipients' fault.HashRecipient, when the plan needs it
	maxN     uint64   // the highest of their ordinals
	views    [][]byte // their addresses, for addresses()
	next     int      // recipients before this one have their final row
	unclear  []int    // recipients whose acceptance can't be read, ascending: a fault broke the reply to their RCPT
	broken   bool     // likewise that to MAIL
	scanner  smtp.BodyScanner
	size     int64 // octets of the chunks of BDAT
	chunk    int64 // octets of the last of them

	refusal refusal   // the last negative reply after RCPT
	fault   bodyFault // what happens in mid-body
	counts  []count   // of limits on its recipients

	captured *capturing // nil: it is not captured

	digest  event.Digest
	header  header
	ask     *fault.Switch // what the header asks for; nil: nothing
	askRead bool
}

// refusal is a negative reply that decides a transaction.
type refusal struct {
	code     smtp.Code // 0: there was none
	enhanced smtp.Enhanced
	stage    smtp.Stage
	by       Origin
	at       time.Duration // since the session's start: when it was handed over
}

// noteRefusal notes a negative reply that decides the transaction under way. r is not kept.
func (s *Session) noteRefusal(stage smtp.Stage, r *smtp.Reply) {
	s.tx.refusal = refusal{code: r.Code, enhanced: s.enhancedOf(stage, r), stage: stage, by: s.origin(), at: s.work.now}
}

// span is a slice of an arena that may still grow.
type span struct{ from, to uint32 }

// recipient is an accepted recipient.
type recipient struct {
	address span
	n       uint64
	read    time.Duration
}

// maxEnvelope bounds the memory that a transaction keeps of its envelope, in octets, whatever maximum of recipients a user sets. It has
// room for half a million common addresses; spans of 32 bits reach as far.
const maxEnvelope = 64 << 20

// What a recipient takes beside its address: its own struct and its place among views, and what its reply may take in LMTP until its
// client is known to have read it.
const perRecipient = 24 + 24 + 16

// maxPooledEnvelope is the most that a transaction may take back to the pool.
const maxPooledEnvelope = 64 << 10

// clear reports whether the client can read that a recipient was accepted.
func (tx *transaction) clear(i int) bool {
	if len(tx.unclear) == 0 {
		return !tx.broken
	}
	_, found := slices.BinarySearch(tx.unclear, i)
	return !found && !tx.broken
}

// malforms reports whether the reply under way can't be read.
func (s *Session) malforms() bool {
	f := s.work.faults
	return f != nil && f.Malformed != fault.MalformedNone
}

// full reports whether the envelope may not grow any more. A slice that grows has up to a quarter more room than it needs.
func (tx *transaction) full() bool {
	used := len(tx.arena) + len(tx.recipients)*perRecipient + len(tx.unclear)*8
	return used+used/4 >= maxEnvelope
}

// held returns how much memory the envelope has, used or not.
func (tx *transaction) held() int {
	return cap(tx.arena) + cap(tx.recipients)*24 + cap(tx.views)*24 + cap(tx.unclear)*8
}

var transactionPool = sync.Pool{New: func() any { return new(transaction) }}

func (tx *transaction) release() {
	tx.header.release()
	if tx.held() > maxPooledEnvelope {
		return
	}
	clear(tx.counts)
	arena, recipients, views, unclear, counts, header := tx.arena[:0], tx.recipients[:0], tx.views[:0], tx.unclear[:0], tx.counts[:0], tx.header
	*tx = transaction{}
	tx.arena, tx.recipients, tx.views, tx.unclear, tx.counts, tx.header = arena, recipients, views, unclear, counts, header
	transactionPool.Put(tx)
}

func (tx *transaction) bytes(s span) []byte { return tx.arena[s.from:s.to:s.to] }

func (tx *transaction) sender() []byte { return tx.bytes(tx.senderAt) }

// orcpt returns the ORCPT of an accepted recipient: it lies in the arena between the address before his and his own.
func (tx *transaction) orcpt(i int) []byte {
	from := tx.envID.to
	if i > 0 {
		from = tx.recipients[i-1].address.to
	}
	return tx.bytes(span{from, tx.recipients[i].address.from})
}

// token returns what identifies the message.
func (tx *transaction) token() []byte {
	if tx.envID.to > tx.envID.from {
		return tx.bytes(tx.envID)
	}
	return tx.sender()
}

// store copies b, which came in a command line, into the arena.
//
// #nosec G115 -- rcpt refuses recipients beyond maxEnvelope, and a command line has at most smtp.MaxEnvelopeLine octets
func (tx *transaction) store(b []byte) span {
	from := len(tx.arena)
	tx.arena = append(tx.arena, b...)
	return span{uint32(from), uint32(len(tx.arena))}
}

// addresses returns the addresses of the accepted recipients, valid until the next RCPT.
func (tx *transaction) addresses() [][]byte {
	if len(tx.views) != len(tx.recipients) {
		tx.views = slices.Grow(tx.views[:0], len(tx.recipients))
		for i := range tx.recipients {
			tx.views = append(tx.views, tx.bytes(tx.recipients[i].address))
		}
	}
	return tx.views
}

// octets returns the size of the body as far as it was read.
func (tx *transaction) octets() int64 {
	if tx.chunked {
		return tx.size
	}
	return tx.scanner.Octets()
}

// mail handles MAIL, and its elder sisters SEND, SOML and SAML, which open a transaction when a rule lets them (RFC 821 section
// 3.4).
func (s *Session) mail(stage smtp.Stage, args []byte) {
	w := s.work
	if !s.greeted {
		s.misplacedMail(stage, args, &replyHelloFirst)
		return
	}
	if s.tx != nil {
		s.misplacedMail(stage, args, &replyNested)
		return
	}
	if err := smtp.ParseMail(args, &w.mail); err != nil {
		s.refuse(stage, syntaxReply(err))
		return
	}
	tx := s.openTransaction()
	if limit := s.cfg.maxSize(); limit > 0 && w.mail.Size > limit {
		s.refuse(stage, &replyTooBig) // RFC 1870 section 6.1
		return
	}
	if s.env.Attempts != nil && s.view.Needs().Mails {
		tx.mailN = s.env.Attempts.Mail(tx.sender())
	}
	s.answer(stage)
}

// openTransaction opens the transaction of the MAIL that was parsed.
func (s *Session) openTransaction() *transaction {
	w := s.work
	s.readView()
	s.resolveFormer()
	s.messages++
	s.out.receipts.nextMessage()
	tx := transactionPool.Get().(*transaction)
	tx.started = w.now
	tx.senderAt, tx.envID = tx.store(w.mail.Path), tx.store(w.mail.EnvID)
	tx.body, tx.smtputf8 = w.mail.Body, w.mail.SMTPUTF8
	s.tx, w.opened = tx, true
	return tx
}

// misplacedMail refuses a MAIL that is out of order. Where a plan says yes to it, its transaction begins: in the place of the one under
// way, if there is one.
func (s *Session) misplacedMail(stage smtp.Stage, args []byte, r *smtp.Reply) {
	w := s.work
	s.reject(stage, r)
	if w.decision.Reply.Code.Class() == 2 {
		if err := smtp.ParseMail(args, &w.mail); err != nil {
			s.refuse(stage, syntaxReply(err))
			return
		}
		s.endTransaction(EndAbandoned, stage)
		s.openTransaction()
	}
	s.deliver(stage)
}

// afterMail keeps the transaction or drops it.
func (s *Session) afterMail(stage smtp.Stage, r *smtp.Reply) {
	if !s.work.opened {
		return
	}
	if r.Code.Class() == 2 {
		s.tx.broken = s.malforms()
		return
	}
	s.noteRefusal(stage, r)
	s.endTransaction(EndReply, stage)
}

// rcpt handles RCPT.
func (s *Session) rcpt(args []byte) {
	w, tx := s.work, s.tx
	s.attempts++
	w.rcptN, w.read, w.orcpt = 0, w.now, span{}
	err := smtp.ParseRcpt(args, &w.rcpt)
	if err == nil {
		w.recipient = w.rcpt.Path
	}
	switch {
	case s.refused:
		s.refuse(smtp.StageRcpt, &replyOnlyQuit)
		return
	case tx == nil:
		s.refuse(smtp.StageRcpt, &replyMailFirst)
		return
	}
	tx.attempts++
	if tx.chunked {
		s.refuse(smtp.StageRcpt, &replyAfterChunk)
		return
	}
	if err == nil {
		err = w.rcpt.CheckUTF8(tx.smtputf8)
	}
	switch {
	case err != nil:
		s.refuse(smtp.StageRcpt, syntaxReply(err))
		return
	case len(tx.recipients) >= s.cfg.maxRecipients() || tx.full():
		s.refuse(smtp.StageRcpt, &replyTooManyRecipients)
		return
	}
	w.orcpt = tx.store(w.rcpt.ORcpt)
	w.candidate, w.recipient = true, tx.bytes(tx.store(w.rcpt.Path))
	if s.needsRecipients() {
		w.rcptN = s.env.Attempts.Recipient(tx.sender(), w.recipient)
	}
	s.answer(smtp.StageRcpt)
}

func (s *Session) needsRecipients() bool {
	return s.env.Attempts != nil && s.view.Needs().Recipients
}

// afterRcpt accepts the recipient, or writes its final row.
func (s *Session) afterRcpt(r *smtp.Reply) {
	w := s.work
	if !w.candidate {
		s.recordRcpt(EndReply, r, true)
		return
	}
	w.candidate = false
	tx := s.tx
	to := uint32(len(tx.arena))                   // #nosec G115 -- see store
	at := span{to - uint32(len(w.recipient)), to} // #nosec G115 -- see store
	if r.Code.Class() != 2 {
		s.recordRcpt(EndReply, r, true)
		tx.arena = tx.arena[:w.orcpt.from]
		return
	}
	s.countRecipient()
	if s.malforms() {
		tx.unclear = append(tx.unclear, len(tx.recipients))
	}
	tx.recipients = append(tx.recipients, recipient{address: at, n: w.rcptN, read: w.read})
	if s.needsRecipients() {
		tx.hash += fault.HashRecipient(w.recipient)
		tx.maxN = max(tx.maxN, w.rcptN)
	}
}
