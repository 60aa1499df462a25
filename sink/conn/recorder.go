package conn

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// recorder passes on what sessions tell: to the counters of its shard, to the pump whose session is being driven, to the ledger and to
// the observer. It belongs to one goroutine: there is one per event loop, or one per connection.
type recorder struct {
	env      session.Env // names this recorder
	metrics  *metrics.Set
	shard    *metrics.Shard
	ledger   *LedgerShard // nil without a ledger
	captures Keeper       // nil unless messages are captured
	mail     *mailbox     // nil unless all messages are kept
	unsaved  bool         // rows were appended since the last flush
	observer Observer
	row      *event.Row // what the observer is told
	causes   causes     // of such rows
	pump     *pump      // whose session is being driven
	replied  bool       // a reply was handed over since this was cleared
}

func newRecorder(cfg *Config, shard int) *recorder {
	r := &recorder{env: cfg.Env, metrics: cfg.Metrics, shard: cfg.Metrics.Shard(shard), captures: cfg.Captures, observer: cfg.Observer}
	if r.observer != nil {
		r.row, r.causes = &event.Row{}, causes{}
	}
	if cfg.Ledger != nil {
		r.ledger = cfg.Ledger(shard)
	}
	r.env.Recorder = r
	r.env.Number = cfg.Number
	if cfg.Mailbox != nil {
		r.mail = &mailbox{cfg.Mailbox, r, causes{}}
		r.env.Mailbox = r.mail
	}
	return r
}

// Decided implements session.Recorder.
func (r *recorder) Decided(stage smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View) {
	r.pump.at.Phase(v.Phase()).Cell(stage, d, e).Decided()
	if d.Rule != nil && d.Rule.Repeats() {
		r.metrics.Drawn(d)
	}
	if d.Delay > 0 {
		r.shard.Delayed(d.Delay)
	}
	if m := r.pump.mailed; m != nil {
		m.decided(stage, d)
	}
}

// Replied implements session.Recorder.
func (r *recorder) Replied(stage smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View) {
	c := r.pump.at.Phase(v.Phase()).Cell(stage, d, e)
	c.Replied()
	r.pump.unread.add(c)
	r.replied = true
}

// Struck implements session.Recorder.
func (r *recorder) Struck(stage smtp.Stage, d *fault.Decision, e smtp.Enhanced, v *fault.View) {
	r.pump.at.Phase(v.Phase()).Cell(stage, d, e).Struck()
}

// Attempt implements session.Recorder.
func (r *recorder) Attempt(a *session.Attempt) {
	if a.Commit != session.CommitDone {
		r.append(func(l *LedgerShard) int { return l.attempt(a, r.room()) })
	}
	if a.Commit == session.CommitPending {
		return // another row follows when the client has been told
	}
	end := metrics.Unanswered
	switch {
	case a.Delivered: // whatever the client was told
		end = metrics.Delivered
	case a.Ending != session.EndReply || !a.ReplySent:
	case a.Code.Class() == 2 && a.Stage == smtp.StageMessage:
		end = metrics.Discarded
	case a.Code.Temporary():
		end = metrics.Deferred
	case a.Code.Permanent():
		end = metrics.Bounced
	}
	r.shard.Attempt(a.Listener, smtp.DomainOf(a.Recipient), end)
	if m := r.pump.mailed; m != nil && m.attempt(a, r.mail.causes) {
		r.pump.mailed = nil
		r.mail.Add(&m.Message, m.octets)
	}
	r.observe(event.KindAttempt, func(row *event.Row) {
		row.Attempt = attemptRow(a)
		row.Attempt.Cause = r.causes.of(a.Code, a.Origin)
	})
}

// append gives the ledger a row, if there is a ledger. write returns how many octets it took.
func (r *recorder) append(write func(*LedgerShard) (octets int)) {
	if r.ledger != nil {
		r.pump.rowOctets += uint64(write(r.ledger)) // #nosec G115 -- a length
		r.unsaved = true
	}
}

