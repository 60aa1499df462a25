package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ReplyCount counts rows that ended alike.
type ReplyCount struct {
	Kind     string        `json:"kind"`
	Stage    smtp.Stage    `json:"stage"`
	Ending   string        `json:"ending"`
	Code     smtp.Code     `json:"code,omitempty"`
	Enhanced smtp.Enhanced `json:"enhanced,omitzero"`
	Count    uint64        `json:"count"`
}

// NameCount counts rows under a name.
type NameCount struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// AttemptCount says how many units took so many attempts.
type AttemptCount struct {
	Attempts uint64 `json:"attempts"`
	Units    uint64 `json:"units"`
}

// Summary is what a ledger holds. A unit is a (token, recipient).
type Summary struct {
	Plans []string    `json:"plans"` // in order of first use
	Runs  uint64      `json:"runs"`
	Rows  []NameCount `json:"rows"` // by kind
	First time.Time   `json:"first"`
	Last  time.Time   `json:"last"`

	Connections       uint64      `json:"connections"`
	Unfinished        uint64      `json:"unfinished"`         // connections with rows but without an end: open when their run ended
	ConnectionReasons []NameCount `json:"connection_reasons"` // why connections ended
	OctetsIn          uint64      `json:"octets_in"`
	OctetsOut         uint64      `json:"octets_out"`

	Replies []ReplyCount `json:"replies"` // how attempts and transactions ended

	Units               uint64         `json:"units"`
	Deliveries          uint64         `json:"deliveries"`
	AmbiguousDeliveries uint64         `json:"ambiguous_deliveries"` // whose client was not told a 2xx reply that it could read
	DeliveredUnits      uint64         `json:"delivered_units"`
	DuplicatedUnits     uint64         `json:"duplicated_units"`  // delivered more than once
	AttemptsPerUnit     []AttemptCount `json:"attempts_per_unit"` // units by their number of attempts

	AmendedRows uint64 `json:"amended_rows"` // that a later row took the place of, and that don't count
	CutRows     uint64 `json:"cut_rows"`     // with values that were too long to be kept whole: units may be mistaken for one another
	MissingRows uint64 `json:"missing_rows"` // that gap rows stand for
	TornOctets  int64  `json:"torn_octets"`  // of a torn last row
}

// unitCounts is kept for each unit.
type unitCounts struct{ attempts, deliveries uint32 }

type replyKey struct {
	kind     event.Kind
	stage    smtp.Stage
	ending   event.Ending
	code     smtp.Code
	enhanced smtp.Enhanced
}

type summarizer struct {
	Summary
	kinds   [event.NumKinds]uint64
	reasons map[string]uint64
	replies map[replyKey]uint64
	units   map[[2]uint64]unitCounts // by the hash of token and recipient
	open    map[uint64]struct{}
	buf     []byte
	key     keyBuffer
}

// Summarize reads a ledger and counts what it holds. Memory grows with the distinct units, at about 50 octets each.
func Summarize(in Input) (*Summary, error) {
	s := &summarizer{
		reasons: make(map[string]uint64), replies: make(map[replyKey]uint64), units: make(map[[2]uint64]unitCounts), open: make(map[uint64]struct{}),
	}
	scanned, err := Each(in, func(row *event.Row) error { s.row(row); return nil })
	if err != nil {
		return nil, err
	}
	s.TornOctets, s.AmendedRows = scanned.Torn, scanned.Amended
	return s.finish(), nil
}

