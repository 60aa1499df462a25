// Package durations counts durations in buckets of at most 3%: the one histogram of the sink, for what loops measure of themselves and
// for what replies were late.
//
// A Histogram is one goroutine's; package metrics has one of the same buckets that many may use at once. Left out: rendering and
// merging across machines (bench/result).
package durations

import (
	"math/bits"
	"time"
)

const (
	subBits = 5 // 32 buckets per power of two: a bucket is at most 3% wide
	// MaxMicros is the longest duration that has a bucket of its own: 71 minutes. Longer ones count as that.
	MaxMicros = 1<<32 - 1
	// NumBuckets is the number of buckets.
	NumBuckets = (32 - subBits + 1) << subBits
)

// Bucket returns the bucket of a duration, 0 to NumBuckets-1; a negative duration counts as zero.
func Bucket(d time.Duration) int {
	micros := uint64(min(max(d, 0)/time.Microsecond, MaxMicros))
	if micros < 1<<subBits {
		return int(micros)
	}
	shift := bits.Len64(micros) - 1 - subBits
	return (shift+1)<<subBits + int(micros>>shift) - 1<<subBits // #nosec G115 -- of subBits+1 bits
}

// Highest returns the largest number of microseconds that falls into a bucket.
func Highest(bucket int) uint64 {
	if bucket < 1<<subBits {
		return uint64(bucket) // #nosec G115 -- an index
	}
	shift := bucket>>subBits - 1
	return (uint64(bucket&(1<<subBits-1)+1<<subBits)+1)<<shift - 1
}

// Histogram counts durations. The zero Histogram is empty. It may be copied.
type Histogram struct {
	Buckets [NumBuckets]uint64
	Max     time.Duration
}

// Record counts d; a negative duration counts as zero. It does not allocate.
func (h *Histogram) Record(d time.Duration) {
	h.Max = max(h.Max, d)
	h.Buckets[Bucket(d)]++
}

// Merge adds the counts of o to h.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Max = max(h.Max, o.Max)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() (n uint64) {
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Quantile returns the q-quantile (0 to 1) by nearest rank: the upper end of the bucket that holds it, at most 3% too much, or Max where
// that is lower. It is 0 without records.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(q*float64(h.Count())+0.9999999), 1)
	var seen uint64
	for i, n := range h.Buckets {
		if seen += n; seen >= rank && i < NumBuckets-1 {
			return min(time.Duration(Highest(i))*time.Microsecond, h.Max) // #nosec G115 -- at most MaxMicros
		}
	}
	return h.Max
}
