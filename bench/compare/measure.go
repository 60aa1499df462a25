package compare

import (
	"fmt"
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Statistic is what one run gives as its value of a distribution.
type Statistic struct {
	Q    float64 // of a nearest-rank percentile, in (0, 1); 0: the mean
	name string
}

// The statistics of a distribution.
var (
	P50  = Statistic{0.50, "p50"}
	P90  = Statistic{0.90, "p90"}
	P95  = Statistic{0.95, "p95"}
	P99  = Statistic{0.99, "p99"}
	P999 = Statistic{0.999, "p99.9"}
	Mean = Statistic{0, "mean"}
)

// String returns the name as tables write it.
func (s Statistic) String() string { return s.name }

// Share names a share of the messages that were tried.
type Share string

// The shares.
const (
	ShareFailed     Share = "failed"     // they lack an expected final reply
	ShareDeferred   Share = "deferred"   // the final reply was 4yz
	ShareBounced    Share = "bounced"    // it was 5yz
	ShareUnanswered Share = "unanswered" // the client waited no longer
)

// Measure is what is compared: a statistic of a distribution, or a share. Exactly one of Key.Metric and Share is set.
type Measure struct {
	Key       Key
	Statistic Statistic
	Share     Share
}

// IsShare says that its values are shares, compared by differences; others are milliseconds, compared by ratios, too.
func (m Measure) IsShare() bool { return m.Share != "" }

// Name is how --fail-on and JSON name it: p99(msg_duration), share(failed).
func (m Measure) Name() string {
	if m.IsShare() {
		return fmt.Sprintf("share(%s)", m.Share)
	}
	metric := shortMetric(m.Key.Metric)
	if o := m.Key.Outcome; o != Any && o != Accepted {
		metric += "," + string(o)
	}
	return fmt.Sprintf("%s(%s)", m.Statistic, metric)
}

// Value is what one run says of a measure.
type Value struct {
	V float64 // NaN: the run has none; +Inf: work that was not measured hides it
	// N values were measured; Unseen ones are known to be slower than all of them.
	N      uint64
	Unseen uint64
	// Few: there are fewer than ten values beyond the percentile.
	Few bool
	// RoomLo and RoomHi are the percentiles between which the true one lies with 95%, by its rank: p99.9 of 10,000 spans p99.83 to p99.97. 0: a mean or a share.
	RoomLo float64
	RoomHi float64
}

// Usable says that the value can be compared.
func (v Value) Usable() bool { return !v.Few && !math.IsNaN(v.V) && !math.IsInf(v.V, 0) }

// Value returns the run's value of a measure.
func (r *Run) Value(m Measure) Value {
	v := r.withoutRoom(m)
	if n := v.N + v.Unseen; m.Statistic.Q > 0 && n > 0 {
		l, u := stat.OrderStatistics(n, m.Statistic.Q, 0.95)
		v.RoomLo, v.RoomHi = float64(max(l, 1))/float64(n), float64(min(u, n))/float64(n)
	}
	return v
}

// withoutRoom is Value without the room of the rank, which takes most of its time.
func (r *Run) withoutRoom(m Measure) Value {
	if m.IsShare() {
		return r.share(m.Share)
	}
	h := r.series[m.Key]
	if h == nil || h.Count() == 0 {
		return Value{V: math.NaN()}
	}
	v := Value{N: h.Count(), Unseen: uint64(r.unseen[m.Key.Metric])}
	if m.Statistic.Q == 0 {
		v.V = h.Summary().Mean()
		if v.Unseen > 0 {
			v.V = math.Inf(1)
		}
		return v
	}
	v.V = h.QuantileWith(m.Statistic.Q, v.Unseen)
	v.Few = v.N+v.Unseen < stat.MinSamples(m.Statistic.Q)
	return v
}

func (r *Run) share(s Share) Value {
	if r.Attempts == 0 {
		return Value{V: math.NaN()}
	}
	part := map[Share]uint64{ShareFailed: r.Failed, ShareDeferred: r.ByOutcome[Deferred], ShareBounced: r.ByOutcome[Bounced], ShareUnanswered: r.Unanswered}[s]
	return Value{V: float64(part) / float64(r.Attempts), N: r.Attempts}
}

// Family is the primary family: what a comparison is about, declared before the data are seen.
func Family() []Measure {
	whole := Key{MetricDuration, Accepted}
	return []Measure{{Key: whole, Statistic: P50}, {Key: whole, Statistic: P99}, {Share: ShareFailed}, {Share: ShareDeferred}}
}
