package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// The one geometry of every histogram in a record: microseconds from
// MinMicros to MaxMicros with Digits significant decimal digits.
const (
	MinMicros = 1
	MaxMicros = int64(3600) * 1000 * 1000
	Digits    = 3
)

// MaxCount is the most that a count read from a file may be.
const MaxCount = count.Most

// maxEncodedHistogram bounds the base64 text of one histogram. The geometry has
// 23,552 buckets of at most nine bytes each before compression.
const maxEncodedHistogram = 512 << 10

// Summary is what is kept exactly about a set of values, in their own unit.
// Min and Max are meaningless while Count is 0.
type Summary struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}

// Add counts one finite value.
func (s *Summary) Add(v float64) {
	if s.Count == 0 || v < s.Min {
		s.Min = v
	}
	if s.Count == 0 || v > s.Max {
		s.Max = v
	}
	s.Count++
	s.Sum += v
}

// Merge adds what o counted.
func (s *Summary) Merge(o Summary) {
	if o.Count == 0 {
		return
	}
	if s.Count == 0 || o.Min < s.Min {
		s.Min = o.Min
	}
	if s.Count == 0 || o.Max > s.Max {
		s.Max = o.Max
	}
	s.Count += o.Count
	s.Sum += o.Sum
}

// Mean is Sum/Count, and 0 for an empty summary.
func (s Summary) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / float64(s.Count)
}

func (s Summary) validate() error {
	for _, v := range []float64{s.Sum, s.Min, s.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("summary holds %v", v)
		}
	}
	if s.Count == 0 && s != (Summary{}) {
		return errors.New("summary has values but count 0")
	}
	if s.Min > s.Max {
		return fmt.Errorf("summary min %v is above its max %v", s.Min, s.Max)
	}
	return nil
}

// Histogram is the distribution of times in milliseconds. Beside HDR buckets
// (rounded to the nearest microsecond) it keeps count, sum, minimum and maximum
// exactly. No value is dropped: those which have no bucket are counted in Zero,
// Below (under half a microsecond but not zero, negative ones included) and
// Above (over an hour), take part in Count, Sum, Min, Max and in every
// quantile. Only values that are no numbers (NaN, infinities) stay out, counted
// in Invalid.
//
// The zero value is an empty histogram. Buckets are stored sparsely: a few
// bytes for each populated one. A Histogram must not be copied; see Clone.
type Histogram struct {
	sum     Summary
	zero    uint64
	below   uint64
	above   uint64
	invalid uint64
	buckets *hdrhistogram.PackedHistogram
}

// Record counts one value in milliseconds. It does not allocate when the
// value's bucket was populated before.
func (h *Histogram) Record(ms float64) { h.RecordN(ms, 1) }

// RecordN counts n equal values in milliseconds, at the cost of one. n is at
// most MaxCount; more count as that many.
func (h *Histogram) RecordN(ms float64, n uint64) {
	n = min(n, MaxCount)
	switch {
	case n == 0:
		return
	case math.IsNaN(ms) || math.IsInf(ms, 0):
		h.invalid += n
		return
	}
	h.sum.Merge(Summary{Count: n, Sum: ms * float64(n), Min: ms, Max: ms})
	us := math.Round(ms * 1000)
	switch {
	case ms == 0:
		h.zero += n
	case us < MinMicros:
		h.below += n
	case us > float64(MaxMicros):
		h.above += n
	default:
		if h.buckets == nil {
			h.buckets = newBuckets()
		}
		if h.buckets.RecordValues(int64(us), int64(n)) != nil { // #nosec G115 -- at most MaxCount
			h.above += n
		}
	}
}

func newBuckets() *hdrhistogram.PackedHistogram {
	return hdrhistogram.NewPacked(MinMicros, MaxMicros, Digits)
}

// Summary returns the exact count, sum, minimum and maximum in milliseconds.
func (h *Histogram) Summary() Summary { return h.sum }

// Count returns how many values were recorded.
func (h *Histogram) Count() uint64 { return h.sum.Count }