// observe tells the observer a row, if there is an observer. fill fills in the member of that kind.
func (r *recorder) observe(kind event.Kind, fill func(*event.Row)) {
	if r.observer != nil {
		fill(r.row)
		r.row.Kind = kind
		r.observer.Row(r.row)
	}
}

// Message implements session.Recorder.
func (r *recorder) Message(m *event.Message) {
	r.append(func(l *LedgerShard) int { return l.shard.Message(m) })
	r.observe(event.KindMessage, func(row *event.Row) { row.Message = *m })
}

// Told implements session.Recorder.
func (r *recorder) Told(e *event.Exception) {
	r.append(func(l *LedgerShard) int { return l.shard.Told(e) })
	r.observe(event.KindTold, func(row *event.Row) { row.Told = *e })
}

// Standing implements session.Recorder.
func (r *recorder) Standing(s *event.Standing, by session.Origin) {
	r.append(func(l *LedgerShard) int { return l.standing(s, by) })
	r.observe(event.KindStanding, func(row *event.Row) {
		row.Standing = *s
		row.Standing.Cause = r.causes.of(s.Code, by)
	})
}

// Transaction implements session.Recorder.
func (r *recorder) Transaction(t *session.Transaction) {
	r.append(func(l *LedgerShard) int { return l.transaction(t, r.room()) })
	r.observe(event.KindTransaction, func(row *event.Row) {
		row.Transaction = transactionRow(t)
		row.Transaction.Cause = r.causes.of(t.Code, t.Origin)
	})
}

// Connection implements session.Recorder.
func (r *recorder) Connection(c *session.Connection) {
	if c.Reason == session.ClosedByForeign || c.Injections > 0 || c.Pregreet || c.User != "" || c.BadSwitches > 0 || c.LongHeaders > 0 {
		r.shard.Client(&count.Clients{
			NotSMTP: flag(c.Reason == session.ClosedByForeign), Injections: c.Injections, Pregreets: flag(c.Pregreet), Authenticated: flag(c.User != ""),
			BadSwitches: c.BadSwitches, LongHeaders: c.LongHeaders,
		}, c.BadSwitch)
	}
	if r.ledger != nil {
		r.ledger.connection(c)
		r.unsaved = true
	}
	r.observe(event.KindConnection, func(row *event.Row) {
		row.Connection = connectionRow(c)
		r.causes.ofConnection(c, &row.Connection)
	})
}

// The bounds of what a connection may make the ledger write before its rows become tight: a free part, and then in proportion to what it
// has sent. A tight row has less than twice rowsPerOctet octets for each octet that the shortest RCPT or MAIL takes.
const (
	rowsFree     = 64 << 10 // octets
	rowsPerOctet = 64
)

// room returns how much of the client's values its rows may hold.
func (r *recorder) room() ledger.Room {
	var sent uint64
	if s := r.pump.session; s != nil {
		sent = s.OctetsIn()
	}
	if r.pump.rowOctets > rowsFree+rowsPerOctet*sent {
		return ledger.RoomTight
	}
	return ledger.RoomWide
}

func flag(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// forget forgets a connection that waits for its rows, or for its message to be captured, no longer.
func (r *recorder) forget(who Committer) {
	if r.ledger != nil {
		r.ledger.forget(who)
	}
	if r.captures != nil {
		r.captures.Forget(who)
	}
}

// flush hands over the rows that were appended since the last flush: before the replies go out that they are about.
func (r *recorder) flush() {
	if r.unsaved {
		r.unsaved = false
		r.ledger.flush()
	}
}

// ungreeted records a connection that no session has seen.
func (r *recorder) ungreeted(info *session.ConnInfo, began, now time.Time, octets uint64, err error) {
	r.shard.Ungreeted()
	if r.ledger == nil {
		return
	}
	c := session.Connection{
		Conn: info.ID, Listener: info.Listener, Client: info.Client, Time: began, End: now, OctetsIn: octets,
		Reason: session.ClosedByFault, Err: err,
	}
	c.Fault = fault.ListenerNoBanner.String()
	r.ledger.connection(&c)
	r.ledger.flush()
}
