package pipeline

import (
	"maps"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// delivery draws the figures of how messages went through an MTA from the units that the judge gives. It judges nothing.
type delivery struct {
	out      *result.Delivery // nil: there was no MTA, and nothing is drawn but what came after a storm
	firsts   []time.Time      // first acceptances
	attempts map[int]uint64
	seconds  map[int64]*second
	pauses   [result.MaxBackoff]result.Histogram
}

// second is what happened in one.
type second struct {
	result.DeliverySample
	delays []float64
}

// maxSeconds bounds the series: more than a day, or a clock that was set.
const maxSeconds = 100_000

// newDelivery returns the figures to come; those that were watched are in out already.
func newDelivery(out *result.Delivery) *delivery {
	d := &delivery{out: out, attempts: map[int]uint64{}, seconds: map[int64]*second{}}
	if out == nil {
		return d
	}
	for _, s := range out.Series {
		d.at(s.Time).Queued = s.Queued
	}
	out.Series, out.Latency, out.Gaps = nil, &result.Histogram{}, &result.Histogram{}
	return d
}

// at returns the second of a time, or one that nobody keeps where there are too many.
func (d *delivery) at(t time.Time) *second {
	s := d.seconds[t.Unix()]
	if s == nil {
		s = &second{DeliverySample: result.DeliverySample{Time: time.Unix(t.Unix(), 0).UTC()}}
		if len(d.seconds) < maxSeconds {
			d.seconds[t.Unix()] = s
		}
	}
	return s
}

// unit takes what became of a unit.
func (d *delivery) unit(u *reconcile.Unit) {
	for i := range u.Deliveries {
		if !u.Deliveries[i].Dropped {
			d.firsts = append(d.firsts, u.Deliveries[i].Time)
			break
		}
	}
	if d.out == nil {
		return
	}
	d.attempts[len(u.Attempts)]++
	for i, at := range u.Attempts {
		d.at(at).Attempts++
		if i > 0 {
			gap := millis(at.Sub(u.Attempts[i-1]))
			d.out.Gaps.Record(gap)
			if i <= result.MaxBackoff {
				d.pauses[i-1].Record(gap)
			}
		}
	}
	if !u.Sent.IsZero() {
		d.at(u.Sent).Sent++
	}
	for i := range u.Deliveries {
		if u.Deliveries[i].Dropped {
			continue
		}
		first := u.Deliveries[i].Time
		d.at(first).Delivered++
		if !u.Sent.IsZero() {
			took := millis(first.Sub(u.Sent))
			d.out.Latency.Record(took)
			sent := d.at(u.Sent)
			sent.delays = append(sent.delays, took)
		}
		return
	}
}

// millis returns a time between two events; of clocks that were set meanwhile, 0.
func millis(d time.Duration) float64 { return max(0, float64(d)/float64(time.Millisecond)) }

// recovery says when the first message was delivered after a storm's phase changed last; nil where none did.
func (d *delivery) recovery(phases []result.PhaseBegin) *result.Recovery {
	if len(phases) == 0 {
		return nil
	}
	last := phases[len(phases)-1]
	out := &result.Recovery{Phase: last.Phase}
	for _, at := range d.firsts {
		if after := at.Sub(last.Time).Seconds(); after >= 0 && (out.Seconds == nil || after < *out.Seconds) {
			out.Seconds = &after
		}
	}
	return out
}

// finish completes the figures.
func (d *delivery) finish() {
	if d.out == nil {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(d.attempts)) {
		d.out.Attempts = append(d.out.Attempts, result.AttemptCount{Attempts: n, Messages: d.attempts[n]})
	}
	for _, at := range slices.Sorted(maps.Keys(d.seconds)) {
		s := d.seconds[at]
		if len(s.delays) > 0 {
			slices.Sort(s.delays)
			s.Delay = &s.delays[(len(s.delays)-1)/2]
		}
		d.out.Series = append(d.out.Series, s.DeliverySample)
	}
	for i := range d.pauses {
		if h := &d.pauses[i]; h.Count() > 0 {
			d.out.Backoff = append(d.out.Backoff, result.Pause{K: i + 1, Count: h.Count(), P5: h.Quantile(0.05), P50: h.Quantile(0.5), P95: h.Quantile(0.95)})
		}
	}
	for _, h := range []**result.Histogram{&d.out.Latency, &d.out.Gaps} {
		if (*h).Count() == 0 {
			*h = nil
		}
	}
}
