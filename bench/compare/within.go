package compare

import (
	"math"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Distribution is one metric of one run, in total and in blocks of time.
type Distribution struct {
	Total *result.Histogram
	// Blocks are the run's time windows, in order; the bootstrap resamples them.
	Blocks []*result.Histogram
	// Seen is the share of planned work that was measured; the rest counts as
	// slower than every measured value. A percentile above it is unknown, and one
	// below it is the (q/Seen)-quantile of what was measured. 0 means 1.
	Seen float64
}

// Of collects a metric of a record over all series whose tags include want.
func Of(r *result.Record, metric string, want result.Tags) Distribution {
	d := Distribution{Total: &result.Histogram{}, Seen: Seen(r.Load)}
	if r.Client == nil {
		return d
	}
	d.Total = r.Client.Total(metric, want)
	if want == nil { // nobody knows what tags an answer would have had
		d.Seen = SeenOf(r, metric)
	}
	for _, w := range r.Client.Windows {
		block := &result.Histogram{}
		for _, ws := range w.Series {
			if s := &r.Client.Series[ws.Index]; s.Metric == metric && s.Tags.Has(want) {
				block.Merge(ws.Histogram)
			}
		}
		if block.Count() > 0 {
			d.Blocks = append(d.Blocks, block)
		}
	}
	return d
}

// Seen is n/(n+d) for n complete and d dropped iterations. k6 never queues an
// arrival and exposes no intended start, so what a dropped iteration would have
// measured is unknown, but it was surely no faster than what it waited for.
func Seen(l result.Load) float64 {
	n, d := float64(l.IterationsComplete), float64(l.IterationsDropped)
	if d == 0 {
		return 1
	}
	return n / (n + d)
}

// MetricUnanswered is the trend of messages for whose reply the client waited
// no longer, by phase and error_code: how long they had lasted until then.
const MetricUnanswered = "smtp_msg_unanswered"

// waits are the metrics that have no value for a message whose reply the client
// did not wait for, with the tags of MetricUnanswered that this applies to.
var waits = map[string]result.Tags{
	"smtp_msg_duration":  nil,
	"smtp_msg_mail":      {"phase": "mail"},
	"smtp_msg_rcpt":      {"phase": "rcpt"},
	"smtp_msg_data":      {"phase": "data"},
	"smtp_msg_waiting":   {"phase": "message"},
	"iteration_duration": {"error_code": "1060"}, // the iteration ended with the wait
}

// Unanswered returns how many values of a metric are known to be missing
// because the client did not wait for them: it timed out, or its iteration was
// cut short. Each is at least as long as the wait had lasted (censored on the
// right), and in a storm with silence these are the slowest of all.
func Unanswered(r *result.Record, metric string) uint64 {
	want, ok := waits[metric]
	if !ok || r.Client == nil {
		return 0
	}
	return r.Client.Total(MetricUnanswered, want).Count()
}

// SeenOf is the share of a metric's values that were measured: Seen, less those
// that are known to be missing.
func SeenOf(r *result.Record, metric string) float64 {
	seen := Seen(r.Load)
	missing := float64(Unanswered(r, metric))
	if missing == 0 {
		return seen
	}
	measured := float64(r.Client.Total(metric, nil).Count())
	if measured == 0 {
		return 0 // there is no value that could be misread
	}
	return seen * measured / (measured + missing)
}

// at is the quantile of the measured values which is the q-quantile of all; it
// is above 1 where that was not measured.
func (d Distribution) at(q float64) float64 {
	if d.Seen > 0 && d.Seen < 1 {
		return q / d.Seen * (1 - 1e-12) // so that Seen itself stays within
	}
	return q
}

// all applies at to several quantiles.
func (d Distribution) all(qs []float64) []float64 {
	out := make([]float64, len(qs))
	for i, q := range qs {
		out[i] = min(d.at(q), 1)
	}
	return out
}

// Percentile is one percentile of one run.
type Percentile struct {
	Q     float64
	Value float64 // nearest rank, in milliseconds; meaningless when Beyond
	// Beyond: dropped iterations, or replies that nobody waited for, hide it; all that is known is that it lies above
	// every measured value ("> max").
	Beyond bool
	// Within is the within-run interval; nil for the maximum, when Beyond, and where there are too few independent blocks of time.
	Within *stat.Interval
	// Few: there are fewer than stat.MinSamples(Q) values.
	Few bool
}

// IntervalOptions of the intervals.
type IntervalOptions struct {
	Confidence float64 // 0 means 0.95
	Resamples  int     // of the bootstrap; 0 means 1,000
	Seed       uint64  // of the bootstrap
}

func (o IntervalOptions) withDefaults() IntervalOptions {
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if o.Resamples == 0 {
		o.Resamples = 1000
	}
	return o
}

// Method says how an interval was found.
type Method string

// The two methods. See Difference for when which is used.
const (
	BlockBootstrap  Method = "block bootstrap"
	OrderStatistic  Method = "order statistics"
	minWindows             = 20
	minShareInBlock        = 0.99
)

// hasWindows: enough windows to see how they depend on each other, and they hold (nearly) all that the total holds.
func (d Distribution) hasWindows() bool {
	var n uint64
	for _, b := range d.Blocks {
		n += b.Count()
	}
	return len(d.Blocks) >= minWindows && float64(n) >= minShareInBlock*float64(d.Total.Count())
}

// resample returns the quantiles of each resample of the run's blocks, and which of them it has enough independent blocks for.
func (d Distribution) resample(qs []float64, o IntervalOptions, seed uint64) (rows [][]float64, allowed []bool) {
	windows := make([]stat.Sample, len(d.Blocks))
	for i, b := range d.Blocks {
		windows[i] = sampleOf(b)
	}
	blocks := stat.CutBlocks(windows)
	at := d.all(qs)
	allowed = make([]bool, len(qs))
	for i, q := range at {
		allowed[i] = blocks.Allows(q) == nil
	}
	if slices.Contains(allowed, true) {
		rows = blocks.Resample(at, o.Resamples, seed)
	}
	return rows, allowed
}

func sampleOf(h *result.Histogram) stat.Sample {
	var s stat.Sample
	for b := range h.Buckets {
		s.Cells = append(s.Cells, stat.Cell{Value: b.Millis, Count: b.Count})
	}
	return s
}

// Percentiles returns the percentiles qs (each in (0, 1]) with intervals.
func (d Distribution) Percentiles(qs []float64, o IntervalOptions) ([]Percentile, Method) {
	o = o.withDefaults()
	if !d.hasWindows() {
		return d.percentiles(qs, func(i int) *stat.Interval {
			iv := orderInterval(d.Total, d.at(qs[i]), o.Confidence)
			return &iv
		}), OrderStatistic
	}
	rows, allowed := d.resample(qs, o, o.Seed)
	return d.bootstrapped(qs, o, rows, allowed), BlockBootstrap
}

func (d Distribution) bootstrapped(qs []float64, o IntervalOptions, rows [][]float64, allowed []bool) []Percentile {
	return d.percentiles(qs, func(i int) *stat.Interval {
		if !allowed[i] {
			return nil
		}
		return centralInterval(o, d.Total.Quantile(d.at(qs[i])), func(r int) float64 { return rows[r][i] })
	})
}

// centralInterval is that of a figure over all resamples, and holds the observed value.
func centralInterval(o IntervalOptions, observed float64, figure func(resample int) float64) *stat.Interval {
	values := make([]float64, o.Resamples)
	for r := range values {
		values[r] = figure(r)
	}
	iv := stat.CentralInterval(values, 1-o.Confidence)
	iv.Lo, iv.Hi = min(iv.Lo, observed), max(iv.Hi, observed)
	return &iv
}

func (d Distribution) percentiles(qs []float64, interval func(i int) *stat.Interval) []Percentile {
	out := make([]Percentile, len(qs))
	for i, q := range qs {
		p := Percentile{Q: q, Value: d.Total.Quantile(d.at(q)), Beyond: d.at(q) > 1, Few: d.Total.Count() < stat.MinSamples(q)}
		if !p.Beyond && q < 1 && d.Total.Count() > 0 {
			p.Within = interval(i)
		}
		out[i] = p
	}
	return out
}

// Difference is one percentile of two runs.
type Difference struct {
	A, B Percentile
	// Delta is B-A in milliseconds; meaningless unless Known.
	Delta float64
	Known bool // both sides have values and neither is Beyond
	// Within is the within-run interval of Delta; nil for the maximum, when not Known, and where there are too few independent blocks. It covers what varied inside the two runs, not between runs.
	Within *stat.Interval
}

// Differences compares the percentiles qs of two runs.
//
// With at least twenty time windows a side, the intervals come from a bootstrap that resamples whole blocks of
// windows (stat.CutBlocks): latencies of one moment resemble each other, and an interval that took them as
// independent would be too narrow. A percentile for which a side has too few independent blocks has no interval (docs/statistics.md).
// With fewer windows order statistics are used, with Bonferroni's correction for the difference (each side at
// 1-alpha/2): distribution-free and conservative if the values are independent.
func Differences(a, b Distribution, qs []float64, o IntervalOptions) ([]Difference, Method) {
	o = o.withDefaults()
	method := OrderStatistic
	var pa, pb []Percentile
	var interval func(i int, delta float64) *stat.Interval
	if a.hasWindows() && b.hasWindows() {
		method = BlockBootstrap
		da, allowedA := a.resample(qs, o, o.Seed)
		db, allowedB := b.resample(qs, o, o.Seed+1)
		pa, pb = a.bootstrapped(qs, o, da, allowedA), b.bootstrapped(qs, o, db, allowedB)
		interval = func(i int, delta float64) *stat.Interval {
			if !allowedA[i] || !allowedB[i] {
				return nil
			}
			return centralInterval(o, delta, func(r int) float64 { return db[r][i] - da[r][i] })
		}
	} else {
		pa, _ = a.withoutWindows().Percentiles(qs, o)
		pb, _ = b.withoutWindows().Percentiles(qs, o)
		interval = func(i int, _ float64) *stat.Interval {
			each := 1 - (1-o.Confidence)/2
			x, y := orderInterval(a.Total, a.at(qs[i]), each), orderInterval(b.Total, b.at(qs[i]), each)
			return &stat.Interval{Lo: y.Lo - x.Hi, Hi: y.Hi - x.Lo}
		}
	}
	out := make([]Difference, len(qs))
	for i, q := range qs {
		d := Difference{A: pa[i], B: pb[i], Delta: pb[i].Value - pa[i].Value}
		d.Known = a.Total.Count() > 0 && b.Total.Count() > 0 && !pa[i].Beyond && !pb[i].Beyond
		if d.Known && q < 1 {
			d.Within = interval(i, d.Delta)
		}
		out[i] = d
	}
	return out, method
}

func (d Distribution) withoutWindows() Distribution {
	d.Blocks = nil
	return d
}

// orderInterval is the interval of the q-quantile by order statistics.
func orderInterval(h *result.Histogram, q, confidence float64) stat.Interval {
	n := h.Count()
	l, u := stat.OrderStatistics(n, q, confidence)
	iv := stat.Interval{Lo: math.Inf(-1), Hi: math.Inf(1)}
	if l >= 1 {
		iv.Lo = h.AtRank(l)
	}
	if u <= n {
		iv.Hi = h.AtRank(u)
	}
	return iv
}
