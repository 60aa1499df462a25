package result

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

func recorded(values ...float64) *Histogram {
	h := &Histogram{}
	for _, v := range values {
		h.Record(v)
	}
	return h
}

func encoded(t interface {
	Helper()
	Fatal(...any)
}, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHistogramCountsEveryValue(t *testing.T) {
	const hour = 3600 * 1000.0
	h := recorded(0, 0.0001, -3, 0.001, 1, hour, hour+1, 2*hour, math.NaN(), math.Inf(1))
	got := []uint64{h.Count(), h.Zero(), h.Below(), h.Above(), h.Invalid()}
	if want := []uint64{8, 1, 2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("count, zero, below, above, invalid: got %v, want %v", got, want)
	}
	want := Summary{Count: 8, Sum: 0.0001 - 3 + 0.001 + 1 + hour + hour + 1 + 2*hour, Min: -3, Max: 2 * hour}
	if s := h.Summary(); s.Min != want.Min || s.Max != want.Max || math.Abs(s.Sum-want.Sum) > 1e-6 {
		t.Errorf("summary: got %+v, want %+v", s, want)
	}
	var n uint64
	for b := range h.Buckets {
		n += b.Count
	}
	if n != h.Count() {
		t.Errorf("buckets add up to %d, want %d", n, h.Count())
	}
	if got := h.Quantile(1); got != 2*hour {
		t.Errorf("p100 = %v, want the exact maximum %v", got, 2*hour)
	}
}

// The quantile is compared with the nearest-rank value of the raw points, as
// SEMANTICS demands of the comparison with k6's own output.
func TestQuantileIsNearestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 5000), 1, 300).Draw(t, "values")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		h := recorded(values...)
		slices.Sort(values)
		want := values[nearestRank(q, uint64(len(values)))-1]
		if got := h.Quantile(q); math.Abs(got-want) > max(0.00101*want, 0.00051) {
			t.Fatalf("quantile %v of %d values: got %v, nearest rank is %v", q, len(values), got, want)
		}
	})
}

func TestNearestRank(t *testing.T) {
	for _, tt := range []struct {
		q    float64
		n    uint64
		want uint64
	}{{0, 10, 1}, {0.5, 10, 5}, {0.5, 11, 6}, {0.99, 100, 99}, {0.99, 1000, 990}, {0.999, 1000, 999}, {0.95, 20, 19}, {1, 7, 7}, {math.NaN(), 7, 1}} {
		if got := nearestRank(tt.q, tt.n); got != tt.want {
			t.Errorf("rank of %v in %d: got %d, want %d", tt.q, tt.n, got, tt.want)
		}
	}
}

func TestHighestEquivalentMatchesTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		v := 1 + r.Int64N(MaxMicros)>>r.IntN(31)
		p := newBuckets()
		if err := p.RecordValue(v); err != nil {
			t.Fatal(err)
		}
		for low := range p.ForEachBucket {
			if got, want := highestEquivalent(low), p.ValueAtPercentile(100); got != want {
				t.Fatalf("bucket of %d starts at %d: got highest %d, the library says %d", v, low, got, want)
			}
		}
	}
}

func TestMergeEqualsRecordingAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Multiples of 1/8 add up without rounding, whatever the order.
		gen := rapid.SliceOfN(rapid.Map(rapid.IntRange(-8, 1<<36), func(n int) float64 { return float64(n) / 8 }), 0, 60)
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		merged := recorded(a...)
		merged.Merge(recorded(b...))
		if got, want := encoded(t, merged), encoded(t, recorded(append(a, b...)...)); got != want {
			t.Fatalf("merged:\n%s\nrecorded in one:\n%s", got, want)
		}
	})
}

func TestHistogramJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := recorded(rapid.SliceOfN(rapid.Float64Range(-1, 4e6), 0, 60).Draw(t, "values")...)
		text := encoded(t, h)
		var back Histogram
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if got := encoded(t, &back); got != text {
			t.Fatalf("after a round trip:\n%s\nbefore:\n%s", got, text)
		}
		if a, b := h.Curve(), back.Curve(); !slices.Equal(a, b) {
			t.Fatalf("curve after a round trip: %v, before: %v", b, a)
		}
	})
}

