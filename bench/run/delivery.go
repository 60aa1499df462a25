package run

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// maxPairs caps what a tracker remembers; each pair takes some 200 bytes.
const maxPairs = 2_000_000

// tracker follows messages through a mail transfer agent: it is told of each attempt at the sink and keeps one entry for each
// (sender, recipient) pair, which a script must not use twice. Its methods are safe for concurrent use.
type tracker struct {
	mu        sync.Mutex
	pairs     map[string]*pair
	key       []byte // scratch, so that looking a pair up doesn't allocate
	delivered uint64 // pairs that were delivered at least once
	bounced   uint64 // pairs whose last word is a permanent refusal
	notices   uint64 // attempts with the null sender: delivery status notifications
	overflow  uint64 // attempts of pairs beyond maxPairs
	latency   *result.Histogram
	untimed   uint64 // deliveries whose sender carries no time
	backwards uint64 // deliveries that seem to precede their sending: a clock was set
}

// pair is what is known of one message to one recipient.
type pair struct {
	attempts  int
	delivered int
	bounced   bool
}

func newTracker() *tracker {
	return &tracker{pairs: map[string]*pair{}, latency: &result.Histogram{}}
}

// Attempt implements sink.Observer.
func (t *tracker) Attempt(a *session.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(a.Sender) == 0 {
		t.notices++
		return
	}
	t.key = append(append(append(t.key[:0], a.Sender...), 0), a.Recipient...)
	p := t.pairs[string(t.key)]
	if p == nil {
		if len(t.pairs) >= maxPairs {
			t.overflow++
			return
		}
		p = &pair{}
		t.pairs[string(t.key)] = p
	}
	p.attempts++
	switch {
	case a.Delivered:
		t.deliver(p, a)
	case a.Ending == session.EndReply && a.Code.Permanent():
		t.setBounced(p, p.delivered == 0)
	default:
		t.setBounced(p, false)
	}
}

func (t *tracker) setBounced(p *pair, bounced bool) {
	switch {
	case bounced && !p.bounced:
		t.bounced++
	case !bounced && p.bounced:
		t.bounced--
	}
	p.bounced = bounced
}

func (t *tracker) deliver(p *pair, a *session.Attempt) {
	t.setBounced(p, false)
	p.delivered++
	if p.delivered > 1 {
		return
	}
	t.delivered++
	sent, ok := sentAt(a.Sender)
	if !ok {
		t.untimed++
		return
	}
	took := a.End.Sub(sent)
	if took < 0 {
		t.backwards++
		return
	}
	t.latency.Record(float64(took) / float64(time.Millisecond))
}

// sentAt reads the time at which the client began to send from a sender such as "s+run-17-t1735689600123@src.bench.test": what
// follows "-t" at the end of the local part, in milliseconds since 1970.
func sentAt(sender []byte) (time.Time, bool) {
	local, _, ok := bytes.Cut(sender, []byte("@"))
	if !ok {
		return time.Time{}, false
	}
	i := bytes.LastIndex(local, []byte("-t"))
	if i < 0 || len(local)-i-2 != len("1735689600123") {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(string(local[i+2:]), 10, 64)
	if err != nil || ms < 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(ms), true
}

// settled returns how many pairs have a final fate: delivered, or refused for good.
func (t *tracker) settled() (delivered, bounced uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered, t.bounced
}

// delivery sorts all accepted messages into classes. sent and accepted are the client's figures: messages times recipients that
// it handed over, and those for which the agent took responsibility.
func (t *tracker) delivery(sent, accepted uint64) (*result.Delivery, []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := &result.Delivery{Sent: sent, Accepted: accepted, Latency: t.latency}
	attempts := map[int]uint64{}
	for _, p := range t.pairs {
		attempts[p.attempts]++
		switch {
		case p.delivered == 1:
			d.DeliveredOnce++
		case p.delivered > 1:
			d.Duplicated++
		case p.bounced:
			d.Bounced++
		}
	}
	var warnings []string
	final := d.DeliveredOnce + d.Duplicated + d.Bounced
	if final > accepted {
		// The client missed the reply to a message that the agent took: it counts as accepted all the same.
		warnings = append(warnings, count(final-accepted)+" messages reached the sink although the client saw no acceptance; they count as accepted")
		d.Accepted = final
	}
	d.Undelivered = d.Accepted - final
	for _, n := range slices.Sorted(maps.Keys(attempts)) {
		d.Attempts = append(d.Attempts, result.AttemptCount{Attempts: n, Messages: attempts[n]})
	}
	if t.notices > 0 {
		warnings = append(warnings, count(t.notices)+" attempts at the sink had the null sender: delivery status notifications, which count for nothing here")
	}
	if t.untimed > 0 {
		warnings = append(warnings, count(t.untimed)+" deliveries have no latency: their sender doesn't end in -t and the milliseconds since 1970 at which it was sent")
	}
	if t.backwards > 0 {
		warnings = append(warnings, count(t.backwards)+" deliveries have no latency: they seem to precede their sending, so a clock was set")
	}
	if t.overflow > 0 {
		warnings = append(warnings, count(t.overflow)+" attempts were not followed: more than "+count(uint64(maxPairs))+" pairs of sender and recipient")
	}
	if d.Latency.Count() == 0 {
		d.Latency = nil
	}
	return d, warnings
}