// Zero returns how many values were exactly zero.
func (h *Histogram) Zero() uint64 { return h.zero }

// Below returns how many values were under half a microsecond but not zero.
func (h *Histogram) Below() uint64 { return h.below }

// Above returns how many values exceeded an hour.
func (h *Histogram) Above() uint64 { return h.above }

// Invalid returns how many values were no numbers; they are in no other count.
func (h *Histogram) Invalid() uint64 { return h.invalid }

// Merge adds everything that o recorded; o stays as it is. The result equals
// the histogram of all values recorded in one.
func (h *Histogram) Merge(o *Histogram) {
	if o == nil {
		return
	}
	h.sum.Merge(o.sum)
	h.zero += o.zero
	h.below += o.below
	h.above += o.above
	h.invalid += o.invalid
	if o.buckets != nil {
		if h.buckets == nil {
			h.buckets = newBuckets()
		}
		h.buckets.Merge(o.buckets)
	}
}

// Clone returns an independent copy.
func (h *Histogram) Clone() *Histogram {
	c := *h
	if h.buckets != nil {
		c.buckets = h.buckets.Clone()
	}
	return &c
}

// Reset empties the histogram and keeps its storage.
func (h *Histogram) Reset() {
	b := h.buckets
	*h = Histogram{buckets: b}
	if b != nil {
		b.Reset()
	}
}

// Quantile returns the nearest-rank quantile in milliseconds: the value at rank
// ceil(q*Count), q in [0,1]. Its relative error is at most 0.1 % (half a
// microsecond for the smallest values); it is never outside [Min, Max]. An
// empty histogram gives 0.
func (h *Histogram) Quantile(q float64) float64 {
	if h.sum.Count == 0 {
		return 0
	}
	return h.AtRank(nearestRank(q, h.sum.Count))
}

// QuantileWith returns the nearest-rank quantile of what was recorded and of unseen values that are slower than all of it (dropped work,
// replies that nobody waited for). It is +Inf where its rank is one of theirs, and NaN where there is nothing at all.
func (h *Histogram) QuantileWith(q float64, unseen uint64) float64 {
	n := h.sum.Count + unseen
	if n == 0 {
		return math.NaN()
	}
	rank := nearestRank(q, n)
	if rank > h.sum.Count {
		return math.Inf(1)
	}
	return h.AtRank(rank)
}

// nearestRank is ceil(q*n) within [1, n]. The product is rounded down by a
// relative 1e-12 first, so that 0.99*1000 means rank 990 and not 991.
func nearestRank(q float64, n uint64) uint64 {
	if !(q > 0) {
		return 1
	}
	r := math.Ceil(q * float64(n) * (1 - 1e-12))
	if r < 1 {
		return 1
	}
	if r >= float64(n) {
		return n
	}
	return uint64(r)
}

// AtRank returns the value of the given rank in milliseconds, 1 being the
// smallest; ranks outside [1, Count] are taken as the nearest of the two.
func (h *Histogram) AtRank(rank uint64) float64 {
	n := h.sum.Count
	switch {
	case n == 0:
		return 0
	case rank <= 1:
		return h.sum.Min
	case rank >= n:
		return h.sum.Max
	case rank > n-h.above:
		return h.sum.Max
	}
	v := h.sum.Max
	for b := range h.Buckets {
		if rank <= b.Count {
			v = b.Millis
			break
		}
		rank -= b.Count
	}
	return v
}

// Bucket is one populated bucket: Count values that are equal within the
// histogram's precision, in milliseconds.
type Bucket struct {
	Millis float64
	Count  uint64
}

