package sink

import (
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/conn"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// LedgerConfig says where and how the sink keeps its ledger; see package ledger.
type LedgerConfig struct {
	// Path is the file; empty means no ledger. A ledger that is there is gone on with: attempts, greylists and standings are as its rows have
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
	// the plan counts attempts, draws by them, or has a greylist or reactions.
	Progress func(read, size int64)
	// File stands in for the file at Path, in tests of what fails. It is taken for an empty one.
	File ledger.File
}

func (c *LedgerConfig) wanted() bool { return c.Path != "" || c.File != nil }

// openedLedger is the ledger of a server.
type openedLedger struct {
	writer   *ledger.Writer
	recovery ledger.Recovery
	restored state.Restored
	shards   []*conn.LedgerShard
}

// openLedger opens the ledger, and makes of its rows what connections share.
func (s *Server) openLedger() error {
	cfg := &s.cfg.Ledger
	f := s.active.Load()
	header := s.startRow(s.now())
	a := &openedLedger{}
	var err error
	if cfg.File != nil {
		a.writer, err = ledger.NewWriter(ledger.WriterConfig{File: cfg.File, Start: header, Failing: cfg.Failing})
	} else {
		open := ledger.OpenConfig{Start: header, Failing: cfg.Failing, Progress: cfg.Progress, Skim: !remembers(f.plan)}
		var standings *state.Restoring
		if !open.Skim {
			standings = s.standings.Restore(header.Time)
			open.Needs = ledger.NeedCounts | ledger.NeedStandings
			if greylists(f.plan) {
				open.Needs |= ledger.NeedSightings
			}
			forget := func() { s.store.Clear(); standings.Clear() }
			open.Replay = (&ledger.Restorer{Counters: s.attempts, Seen: s.sighted(f.plan, standings), Standings: standings, Forget: forget}).Row
		}
		a.writer, a.recovery, err = ledger.Open(cfg.Path, open)
		if standings != nil {
			a.restored = standings.End()
		}
	}
	if err != nil {
		return err
	}
	if a.recovery.Skimmed {
		s.late.connections = header.Time
	}
	for range s.cfg.Loops {
		a.shards = append(a.shards, conn.NewLedgerShard(a.writer))
	}
	s.ledger = a
	return nil
}

// startRow returns the row of this run's start.
func (s *Server) startRow(now time.Time) event.Start {
	f := s.active.Load()
	row := event.Start{Run: s.run, Time: now, PlanHash: f.hash, Durability: s.cfg.Ledger.Durability, Reactions: state.ReactionIDs(f.plan)}
	if f.plan != nil {
		row.Plan, row.Seed = f.plan.Name(), f.plan.Seed()
	}
	return row
}

// remembers reports whether a plan asks for anything that a ledger tells.
func remembers(plan *fault.Plan) bool {
	if plan == nil {
		return false
	}
	needs := plan.Needs()
	return needs.Connections || needs.Mails || needs.Recipients || greylists(plan) || len(plan.Reactions()) > 0
}

// greylists reports whether the plan has any.
func greylists(plan *fault.Plan) bool {
	return plan != nil && slices.ContainsFunc(allLimits(plan), func(l *fault.Limit) bool { return l.Kind == fault.LimitGreylist })
}

func (a *openedLedger) shard(i int) *conn.LedgerShard { return a.shards[i%len(a.shards)] }

// Recovered says what the ledger held at the start; ok is false without a ledger.
func (s *Server) Recovered() (r ledger.Recovery, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil {
		return ledger.Recovery{}, false
	}
	return s.ledger.recovery, true
}

// RestoredStandings is what became of the standings that a ledger tells of.
type RestoredStandings = state.Restored

// RestoredStandings says what became of the standings that the ledger told of at the start.
func (s *Server) RestoredStandings() RestoredStandings {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil {
		return RestoredStandings{}
	}
	return s.ledger.restored
}

// record gives a row that is no connection's to the ledger and to the observer.
func (s *Server) record(row *event.Row) {
	if s.ledger != nil {
		_ = s.ledger.writer.Append(row) // the writer tells of failures, too
	}
	s.observe(row)
}

func (s *Server) observe(row *event.Row) {
	if s.cfg.Observer != nil {
		s.cfg.Observer.Row(row)
	}
}
