package metrics

import (
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

func TestDistribution(t *testing.T) {
	var a, b Histogram
	for i := range 100 {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.Record(time.Duration(i+1) * time.Millisecond)
	}
	a.Record(-time.Second)
	a.Record(100 * time.Hour)
	d := Merge(&a, &b)
	if d.Count != 102 || d.Buckets[0] != (count.Bucket{Micros: 0, Count: 1}) {
		t.Errorf("count %d, first bucket %+v; want 102, the negative duration at 0", d.Count, d.Buckets[0])
	}
	for _, q := range []struct {
		name string
		got  uint64
		want float64
	}{{"p50", d.P50Micros, 50_000}, {"p90", d.P90Micros, 91_000}, {"p99", d.P99Micros, 100_000}} {
		if float64(q.got) < q.want*0.999 || float64(q.got) > q.want*1.032 {
			t.Errorf("%s = %d us, want %v to 3.2%% more", q.name, q.got, q.want)
		}
	}
	if want := uint64(100 * time.Hour / time.Microsecond); d.MaxMicros != want {
		t.Errorf("maximum %d us, want %d", d.MaxMicros, want)
	}
}
