package metrics

import (
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
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

// Merge returns the distribution of what all the histograms counted.
func Merge(histograms ...*Histogram) *count.Distribution {
	d := &count.Distribution{}
	for i := range durations.NumBuckets {
		var n uint64
		for _, h := range histograms {
			n += h.buckets[i].Load()
		}
		if n > 0 {
			d.Buckets = append(d.Buckets, count.Bucket{Micros: durations.Highest(i), Count: n})
		}
	}
	for _, h := range histograms {
		d.MaxMicros = max(d.MaxMicros, uint64(h.maximum.Load())/1000) // #nosec G115 -- Record takes negative ones for zero
	}
	d.Summarise()
	return d
}