// Buckets yields the populated buckets in ascending order, with the exact
// minimum standing for zero and below-range values and the exact maximum for
// values above an hour; the counts add up to Count. Use it with range.
func (h *Histogram) Buckets(yield func(Bucket) bool) {
	if low := h.zero + h.below; low > 0 {
		v := 0.0
		if h.sum.Min > 0 {
			v = h.sum.Min
		}
		if !yield(Bucket{v, low}) {
			return
		}
	}
	if h.buckets != nil {
		for us, n := range h.buckets.ForEachBucket {
			v := float64(highestEquivalent(us)) / 1000
			v = min(max(v, h.sum.Min), h.sum.Max)
			if !yield(Bucket{v, uint64(n)}) { // #nosec G115 -- a count: the packed encoding has runs of zeros for negative ones
				return
			}
		}
	}
	if h.above > 0 {
		yield(Bucket{h.sum.Max, h.above})
	}
}

// highestEquivalent is the largest value in the bucket that starts at us. With
// three digits a bucket is 1 wide below 2048 and doubles at each power of two.
func highestEquivalent(us int64) int64 {
	const subBuckets = 2048
	width := int64(1)
	for v := us; v >= subBuckets; v >>= 1 {
		width <<= 1
	}
	return us + width - 1
}

// Point is one point of a percentile curve.
type Point struct {
	Quantile float64 // share of values that are at most Millis, in (0, 1]
	Millis   float64
}

// Curve returns the cumulative distribution, one point per populated bucket, in
// ascending order; the last point has quantile 1 and the exact maximum.
func (h *Histogram) Curve() []Point {
	var pts []Point
	var seen uint64
	for b := range h.Buckets {
		seen += b.Count
		pts = append(pts, Point{float64(seen) / float64(h.sum.Count), b.Millis})
	}
	if len(pts) > 0 {
		pts[len(pts)-1].Millis = h.sum.Max
	}
	return pts
}

// histogramJSON is a Histogram on disk. HDR is base64 of HdrHistogram's V2
// compressed encoding, readable by the Java, C, Python and JavaScript ports.
type histogramJSON struct {
	Summary
	Zero    uint64 `json:"zero,omitempty"`
	Below   uint64 `json:"below,omitempty"`
	Above   uint64 `json:"above,omitempty"`
	Invalid uint64 `json:"invalid,omitempty"`
	HDR     string `json:"hdr,omitempty"`
}

// MarshalJSON writes the histogram with its buckets.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	j := histogramJSON{Summary: h.sum, Zero: h.zero, Below: h.below, Above: h.above, Invalid: h.invalid}
	if h.buckets != nil && h.buckets.TotalCount() > 0 {
		b, err := h.buckets.Encode()
		if err != nil {
			return nil, fmt.Errorf("encode histogram: %w", err)
		}
		j.HDR = string(b)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. It refuses another geometry, and
// counts that don't add up; it allocates no more than the geometry needs,
// whatever the input says.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if err := j.validate(); err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	n := Histogram{sum: j.Summary, zero: j.Zero, below: j.Below, above: j.Above, invalid: j.Invalid}
	var inBuckets uint64
	if j.HDR != "" {
		b, err := decodeBuckets(j.HDR)
		if err != nil {
			return fmt.Errorf("histogram: %w", err)
		}
		if b.CountAtValue(0) != 0 {
			return errors.New("histogram: a bucket holds zeros, which are counted apart")
		}
		n.buckets = b
		inBuckets = uint64(b.TotalCount()) // #nosec G115 -- a sum that wrapped is above any count, and refused below
	}
	// The sum of the parts might wrap.
	want := j.Count
	for _, part := range []uint64{j.Zero, j.Below, j.Above, inBuckets} {
		if part > want {
			return fmt.Errorf("histogram: count %d is less than its parts", j.Count)
		}
		want -= part
	}
	if want != 0 {
		return fmt.Errorf("histogram: count %d but only %d values in buckets and out-of-range counters", j.Count, j.Count-want)
	}
	*h = n
	return nil
}

func (j *histogramJSON) validate() error {
	if j.Count > MaxCount {
		return fmt.Errorf("count %d is too large", j.Count)
	}
	if len(j.HDR) > maxEncodedHistogram {
		return fmt.Errorf("encoded buckets are %d bytes, more than %d", len(j.HDR), maxEncodedHistogram)
	}
	return j.Summary.validate()
}
