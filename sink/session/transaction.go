package session

import (
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// transaction is one mail transaction, from a MAIL that may be refused to its end (RFC 5321 section 3.3): the envelope, the message, and what
// was answered.
//
//	state        what it takes                            goes to
//	txEnvelope   RCPT (offer), and DATA or BDAT           txChunks, by BDAT (chunk)
//	txChunks     BDAT (RFC 3030 section 2)                txDoomed, when a chunk is refused (doom)
//	txDoomed     nothing: only RSET helps
//
// A recipient is offered, and then accepted or withdrawn. The accepted ones before next have their final row. The session that opens it
// (open) gives it back at its end (release).
type transaction struct {
	// What every RCPT needs comes first, in a line of the processor's cache.
	arena       []byte      // all addresses, one after the other
	recipients  []recipient // the accepted ones, in RCPT order
	attempts    int         // RCPT commands
	body        smtp.Body   // what MAIL said
	smtputf8    bool        // what MAIL said
	state       txState
	withoutMail bool        // no MAIL opened it: see openWithoutMail
	misplaced   *smtp.Reply // why the DATA was out of order whose body a plan has let in; nil: it wasn't
	whole       bool        // its message row was given
	byRecipient bool        // each recipient gets a reply after the body
	accepting   smtp.Code   // with PRDR: the overall reply so far, see sayOverall
	stalled     bool        // a commit took too long: no other is tried

	started  time.Duration // since the session's start: when MAIL was read
	mailN    uint64        // the sender's n-th MAIL; 0 when nobody needs it
	senderAt span
	params   span // what MAIL said behind its path, when the plan needs it
	envID    span
	hash     uint64   // sum of the recipients' fault.HashRecipient, when the plan needs it
	maxN     uint64   // the highest of their ordinals
	views    [][]byte // their addresses, for addresses()
	next     int      // recipients before this one have their final row
	unclear  []int    // recipients whose acceptance can't be read, ascending: a fault broke the reply to their RCPT
	broken   bool     // likewise that to MAIL
	scanner  smtp.BodyScanner
	declared int64 // octets of the message by SIZE; 0: not
	size     int64 // octets of the chunks of BDAT
	last     int64 // octets of the last of them

	refusal refusal   // the last negative reply after RCPT
	fault   bodyFault // what happens in mid-body
	counts  []count   // of limits on its recipients
	places  places    // of limits of concurrency; nil: none

	captured *capturing // nil: it is not captured
	mailed   *mailed    // nil: it is not for the Mailbox, or not any more

	digest  event.Digest
	header  header
	ask     *fault.Switch // what the header asks for; nil: nothing
	askRead bool
}

type txState uint8

const (
	txEnvelope txState = iota
	txChunks
	txDoomed
)

// refusal is a negative reply that decides a transaction.
type refusal struct {
	code     smtp.Code // 0: there was none
	enhanced smtp.Enhanced
	stage    smtp.Stage
	text     string // see textOf
	by       Origin
	at       time.Duration // since the session's start: when it was handed over
}

// span is a slice of an arena that may still grow.
type span struct{ from, to uint32 }

// recipient is an accepted recipient.
type recipient struct {
	address span
	n       uint64
	read    time.Duration
}

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

// full reports whether the envelope, which may take so many octets of memory, may not grow any more. A slice that grows has up to a quarter more room than it needs.
func (tx *transaction) full(most int) bool {
	used := len(tx.arena) + len(tx.recipients)*perRecipient + len(tx.unclear)*8
	return used+used/4 >= most
}

// held returns how much memory the envelope has, used or not.
func (tx *transaction) held() int {
	return cap(tx.arena) + cap(tx.recipients)*24 + cap(tx.views)*24 + cap(tx.unclear)*8
}

var transactionPool = sync.Pool{New: func() any { return new(transaction) }}

// newTransaction returns a transaction that begins now; the time is that since the session's start.
func newTransaction(now time.Duration) *transaction {
	tx := transactionPool.Get().(*transaction)
	tx.started = now
	return tx
}

// open takes what MAIL said, all parameters if they are wanted. m is not kept.
func (tx *transaction) open(m *smtp.MailArgs, params bool) {
	tx.senderAt = tx.store(m.Path)
	if params {
		tx.params = tx.store(m.Params)
	}
	tx.envID = tx.store(m.EnvID)
	tx.body, tx.smtputf8, tx.declared = m.Body, m.SMTPUTF8, max(m.Size, 0)
}

// offer takes a recipient that may be accepted: what RCPT said, which is not kept. It returns its address and ORCPT. No other is offered
// before it is accepted or withdrawn.
func (tx *transaction) offer(r *smtp.RcptArgs) (address []byte, orcpt span) {
	orcpt = tx.store(r.ORcpt)
	return tx.bytes(tx.store(r.Path)), orcpt
}

// accept accepts the recipient with this address, which was offered last. n is the ordinal of its RCPT, 0 when nobody needs it, and read, when
// that was read; malformed, that the client can't read the reply.
//
// #nosec G115 -- see store
func (tx *transaction) accept(address []byte, n uint64, read time.Duration, malformed bool) {
	if malformed {
		tx.unclear = append(tx.unclear, len(tx.recipients))
	}
	to := uint32(len(tx.arena))
	tx.recipients = append(tx.recipients, recipient{address: span{to - uint32(len(address)), to}, n: n, read: read})
}

// withdraw forgets the recipient who was offered last, with this ORCPT.
func (tx *transaction) withdraw(orcpt span) { tx.arena = tx.arena[:orcpt.from] }

// count adds an accepted recipient to what the plan's draws go by.
func (tx *transaction) count(address []byte, n uint64) {
	tx.hash += fault.HashRecipient(address)
	tx.maxN = max(tx.maxN, n)
}

// chunk notes that BDAT was used: there are no more recipients, and no DATA.
func (tx *transaction) chunk() { tx.state = max(tx.state, txChunks) }

// doom notes that a chunk was refused.
func (tx *transaction) doom() { tx.state = txDoomed }

// chunked reports whether BDAT was used.
func (tx *transaction) chunked() bool { return tx.state != txEnvelope }

func (tx *transaction) release() {
	tx.header.release()
	if tx.held() > maxPooledEnvelope {
		return
	}
	clear(tx.counts)
	arena, recipients, views, unclear, counts, places, header := tx.arena[:0], tx.recipients[:0], tx.views[:0], tx.unclear[:0], tx.counts[:0], tx.places, tx.header
	*tx = transaction{}
	tx.arena, tx.recipients, tx.views, tx.unclear, tx.counts, tx.places, tx.header = arena, recipients, views, unclear, counts, places, header
	transactionPool.Put(tx)
}

func (tx *transaction) bytes(s span) []byte { return tx.arena[s.from:s.to:s.to] }

func (tx *transaction) sender() []byte { return tx.bytes(tx.senderAt) }

// orcpt returns the ORCPT of an accepted recipient: it lies in the arena between the address before and its own.
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
// #nosec G115 -- rcpt refuses recipients beyond Config.MaxEnvelope, which is a GiB at most, and a command line has at most smtp.MaxEnvelopeLine octets
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
	if tx.chunked() {
		return tx.size
	}
	return tx.scanner.Octets()
}
