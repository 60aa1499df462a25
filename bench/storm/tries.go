package storm

import (
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// arrivals are when the MTA took messages, as its log says, by their senders.
func arrivals(events []reconcile.LogEvent) map[string]time.Time {
	out := map[string]time.Time{}
	for i := range events {
		if e := &events[i]; e.Event == "accepted" && e.Sender != "" && out[e.Sender].IsZero() {
			out[e.Sender] = e.Time
		}
	}
	return out
}

// failure is one that a log tells of without that the sink saw an envelope.
type failure struct {
	at      time.Time
	certain bool // else it did perhaps
}

// failuresOf are those failures, by the recipient.
func failuresOf(events []reconcile.LogEvent) map[string][]failure {
	out := map[string][]failure{}
	for i := range events {
		e := &events[i]
		if reached := mtalog.Postponed(e); e.Recipient != "" && reached != mtalog.DidReach {
			name := strings.ToLower(e.Recipient)
			out[name] = append(out[name], failure{e.Time, reached == mtalog.NotReached})
		}
	}
	return out
}

// near is how long before or after its attempt a log may tell of it: some have whole seconds.
const near = 2 * time.Second

// unseen are the times of failures of which the sink saw no envelope. Those of which the log doesn't tell it are among them when no attempt was
// near.
func unseen(u *measure.Unit, failures []failure) (out []time.Time) {
	for _, f := range failures {
		seen := false
		for k, begin := range u.Attempts {
			end := begin
			if k < len(u.Ends) && u.Ends[k].After(begin) {
				end = u.Ends[k]
			}
			seen = seen || !f.at.Before(begin.Add(-near)) && !f.at.After(end.Add(near))
		}
		if f.certain || !seen {
			out = append(out, f.at)
		}
	}
	return out
}

// arrived is when the MTA took a message: as its log says, if that is a time at which it can have been; else when it was submitted. A log that
// has whole seconds only is of no use for it.
func arrived(claim *reconcile.Claim, logged time.Time) time.Time {
	if logged.Before(claim.Sent) || logged.After(claim.Replied) {
		return claim.Sent
	}
	return logged
}

// try is an attempt, as the ledger has it.
type try struct {
	name string // the recipient's, or the sender's when it came no further than MAIL
	at   int64  // nanoseconds since 1970
}

// ended are when attempts of the ledger were over for the sender.
type ended struct {
	ends     map[try]time.Time
	patience time.Duration      // of the sender with the final reply; 0: as long as the sink took
	dots     map[body]time.Time // when bodies were whole
}

// body is a message of a connection.
type body struct{ conn, message uint64 }

func newEnded(patience time.Duration) *ended {
	return &ended{ends: map[try]time.Time{}, patience: patience, dots: map[body]time.Time{}}
}

// add notes a row. A sender that has lost its patience with the final reply has ended the attempt before the sink did.
func (e *ended) add(row *event.Row) {
	over := func(end, handed time.Time) time.Time {
		if !handed.IsZero() {
			return handed
		}
		return end
	}
	switch row.Kind {
	case event.KindMessage:
		e.dots[body{row.Message.Conn, row.Message.Message}] = row.Message.Time
	case event.KindTransaction:
		t := &row.Transaction
		e.ends[try{strings.ToLower(string(t.Sender)), t.Time.UnixNano()}] = over(t.End, t.Handed)
	case event.KindAttempt:
		a := &row.Attempt
		end := over(a.End, a.Handed)
		if dot, ok := e.dots[body{a.Conn, a.Message}]; ok && e.patience > 0 && end.Sub(dot) > e.patience {
			end = dot.Add(e.patience)
		}
		e.ends[try{strings.ToLower(string(a.Recipient)), a.Time.UnixNano()}] = end
	}
}

// of returns when an attempt at a time was over; zero: no row says it.
func (e *ended) of(recipient, sender string, at time.Time) time.Time {
	if end, ok := e.ends[try{strings.ToLower(recipient), at.UnixNano()}]; ok {
		return end
	}
	return e.ends[try{strings.ToLower(sender), at.UnixNano()}]
}
