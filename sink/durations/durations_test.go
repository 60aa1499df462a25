package durations

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsAreTightAndInOrder(t *testing.T) {
	at := func(micros uint64) time.Duration { return time.Duration(micros) * time.Microsecond }
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Uint64Range(0, MaxMicros).Draw(t, "micros")
		i := Bucket(at(micros))
		if i < 0 || i >= NumBuckets {
			t.Fatalf("Bucket(%d) = %d, outside 0 to %d", micros, i, NumBuckets-1)
		}
		top := Highest(i)
		if top < micros || float64(top) > float64(micros)*1.0313 {
			t.Fatalf("%d us lies in bucket %d, which ends at %d us: more than 3%% off", micros, i, top)
		}
		if top < MaxMicros && Bucket(at(top+1)) != i+1 {
			t.Fatalf("bucket %d ends at %d us, but %d us lies in bucket %d", i, top, top+1, Bucket(at(top+1)))
		}
	})
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Errorf("an empty histogram's median is %v", h.Quantile(0.5))
	}
	for i := range 99 {
		h.Record(time.Duration(i) * time.Microsecond)
	}
	h.Record(-time.Second)
	h.Record(time.Second)
	h.Record(1000 * time.Hour)
	if n := h.Count(); n != 102 {
		t.Errorf("count %d, expected 102", n)
	}
	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{{0, 0}, {0.5, 49 * time.Microsecond}, {0.95, 95 * time.Microsecond}, {1, 1000 * time.Hour}} {
		if got := h.Quantile(tc.q); got != tc.want {
			t.Errorf("quantile %v is %v, expected %v", tc.q, got, tc.want)
		}
	}
}

// Buckets of powers of two took a 99th percentile of 9 ms for one of 16, past the 10 that a sink's self-check allows.
func TestNineMillisecondsAreNotSixteen(t *testing.T) {
	var h, other Histogram
	for range 98 {
		h.Record(time.Millisecond)
	}
	other.Record(9 * time.Millisecond)
	other.Record(12 * time.Millisecond)
	h.Merge(&other)
	if got := h.Quantile(0.99); got < 9*time.Millisecond || got > 9300*time.Microsecond {
		t.Errorf("p99 is %v, want 9 ms to 3%% more", got)
	}
	if allocs := testing.AllocsPerRun(100, func() { h.Record(5 * time.Millisecond) }); allocs > 0 {
		t.Errorf("Record allocates %v times", allocs)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(time.Duration(i&0xffff) * time.Microsecond)
	}
}