func (s *summarizer) row(row *event.Row) {
	s.kinds[row.Kind]++
	switch row.Kind {
	case event.KindStart:
		s.Runs++
		s.between(row.Start.Time, row.Start.Time)
		s.plan(row.Start.Plan)
		s.cutOpen()
	case event.KindSwap:
		s.between(row.Swap.Time, row.Swap.Time)
		s.plan(row.Swap.Plan)
	case event.KindGap:
		s.MissingRows += row.Gap.Rows
	case event.KindConnection:
		c := &row.Connection
		s.between(c.Time, c.End)
		s.cut(c.Cut)
		s.Connections++
		s.reasons[c.Reason]++
		s.OctetsIn += c.OctetsIn
		s.OctetsOut += c.OctetsOut
		delete(s.open, c.Conn)
	case event.KindTransaction:
		t := &row.Transaction
		s.between(t.Time, t.End)
		s.cut(t.Cut)
		s.open[t.Conn] = struct{}{}
		s.replies[replyKey{row.Kind, t.Stage, t.Ending, t.Code, t.Enhanced}]++
	case event.KindAttempt:
		s.attempt(&row.Attempt)
	}
}

func (s *summarizer) attempt(a *event.Attempt) {
	s.between(a.Time, a.End)
	s.cut(a.Cut)
	s.open[a.Conn] = struct{}{}
	s.replies[replyKey{event.KindAttempt, a.Stage, a.Ending, a.Code, a.Enhanced}]++
	key := s.fingerprint(a.Token, a.Recipient)
	u := s.units[key]
	u.attempts++
	if a.Delivered {
		u.deliveries++
		s.Deliveries++
		if !a.Known() {
			s.AmbiguousDeliveries++
		}
	}
	s.units[key] = u
}

// cut counts a row of which keys are named whose values were cut.
func (s *summarizer) cut(keys string) {
	if keys != "" {
		s.CutRows++
	}
}

// fingerprint hashes a unit's identity twice: 128 bits don't collide in practice.
func (s *summarizer) fingerprint(token, recipient []byte) [2]uint64 {
	s.buf = append(s.buf[:0], s.key.id(token)...)
	s.buf = append(s.buf, 0)
	s.buf = append(s.buf, s.key.recipient(recipient)...)
	var d xxhash.Digest
	d.ResetWithSeed(0x9e3779b97f4a7c15)
	_, _ = d.Write(s.buf) // never fails
	return [2]uint64{xxhash.Sum64(s.buf), d.Sum64()}
}

func (s *summarizer) between(from, to time.Time) {
	if s.First.IsZero() || from.Before(s.First) {
		s.First = from
	}
	if to.After(s.Last) {
		s.Last = to
	}
}

func (s *summarizer) plan(name string) {
	if !slices.Contains(s.Plans, name) {
		s.Plans = append(s.Plans, name)
	}
}

func (s *summarizer) cutOpen() {
	s.Unfinished += uint64(len(s.open))
	clear(s.open)
}

func (s *summarizer) finish() *Summary {
	s.cutOpen()
	for k, n := range s.kinds {
		if n > 0 {
			s.Rows = append(s.Rows, NameCount{event.Kind(k).String(), n})
		}
	}
	s.ConnectionReasons = sortedNames(s.reasons)
	for k, n := range s.replies {
		s.Replies = append(s.Replies, ReplyCount{k.kind.String(), k.stage, k.ending.String(), k.code, k.enhanced, n})
	}
	slices.SortFunc(s.Replies, func(a, b ReplyCount) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Ending, b.Ending), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Enhanced.String(), b.Enhanced.String()))
	})
	s.Units = uint64(len(s.units))
	histogram := make(map[uint32]uint64)
	for _, u := range s.units {
		histogram[u.attempts]++
		if u.deliveries > 0 {
			s.DeliveredUnits++
		}
		if u.deliveries > 1 {
			s.DuplicatedUnits++
		}
	}
	for attempts, units := range histogram {
		s.AttemptsPerUnit = append(s.AttemptsPerUnit, AttemptCount{uint64(attempts), units})
	}
	slices.SortFunc(s.AttemptsPerUnit, func(a, b AttemptCount) int { return cmp.Compare(a.Attempts, b.Attempts) })
	return &s.Summary
}

func sortedNames(counts map[string]uint64) []NameCount {
	var out []NameCount
	for name, n := range counts {
		out = append(out, NameCount{name, n})
	}
	slices.SortFunc(out, func(a, b NameCount) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
