package sink

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// LedgerConfig says where and how the sink keeps its books; see package ledger.
type LedgerConfig struct {
	// Path is the file; empty means no ledger. A ledger that is there is gone on with: attempts and greylists are as its rows have
	// left them.
	Path       string
	Durability event.Durability
	// Timeout is how long a client may have to wait for its rows to be on disk, with durability Ack. Then it is told 451 4.3.0. 0 means
	// session.DefaultMaxCommit.
	Timeout time.Duration
	// Failing, if not nil, is told when the file begins to fail, on another goroutine. The sink goes on without its rows, but with
	// durability Ack: then it answers 451 4.3.0 instead of 2xx after a body.
	Failing func(error)
	// Progress, if not nil, is told now and then how many octets of a large ledger Start has read, of how many. A ledger is read only where
	// the plan counts attempts, draws by them, or has a greylist.
	Progress func(read, size int64)
	// File stands in for the file at Path, in tests of what fails. It is taken for an empty one.
	File ledger.File
}

func (c *LedgerConfig) wanted() bool { return c.Path != "" || c.File != nil }

// account is the ledger of a server.
type account struct {
	writer   *ledger.Writer
	recovery ledger.Recovery
	shards   []*books
}

// openLedger opens the ledger, and makes of its rows what connections share.
func (s *Server) openLedger() error {
	cfg := &s.cfg.Ledger
	f := s.force.Load()
	header := event.Start{Run: rand.Text(), Time: s.now(), PlanHash: f.hash, Durability: cfg.Durability}
	if f.plan != nil {
		header.Plan, header.Seed = f.plan.Name(), f.plan.Seed()
	}
	a := &account{}
	var err error
	if cfg.File != nil {
		a.writer, err = ledger.NewWriter(ledger.WriterConfig{File: cfg.File, Start: header, Failing: cfg.Failing})
	} else {
		open := ledger.OpenConfig{Start: header, Failing: cfg.Failing, Progress: cfg.Progress, Skim: !remembers(f.plan)}
		if !open.Skim {
			open.Replay = (&ledger.Restorer{Counters: s.attempts, Seen: s.sighted(f.plan)}).Row
		}
		a.writer, a.recovery, err = ledger.Open(cfg.Path, open)
	}
	if err != nil {
		return err
	}
	for range s.cfg.Loops {
		b := &books{causes: causes{}}
		b.shard = a.writer.Shard(b.decided)
		a.shards = append(a.shards, b)
	}
	s.ledger = a
	return nil
}

// remembers reports whether a plan asks for anything that a ledger tells.
func remembers(plan *fault.Plan) bool {
	if plan == nil {
		return false
	}
	needs := plan.Needs()
	return needs.Connections || needs.Mails || needs.Recipients ||
		slices.ContainsFunc(plan.AllLimits(), func(l *fault.Limit) bool { return l.Kind == fault.LimitGreylist })
}

// sighted returns what takes the RCPT commands of a ledger into the greylists of the plan: into each that was asked.
func (s *Server) sighted(plan *fault.Plan) func(*event.Attempt) {
	var greylists []*fault.Limit
	order := map[string]int{} // cause -> index of the limit that refused
	if plan != nil {
		for _, l := range plan.AllLimits() {
			order[fmt.Sprintf("%v:%s", fault.CauseLimit, l.Name)] = l.Index
			if l.Kind == fault.LimitGreylist {
				greylists = append(greylists, l.Recalled())
			}
		}
	}
	return func(a *event.Attempt) {
		refused, limited := order[a.Cause]
		for _, l := range greylists {
			if limited && a.Stage == smtp.StageRcpt && l.Index > refused || l.Phase != "" && l.Phase != a.Phase {
				continue // one before has refused, or its phase was not
			}
			o := fault.Occurrence{
				Stage: smtp.StageRcpt, Listener: a.Listener, Client: a.Client.Addr(),
				Sender: a.Sender, MessageN: a.Message, Recipient: a.Recipient, RcptN: a.N,
			}
			if l.Applies(&o) {
				s.limits.Sighted(a.Time, l, o.Client, o.Sender, o.Recipient)
			}
		}
	}
}

