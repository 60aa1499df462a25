package prometheus

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/durations"
)

// The histograms.
var histogramDescs = struct{ lateness, delays *prometheus.Desc }{
	prometheus.NewDesc(namespace+"reply_lateness_seconds", "How much later than planned delayed replies were handed to the kernel.", nil, nil),
	prometheus.NewDesc(namespace+"reply_delay_seconds", "How long replies were delayed as planned, of those that were.", nil, nil),
}

// schema is the resolution of native histograms: 8 buckets for each factor of 2, so that a bucket is 9% wide. The sink counts in
// buckets of 3%.
const schema = 3

// classicBounds are the buckets for who knows no native histograms, in seconds.
var classicBounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// histogram is a prometheus.Metric with native buckets and classic ones: a Prometheus takes what it knows.
type histogram struct {
	desc *prometheus.Desc
	out  dto.Histogram
}

// newHistogram makes a histogram of what was counted. Its sum is right within 3%.
func newHistogram(desc *prometheus.Desc, d *count.Distribution) *histogram {
	h := &histogram{desc: desc}
	var sum float64
	var zero uint64
	native := map[int]int64{}
	classic := make([]uint64, len(classicBounds))
	for _, b := range d.Buckets {
		middle := middleOf(b.Micros)
		sum += middle * float64(b.Count)
		if b.Micros == 0 {
			zero += b.Count
		} else {
			native[int(math.Ceil(math.Log2(middle)*(1<<schema)))] += int64(b.Count) // #nosec G115 -- a count of replies
		}
		for i, bound := range classicBounds {
			if middle <= bound {
				classic[i] += b.Count
			}
		}
	}
	h.out.SampleCount, h.out.SampleSum = &d.Count, &sum
	for i := range classicBounds {
		h.out.Bucket = append(h.out.Bucket, &dto.Bucket{CumulativeCount: &classic[i], UpperBound: &classicBounds[i]})
	}
	h.setNative(native, zero)
	return h
}

// middleOf returns the middle of the bucket of package durations that ends with so many microseconds, in seconds.
func middleOf(micros uint64) float64 {
	lowest := micros
	if bucket := durations.Bucket(time.Duration(micros) * time.Microsecond); bucket > 0 { // #nosec G115 -- at most durations.MaxMicros
		lowest = durations.Highest(bucket-1) + 1
	}
	return (float64(lowest) + float64(micros) + 1) / 2 / 1e6
}

// setNative writes buckets as the protocol has them: runs of neighbours, and differences between counts.
func (h *histogram) setNative(buckets map[int]int64, zero uint64) {
	s, threshold := int32(schema), 1e-6
	h.out.Schema, h.out.ZeroThreshold, h.out.ZeroCount = &s, &threshold, &zero
	if len(buckets) == 0 { // a span says that it is native
		h.out.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32), Length: new(uint32)}}
		return
	}
	first, last := math.MaxInt, math.MinInt
	for i := range buckets {
		first, last = min(first, i), max(last, i)
	}
	before, end := int64(0), 0
	for i := first; i <= last; i++ {
		n := buckets[i]
		if n == 0 {
			continue
		}
		spans := h.out.PositiveSpan
		if len(spans) == 0 || i > end {
			offset, length := int32(i-end), uint32(0) // #nosec G115 -- indices of some hundreds
			spans = append(spans, &dto.BucketSpan{Offset: &offset, Length: &length})
			h.out.PositiveSpan = spans
		}
		*spans[len(spans)-1].Length++
		end = i + 1
		delta := n - before
		before = n
		h.out.PositiveDelta = append(h.out.PositiveDelta, delta)
	}
}

// Desc implements prometheus.Metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements prometheus.Metric.
func (h *histogram) Write(out *dto.Metric) error {
	out.Histogram = &h.out
	return nil
}
