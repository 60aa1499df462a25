package learn

import (
	"hash/maphash"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Log gathers the attempts that logs tell of. An attempt takes 40 octets, each (sender, recipient) pair about as many more when a plan is made.
// It is used by one goroutine at a time.
type Log struct {
	From, To time.Time // attempts outside are counted only; zero: no bound
	Tally    Tally

	seed     maphash.Seed
	attempts []attempt
	domains  index[string]
	outcomes index[outcome]
	address  []byte // scratch space
}

// Tally says what became of the events of a log.
type Tally struct {
	Attempts    int `json:"attempts"`     // at next hops: what the plan is learned from
	Suspended   int `json:"suspended"`    // no attempts: the MTA was still waiting
	Own         int `json:"own"`          // decided by the MTA itself: no host found, or delivered on its own machine
	NullSender  int `json:"null_sender"`  // attempts with the null sender, left out: the plan lets it pass
	NoRecipient int `json:"no_recipient"` // attempts of which the log didn't tell the recipient, left out
	Outside     int `json:"outside"`      // attempts before From or after To, left out
}

// NewLog returns an empty one.
func NewLog() *Log {
	return &Log{seed: maphash.MakeSeed(), domains: newIndex[string](), outcomes: newIndex[outcome]()}
}

// attempt is one attempt to deliver to one recipient.
type attempt struct {
	at               int64  // Unix milliseconds, when it was over
	pair             uint64 // who to whom
	domain, outcome  uint32 // places in the indexes
	connecting, took int32  // milliseconds; negative: not told
	n                int32  // the pair's n-th attempt, from 1; set when all are known
}

// outcome is what happened at an attempt; the zero value isn't one. A success has no more than its stage, message, and Code 250.
type outcome struct {
	stage    smtp.Stage // where it happened
	told     bool       // the log told the stage
	failure  mtalog.Failure
	code     smtp.Code
	enhanced smtp.Enhanced
	quoted   bool   // without an enhanced status code the reply had none
	text     string // normalised lines, parted by line feeds
}

func (o *outcome) success() bool { return o.code.Class() == 2 }

// maxOutcomes bounds how many different replies are kept apart; beyond, their texts are left out.
const maxOutcomes = 1 << 16

// Add takes an event.
func (l *Log) Add(e *mtalog.Event) {
	a, ok := e.Attempt()
	switch {
	case e.Event == mtalog.Suspended:
		l.Tally.Suspended++
		return
	case e.Event == mtalog.Accepted || e.Event == mtalog.Expired:
		return
	case !ok:
		l.Tally.Own++
		return
	case e.Recipient == "":
		l.Tally.NoRecipient++
		return
	case e.NullSender:
		l.Tally.NullSender++
		return
	case !l.From.IsZero() && e.Time.Before(l.From) || !l.To.IsZero() && !e.Time.Before(l.To):
		l.Tally.Outside++
		return
	}
	l.Tally.Attempts++
	var h maphash.Hash
	h.SetSeed(l.seed)
	l.address = smtp.AppendAddress(l.address[:0], []byte(e.Sender))
	_, _ = h.Write(l.address) // it never fails
	_ = h.WriteByte(0)
	l.address = smtp.AppendAddress(l.address[:0], []byte(e.Recipient))
	_, _ = h.Write(l.address)
	l.attempts = append(l.attempts, attempt{
		at: e.Time.UnixMilli(), pair: h.Sum64(), domain: l.domains.of(string(smtp.DomainOf(l.address))), outcome: l.outcomes.of(l.outcome(e, &a)),
		connecting: milliseconds(e.Connecting), took: milliseconds(e.Took),
	})
}

func (l *Log) outcome(e *mtalog.Event, a *mtalog.Attempt) outcome {
	if e.Event == mtalog.Sent {
		return outcome{stage: smtp.StageMessage, told: true, code: 250}
	}
	o := outcome{stage: a.Stage, told: a.Told, failure: a.Failure, code: a.Code, enhanced: a.Enhanced, quoted: a.Quoted}
	if o.enhanced.Class != o.code.Class() {
		o.enhanced = smtp.Enhanced{}
	}
	if len(l.outcomes.values) >= maxOutcomes {
		return o
	}
	n := newNormaliser(e.Sender, e.Recipient)
	var lines []string
	for _, line := range a.Lines[:min(len(a.Lines), maxLines)] {
		if line = n.line(line); line != "" {
			lines = append(lines, line)
		}
	}
	o.text = strings.Join(lines, "\n")
	return o
}

// maxLines is how many lines of a reply are kept.
const maxLines = 8

func milliseconds(d time.Duration) int32 {
	if d < 0 {
		return -1
	}
	return int32(min(d, 24*time.Hour) / time.Millisecond) // #nosec G115 -- at most a day
}

// index gives each value a number, in the order in which they come.
type index[T comparable] struct {
	places map[T]uint32
	values []T
}

func newIndex[T comparable]() index[T] { return index[T]{places: map[T]uint32{}} }

func (x *index[T]) of(value T) uint32 {
	place, known := x.places[value]
	if !known {
		place = uint32(len(x.values)) // #nosec G115 -- fewer than the lines of a log
		x.places[value] = place
		x.values = append(x.values, value)
	}
	return place
}
