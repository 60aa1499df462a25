package metrics

import (
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/durations"
)

// Histogram counts durations from 0 to 71 minutes in buckets of whole microseconds up to 32 us and of at most 3% beyond; longer
// ones count as the longest. The zero Histogram is empty. Its methods are safe for concurrent use and don't allocate.
type Histogram struct {
	buckets [durations.NumBuckets]atomic.Uint64
	maximum atomic.Int64
}

// Record counts d; a negative duration counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.buckets[durations.Bucket(d)].Add(1)
	for {
		seen := h.maximum.Load()
		if int64(d) <= seen || h.maximum.CompareAndSwap(seen, int64(d)) {
			return
		}
	}
}

// Distribution is a histogram at rest.
type Distribution struct {
	Count     uint64        `json:"count"`
	P50Micros uint64        `json:"p50_us"`
	P90Micros uint64        `json:"p90_us"`
	P99Micros uint64        `json:"p99_us"`
	MaxMicros uint64        `json:"max_us"`
	Buckets   []BucketCount `json:"buckets,omitempty"` // in ascending order, the empty ones left out
}

// BucketCount is how many durations were at most Micros and more than the bucket before.
type BucketCount struct {
	Micros uint64 `json:"us"`
	Count  uint64 `json:"n"`
}

// Merge returns the distribution of what all the histograms counted.
func Merge(histograms ...*Histogram) *Distribution {
	d := &Distribution{}
	for i := range durations.NumBuckets {
		var n uint64
		for _, h := range histograms {
			n += h.buckets[i].Load()
		}
		if n > 0 {
			d.Buckets = append(d.Buckets, BucketCount{durations.Highest(i), n})
			d.Count += n
		}
	}
	for _, h := range histograms {
		d.MaxMicros = max(d.MaxMicros, uint64(h.maximum.Load())/1000) // #nosec G115 -- Record takes negative ones for zero
	}
	d.P50Micros, d.P90Micros, d.P99Micros = d.Quantile(0.5), d.Quantile(0.9), d.Quantile(0.99)
	return d
}

// Quantile returns the q-quantile (0 to 1) in microseconds by nearest rank: the upper end of the bucket that holds it, or the
// maximum where that is lower; 0 when nothing was counted.
func (d *Distribution) Quantile(q float64) uint64 {
	rank := max(uint64(q*float64(d.Count)+0.9999999), 1)
	var seen uint64
	for _, b := range d.Buckets {
		if seen += b.Count; seen >= rank {
			return min(b.Micros, d.MaxMicros)
		}
	}
	return d.MaxMicros
}
