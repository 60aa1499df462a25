package count

import (
	"cmp"
	"slices"
)

// Distribution is a histogram of durations in microseconds.
type Distribution struct {
	Count     uint64   `json:"count"`
	P50Micros uint64   `json:"p50_us"`
	P90Micros uint64   `json:"p90_us"`
	P99Micros uint64   `json:"p99_us"`
	MaxMicros uint64   `json:"max_us"`
	Buckets   []Bucket `json:"buckets,omitempty"` // in ascending order, the empty ones left out
}

// Bucket is how many durations were at most Micros and more than the bucket before.
type Bucket struct {
	Micros uint64 `json:"us"`
	Count  uint64 `json:"n"`
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

// Summarise derives the count and the quantiles from the buckets.
func (d *Distribution) Summarise() {
	d.Count = 0
	for _, b := range d.Buckets {
		d.Count += b.Count
	}
	d.P50Micros, d.P90Micros, d.P99Micros = d.Quantile(0.5), d.Quantile(0.9), d.Quantile(0.99)
}

// combine keeps the maximum of both: that of a difference is not known.
func (d *Distribution) combine(o *Distribution, k uint64) *Distribution {
	if o == nil {
		return d
	}
	out := &Distribution{MaxMicros: o.MaxMicros}
	if d != nil {
		out.Buckets, out.MaxMicros = slices.Clone(d.Buckets), max(d.MaxMicros, o.MaxMicros)
	}
	for _, b := range o.Buckets {
		i, known := slices.BinarySearchFunc(out.Buckets, b.Micros, func(have Bucket, us uint64) int { return cmp.Compare(have.Micros, us) })
		if !known {
			out.Buckets = slices.Insert(out.Buckets, i, Bucket{Micros: b.Micros})
		}
		out.Buckets[i].Count += k * b.Count
	}
	out.Buckets = slices.DeleteFunc(out.Buckets, func(b Bucket) bool { return b.Count == 0 })
	out.Summarise()
	return out
}
