package reconcile

import (
	"bytes"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxPhases bounds what is known of storms that go round and round.
const maxPhases = 1000

// Ledger takes the rows of one ledger, all parts of a rotated one, in order. Several may be judged together: of several sinks.
type Ledger struct {
	judge *Judge
	run   uint32
	begun bool
	open  map[connKey]*connection
	spare []*connection

	blocked blockedClients

	stopped bool // the last run had its stop row
	lossy   bool // a run had durability none
	cutRows bool // an attempt can't be known, because the row has a piece of its identities only
	missing uint64
	torn    int64
}

// Ledger begins another ledger. All claims must have been taken before its first row.
func (j *Judge) Ledger() *Ledger {
	l := &Ledger{judge: j, open: j.open}
	j.ledgers = append(j.ledgers, l)
	return l
}

// Row takes the next row of those that count: of an attempt that was amended, the amended one. Nothing of it is kept. Its error is
// for the signature of an observer: there is none.
func (l *Ledger) Row(row *event.Row) error {
	switch row.Kind {
	case event.KindStart:
		l.start(&row.Start)
	case event.KindStop:
		l.stopped = true
	case event.KindPhase:
		r := &l.judge.result
		r.Phases = append(r.Phases[max(0, len(r.Phases)-maxPhases+1):], row.Phase)
	case event.KindGap:
		l.missing += row.Gap.Rows
	case event.KindMessage:
		l.message(&row.Message)
	case event.KindTransaction:
		l.transaction(&row.Transaction)
	case event.KindAttempt:
		l.attempt(&row.Attempt)
	case event.KindTold:
		l.except(&row.Told)
	case event.KindConnection:
		l.ended(&row.Connection)
	case event.KindStanding:
		if row.Standing.Reason == event.StandingForgiven {
			l.blocked.forgive(&row.Standing)
		}
	case event.KindReset:
		if row.Reset.State {
			l.blocked.forget()
		}
	}
	return nil
}

// start begins a run, or goes on with one that another file of a rotated ledger began. What was open in the run before died with the
// sink: nobody knows what was told there.
func (l *Ledger) start(s *event.Start) {
	run, known := l.judge.runNumber(s.Run)
	if l.begun && run != l.run {
		l.cut()
		if s.Reactions == "" { // otherwise standings go on
			l.blocked.forget()
		}
		if !l.stopped {
			l.judge.result.Killed++
		}
	}
	if !known {
		l.judge.result.Runs++
	}
	l.run, l.begun, l.stopped = run, true, false
	if s.Durability == event.None {
		l.lossy = true
	}
}

// cut ends the connections of the run that are open.
func (l *Ledger) cut() {
	for key := range l.open {
		if key.run == l.run {
			l.close(key, event.ToldUnknown)
		}
	}
}

func (l *Ledger) message(m *event.Message) {
	c := l.connection(m.Conn)
	l.advance(c, m.Message, true)
	c.message, c.known = m.Message, true
	c.headers, c.hashed, c.body, c.size, c.sevenBit = m.Headers, m.Hashed, m.Body, m.Size, m.SevenBit
	c.stormBuf, c.idBuf = append(c.stormBuf[:0], m.StormID...), append(c.idBuf[:0], m.MessageID...)
	c.stormID, c.messageID = c.stormBuf, c.idBuf
}

func (l *Ledger) transaction(t *event.Transaction) {
	j := l.judge
	if c := l.open[connKey{l.run, t.Conn}]; c != nil {
		l.advance(c, t.Message, false)
	}
	end := t.End.UnixNano()
	if end < j.begin {
		return
	}
	l.exchanged(transactionExchange(t))
	m := j.messageOf(t.Token, t.Sender)
	if m < 0 {
		return
	}
	msg := j.messages.at(m)
	if msg.first == msg.last && msg.flags&expands == 0 { // else nobody knows for which of the recipients it was
		j.try(j.units.at(msg.first), t.Time, packReply(t.End.Sub(t.Time), t.Code, t.ReplySent)|onlyMail)
	}
	if t.Code.Class() < 4 || t.Stage != smtp.StageMail {
		return
	}
	handed := handedAt(t.Handed, end)
	if t.ReplySent && (msg.mailRefusal == 0 || handed < msg.mailRefusal) {
		msg.mailRefusal, msg.mailCode = handed, uint16(t.Code)
	}
	if t.Code.Permanent() {
		l.await(t.Conn, waiting{what: replyMail, unit: m, message: t.Message, stage: t.Stage, handed: handed}, t.ReplySent, t.Ambiguous)
	}
}

func handedAt(handed time.Time, end int64) int64 {
	if handed.IsZero() {
		return end
	}
	return handed.UnixNano()
}

func (l *Ledger) attempt(a *event.Attempt) {
	j := l.judge
	c := l.open[connKey{l.run, a.Conn}]
	decided := a.Ending == event.EndReply && a.Stage == smtp.StageMessage
	if c != nil {
		l.advance(c, a.Message, decided)
	}
	end := a.End.UnixNano()
	if end < j.begin { // of another run, before the first claim
		l.early(a, c)
		return
	}
	j.result.Attempts++
	l.exchanged(attemptExchange(a))
	if len(a.Recipient) == 0 {
		l.unread(a, end)
		return
	}
	content := l.contentsOf(a, c)
	s := sightOf(a, &content)
	f := j.lookup(&s)
	if l.adopt(a, f, &content, end) {
		return
	}
	if f.unit < 0 {
		l.cutRows = l.cutRows || cutIdentity(a.Cut)
		l.unclaimed(a, &content, f)
		return
	}
	j.units.at(f.unit).flags |= f.flags
	l.unitAttempt(a, f.unit, &content, end)
}

// unread takes a RCPT command whose recipient could not be read. Of a message with one recipient it is about that one.
func (l *Ledger) unread(a *event.Attempt, end int64) {
	j := l.judge
	m := j.messageOf(a.Token, a.Sender)
	if m < 0 || !refuses(a) {
		j.result.Unattributed++
		return
	}
	msg := j.messages.at(m)
	if msg.first != msg.last || msg.flags&expands != 0 {
		j.result.Unattributed++
		msg.flags |= unreadRecipient
		return
	}
	u, handed := j.units.at(msg.first), handedAt(a.Handed, end)
	if a.ReplySent && (u.refusal == 0 || handed < u.refusal) {
		u.refusal, u.refusalCode, u.refusalStage = handed, uint16(a.Code), uint8(a.Stage)
	}
	l.await(a.Conn, waiting{what: replyUnread, unit: msg.first, message: a.Message, stage: a.Stage, handed: handed, rcpt: addressHash(nil)}, a.ReplySent, a.Ambiguous)
}

// early takes an attempt that ended before the first claim. It is of another run, and does not count; but one that nothing tells from a
// claimed one may be that, when the clocks of sender and sink differ: the unit is not lost then.
func (l *Ledger) early(a *event.Attempt, c *connection) {
	j := l.judge
	if len(a.Recipient) == 0 || j.options.Adopt {
		return
	}
	content := l.contentsOf(a, c)
	s := sightOf(a, &content)
	f := j.lookup(&s)
	if f.unit < 0 || j.content(j.units.at(f.unit).message, &content) != 0 {
		return
	}
	j.result.Early++
	j.units.at(f.unit).flags |= seenEarly
}

// sightOf returns by what an attempt may be known.
func sightOf(a *event.Attempt, content *contents) sight {
	s := sight{sender: a.Sender, recipient: a.Recipient, orcpt: a.ORCPT, stormID: content.stormID, messageID: content.messageID, hashed: content.hashed, body: content.body}
	if !bytes.Equal(a.Token, a.Sender) {
		s.envid = a.Token
	}
	return s
}

// cutIdentity reports whether one of the keys whose values were cut is of the envelope.
func cutIdentity(cut string) bool {
	for key := range strings.FieldsSeq(cut) {
		if key == "sender" || key == "token" || key == "recipient" {
			return true
		}
	}
	return false
}

// contentsOf returns what is known of the message of an attempt: from its message row, or, in format 1, from the attempt itself.
func (l *Ledger) contentsOf(a *event.Attempt, c *connection) contents {
	if c != nil && c.known && c.message == a.Message {
		return c.contents
	}
	return contents{headers: len(a.StormID)+len(a.MessageID) > 0, stormID: a.StormID, messageID: a.MessageID}
}

// unitAttempt takes an attempt of a unit.
func (l *Ledger) unitAttempt(a *event.Attempt, i int32, content *contents, end int64) {
	j := l.judge
	u := j.units.at(i)
	handed := handedAt(a.Handed, end)
	j.try(u, a.Time, packReply(a.End.Sub(a.Time), a.Code, a.ReplySent))
	if a.ReplySent && a.Code.Class() >= 4 && (u.refusal == 0 || handed < u.refusal) {
		u.refusal, u.refusalCode, u.refusalStage = handed, uint16(a.Code), uint8(a.Stage)
	}
	w := waiting{unit: i, message: a.Message, stage: a.Stage, handed: handed, rcpt: addressHash(a.Recipient)}
	if a.Delivered || a.Stage == smtp.StageMessage && a.Code.Class() == 2 && a.ReplySent {
		w.what, w.place = replyDelivery, l.deliver(a, i, content, handed)
		if a.Delivered && j.options.Delivered != nil {
			j.options.Delivered(j.texts.get(j.messages.at(u.message).token))
		}
		if a.Code.Class() == 2 {
			l.await(a.Conn, w, a.ReplySent, a.Ambiguous)
		}
	}
	if refuses(a) {
		w.what = replyRefusal
		l.await(a.Conn, w, a.ReplySent, a.Ambiguous)
	}
}

// try notes that the unit was tried.
func (j *Judge) try(u *unit, at time.Time, reply uint32) {
	n := j.tries.add(try{at: at.UnixNano(), next: none, reply: reply})
	if u.lastTry >= 0 {
		j.tries.at(u.lastTry).next = n
	} else {
		u.firstTry = n
	}
	u.lastTry = n
}

// refuses reports whether the attempt's reply, if it is told, ends the unit. A 552 to RCPT means too many recipients and counts as 452
// (RFC 5321 section 4.5.3.1.10).
func refuses(a *event.Attempt) bool {
	if !a.Code.Permanent() {
		return false
	}
	switch a.Stage {
	case smtp.StageRcpt:
		return a.Code != 552
	case smtp.StageMail, smtp.StageData, smtp.StageBdat, smtp.StageMessage:
		return true
	}
	return false
}

// deliver keeps a delivery. One recipient twice in one transaction is one delivery.
func (l *Ledger) deliver(a *event.Attempt, i int32, content *contents, handed int64) int32 {
	j := l.judge
	u := j.units.at(i)
	d := l.delivery(a, handed)
	k := u.delivery
	for range mostTwins { // one of the same transaction is among the last
		if k < 0 {
			break
		}
		e := j.deliveries.at(k)
		if e.key == d.key && e.message == d.message && e.to == d.to && d.message != 0 {
			e.dropped = e.dropped && d.dropped
			return k
		}
		k = e.next
	}
	if !d.dropped {
		d.flags = j.content(u.message, content)
		u.flags |= d.flags
		j.result.Deliveries++
	}
	d.next = u.delivery
	u.delivery = j.deliveries.add(d)
	return u.delivery
}

// returned keeps the delivery of a notification, which may come again.
func (l *Ledger) returned(a *event.Attempt, content *contents) {
	j := l.judge
	d := l.delivery(a, handedAt(a.Handed, a.End.UnixNano()))
	id := xxhash.Sum64(appendID(nil, content.messageID))
	if before, ok := j.returned[id]; ok {
		d.next = before
	}
	j.returned[id] = j.deliveries.add(d)
	if d.positive {
		w := waiting{what: replyDelivery, place: j.returned[id], message: a.Message, stage: a.Stage, handed: d.handed, rcpt: addressHash(a.Recipient)}
		l.await(a.Conn, w, a.ReplySent, a.Ambiguous)
	}
}

// delivery returns the delivery that the attempt is, to the recipient that was looked up last.
func (l *Ledger) delivery(a *event.Attempt, handed int64) delivery {
	d := delivery{
		key: connKey{l.run, a.Conn}, message: a.Message, mail: a.Time.UnixNano(), handed: handed, next: none,
		to: addressHash(l.judge.rcptBuf), positive: a.Code.Class() == 2, dropped: !a.Delivered,
	}
	if !a.Mail.IsZero() {
		d.mail = a.Mail.UnixNano()
	}
	return d
}

// mostTwins is how many deliveries of a unit are looked at for one of the same transaction.
const mostTwins = 64

// unclaimed takes an attempt that belongs to no unit; f may name a message nevertheless.
func (l *Ledger) unclaimed(a *event.Attempt, content *contents, f found) {
	j := l.judge
	if len(a.Sender) == 0 && j.sends(a.Recipient) { // a notification on its way home
		j.result.Returned++
		if a.Delivered && len(content.messageID) > 0 {
			l.returned(a, content)
		}
		if !a.Delivered && a.Code.Permanent() && a.ReplySent { // and the plan has it turned away for good
			j.unheard(a.Recipient)
		}
		return
	}
	if f.message < 0 && len(a.Sender) == 0 && len(a.Token) == 0 && !a.Delivered {
		j.result.Unattributed++
		return
	}
	if f.shared {
		j.result.Unattributed++
		if a.Delivered || a.Code.Class() == 2 || refuses(a) { // what became of one of them
			j.attempted.doubt(nil, appendAddress(nil, a.Recipient))
		}
		return
	}
	j.stray(a, content, f.message)
}

// sends reports whether the address is the sender of a claim.
func (j *Judge) sends(address []byte) bool {
	return j.knownSender(address) != nil
}

// try is an attempt of a unit. There are most of these, so they are packed.
type try struct {
	at    int64 // when RCPT was read, or MAIL if that was all
	next  int32
	reply uint32 // milliseconds until its fate was known, reply code, and the flags
}

const (
	replySent uint32 = 1 << iota
	onlyMail         // it got no further than MAIL
	codeShift = iota

	codeBits = 10
	tookAt   = codeShift + codeBits
	mostTook = 1<<(32-tookAt) - 1 // 17 minutes
)

func packReply(took time.Duration, code smtp.Code, sent bool) uint32 {
	ms := min(max(took.Milliseconds(), 0), mostTook)
	packed := uint32(ms)<<tookAt | uint32(code&(1<<codeBits-1))<<codeShift // #nosec G115 -- ms has 20 bits
	if sent {
		packed |= replySent
	}
	return packed
}

func (t *try) code() smtp.Code { return smtp.Code(t.reply >> codeShift & (1<<codeBits - 1)) } // #nosec G115 -- of codeBits

// ended returns when the attempt's fate was known.
func (t *try) ended() int64 {
	return t.at + int64(time.Duration(t.reply>>tookAt)*time.Millisecond)
}

// deferred reports whether a reply of 4yz, or what counts as one, was sent.
func (t *try) deferred() bool {
	code := t.code()
	return t.reply&replySent != 0 && (code >= 400 && code < 500 || code == 552)
}

// delivery is a copy of a unit that the sink took, or said that it took.
type delivery struct {
	key          connKey
	message      uint64
	mail, handed int64  // when its MAIL was read, when its reply was handed over
	to           uint64 // hash of the recipient
	next         int32
	flags        flags
	told         event.Told
	positive     bool // the reply was a 2xx
	dropped      bool // the plan said 2xx and threw it away
}