func TestCloneAndReset(t *testing.T) {
	h := recorded(1, 2, 3)
	c := h.Clone()
	h.Reset()
	if h.Count() != 0 || h.Quantile(0.5) != 0 || len(h.Curve()) != 0 {
		t.Errorf("after Reset: count %d, median %v, curve %v", h.Count(), h.Quantile(0.5), h.Curve())
	}
	if c.Count() != 3 || c.Quantile(0.5) != 2 {
		t.Errorf("the clone changed with its original: count %d, median %v", c.Count(), c.Quantile(0.5))
	}
}

func TestHistogramRefusesBadInput(t *testing.T) {
	other := hdrhistogram.NewPacked(1, math.MaxInt64/2, 5)
	if err := other.RecordValue(7); err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	zeros := newBuckets()
	if err := zeros.RecordValue(0); err != nil {
		t.Fatal(err)
	}
	zero, err := zeros.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"another geometry":        {`{"count":1,"sum":1,"min":1,"max":1,"hdr":"` + string(foreign) + `"}`, "geometry is 1..4611686018427387903 with 5 digits"},
		"no base64":               {`{"count":1,"hdr":"%"}`, "base64"},
		"too short":               {`{"count":1,"hdr":"` + base64.StdEncoding.EncodeToString([]byte("abc")) + `"}`, "too short"},
		"counts don't add up":     {`{"count":2,"sum":0,"min":0,"max":0,"zero":1}`, "only 1 values"},
		"more parts than count":   {`{"count":2,"sum":0,"min":0,"max":0,"zero":3}`, "less than its parts"},
		"min above max":           {`{"count":1,"sum":0,"min":1,"max":0,"zero":1}`, "above its max"},
		"values without count":    {`{"count":0,"sum":7,"min":0,"max":0}`, "count 0"},
		"count past int64":        {`{"count":18446744073709551615,"zero":18446744073709551615}`, "too large"},
		"zeros in a bucket":       {`{"count":1,"sum":0,"min":0,"max":0,"hdr":"` + string(zero) + `"}`, "zeros"},
		"very long encoded value": {`{"hdr":"` + strings.Repeat("A", maxEncodedHistogram+1) + `"}`, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			err := json.Unmarshal([]byte(tt.in), new(Histogram))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func FuzzHistogramJSON(f *testing.F) {
	f.Add([]byte(encoded(f, recorded(0, 0.5, 12, 900, 4e6))))
	f.Add([]byte(`{"count":1,"sum":1,"min":1,"max":1,"hdr":"HISTFAAA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h Histogram
		if json.Unmarshal(data, &h) != nil {
			return
		}
		var n uint64
		for b := range h.Buckets {
			n += b.Count
		}
		if n != h.Count() {
			t.Errorf("accepted %q: buckets hold %d of %d values", data, n, h.Count())
		}
		h.Quantile(0.99)
		if len(h.Curve()) > 30000 {
			t.Errorf("curve of %d points", len(h.Curve()))
		}
		var again Histogram
		if err := json.Unmarshal([]byte(encoded(t, &h)), &again); err != nil {
			t.Errorf("accepted %q but not what it encodes to: %v", data, err)
		}
	})
}

func TestRecordDoesNotAllocate(t *testing.T) {
	h := recorded(1, 2, 3, 5, 8)
	i := 0
	values := []float64{1, 2, 3, 5, 8}
	if n := testing.AllocsPerRun(1000, func() { h.Record(values[i%5]); i++ }); n != 0 {
		t.Errorf("Record allocates %v times", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = math.Exp(r.NormFloat64())
	}
	h := recorded(values...)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Record(values[i&4095])
	}
}

// RecordN is Record n times over, at the cost of one: a count may come from a file.
func TestRecordNEqualsRecord(t *testing.T) {
	var one, many Histogram
	for _, ms := range []float64{0, -1, 0.0001, 0.5, 12.5, 12.5, 4e6, math.NaN()} {
		for range 7 {
			one.Record(ms)
		}
		many.RecordN(ms, 7)
	}
	a, errA := json.Marshal(&one)
	b, errB := json.Marshal(&many)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("Record: %s, %v\nRecordN: %s, %v", a, errA, b, errB)
	}
	var huge Histogram
	huge.RecordN(5, math.MaxUint64) // a loop over it would never end
	huge.RecordN(9, 0)
	text, err := json.Marshal(&huge)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(text, &back); err != nil || back.Count() != MaxCount || back.Quantile(0.5) != 5 {
		t.Errorf("count %d, median %v, %v", back.Count(), back.Quantile(0.5), err)
	}
}