func (a *account) books(shard int) *books { return a.shards[shard%len(a.shards)] }

// Recovered says what the ledger held at the start; ok is false without a ledger.
func (s *Server) Recovered() (r ledger.Recovery, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil {
		return ledger.Recovery{}, false
	}
	return s.ledger.recovery, true
}

// books take the rows of one shard. They are safe for concurrent use: connections of the net driver share them.
type books struct {
	shard *ledger.Shard

	mu      sync.Mutex
	causes  causes
	waiting []waiting
	last    ledger.Ticket // the last ticket whose fate is known
	failed  []failure     // of the last tickets whose rows were not kept
}

// waiting is a session that waits for its rows.
type waiting struct {
	on     ledger.Ticket
	ticket uint64
	who    committer
}

type failure struct {
	ticket ledger.Ticket
	err    error
}

// maxFailures is how many failed tickets are remembered: those that a session may still ask for, which it does at once.
const maxFailures = 256

// committer is a connection that waits for its rows.
type committer interface {
	// committed may be called on any goroutine, and must not block.
	committed(ticket uint64, err error)
}

// flush hands over what was appended since the last flush. What it can't write the writer counts, and tells.
func (b *books) flush() { _, _ = b.shard.Flush() }

// commit puts the rows on disk for who. It reports whether that is decided already; otherwise who.committed is called.
func (b *books) commit(ticket uint64, who committer) (err error, decided bool) {
	on, err := b.shard.Flush()
	if on == 0 || err != nil {
		return err, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if on > b.last { // decided may have been called before Flush returned
		b.waiting = append(b.waiting, waiting{on, ticket, who})
		return nil, false
	}
	for i := range b.failed {
		if b.failed[i].ticket == on {
			return b.failed[i].err, true
		}
	}
	return nil, true
}

// forget forgets who waits for its rows: its connection is gone, or has lost its patience.
func (b *books) forget(who committer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(w waiting) bool { return w.who == who })
}

// decided is told of each ticket in turn.
func (b *books) decided(on ledger.Ticket, err error) {
	b.mu.Lock()
	b.last = on
	if err != nil {
		if len(b.failed) == maxFailures {
			b.failed = append(b.failed[:0], b.failed[1:]...)
		}
		b.failed = append(b.failed, failure{on, err})
	}
	var ready []waiting
	kept := b.waiting[:0]
	for _, w := range b.waiting {
		if w.on <= on {
			ready = append(ready, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
	b.mu.Unlock()
	for _, w := range ready {
		w.who.committed(w.ticket, err)
	}
}

// attempt appends the row of a RCPT command, and returns its length in octets.
func (b *books) attempt(a *session.Attempt, room ledger.Room) int {
	row := attemptRow(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	row.Cause = b.causes.of(a.Code, a.Verdict)
	return b.shard.AttemptWithin(&row, room)
}

// transaction appends the row of a transaction without RCPT commands, and returns its length in octets.
func (b *books) transaction(t *session.Transaction, room ledger.Room) int {
	row := transactionRow(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	row.Cause = b.causes.of(t.Code, t.Verdict)
	return b.shard.TransactionWithin(&row, room)
}

func (b *books) connection(c *session.Connection) {
	row := connectionRow(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shard.Connection(&row)
}

// phase notes that the storm is in another phase.
func (a *account) phase(name string, now time.Time) {
	_ = a.writer.Phase(&event.Phase{Time: now, Phase: name}) // the writer tells of failures, too
}

// swapped notes that another plan is in force.
func (a *account) swapped(f *force, now time.Time, restart bool) {
	row := event.Swap{Time: now, PlanHash: f.hash, Restart: restart}
	if f.plan != nil {
		row.Plan, row.Seed = f.plan.Name(), f.plan.Seed()
	}
	_ = a.writer.Swap(&row) // the writer tells of failures, too
}
