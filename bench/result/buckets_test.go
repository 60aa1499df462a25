package result

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"math"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

// wire are the parts of an encoded histogram, to be made wrong.
type wire struct {
	outer, inner uint32 // cookies
	more, cut    int    // octets: of the payload beside what its header says, and those that the compressed part lacks
	junk, hidden int    // octets after the compressed part, and those of it that its length leaves out
	digits       uint32
	high         int64
	ratio        float64
	payload      []byte
}

func goodWire(payload []byte) wire {
	return wire{outer: uint32(hdrhistogram.V2CompressedEncodingCookieBase) | 0x10, inner: uint32(hdrhistogram.V2EncodingCookieBase) | 0x10,
		digits: Digits, high: MaxMicros, ratio: 1, payload: payload}
}

func (w wire) encode(t interface{ Fatal(...any) }) string {
	head := make([]byte, hdrhistogram.ENCODING_HEADER_SIZE)
	binary.BigEndian.PutUint32(head, w.inner)
	binary.BigEndian.PutUint32(head[4:], uint32(len(w.payload)+w.more))
	binary.BigEndian.PutUint32(head[12:], w.digits)
	binary.BigEndian.PutUint64(head[16:], MinMicros)
	binary.BigEndian.PutUint64(head[24:], uint64(w.high))
	binary.BigEndian.PutUint64(head[32:], math.Float64bits(w.ratio))
	var z bytes.Buffer
	c := zlib.NewWriter(&z)
	for _, part := range [][]byte{head, w.payload} {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	compressed := z.Bytes()[:max(0, z.Len()-w.cut)]
	out := binary.BigEndian.AppendUint32(nil, w.outer)
	out = binary.BigEndian.AppendUint32(out, uint32(len(compressed)-w.hidden))
	out = append(append(out, compressed...), make([]byte, w.junk)...)
	return base64.StdEncoding.EncodeToString(out)
}

func counts(n ...int64) []byte {
	var out []byte
	for _, v := range n {
		u := uint64(v<<1) ^ uint64(v>>63)
		size := 1
		for ; u >= 0x80 && size < maxBucketOctets; size++ {
			out = append(out, byte(u)|0x80)
			u >>= 7
		}
		out = append(out, byte(u))
	}
	return out
}

// sameAsLibrary compares with the library, which accepts every geometry, and sums past the largest int64 with that as their total.
func sameAsLibrary(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, in *inflater, encoded string) (accepted bool) {
	t.Helper()
	got, err := in.decode(encoded)
	want, wantErr := hdrhistogram.DecodePacked([]byte(encoded))
	if wantErr == nil && (want.HighestTrackableValue() != MaxMicros || want.SignificantFigures() != Digits) {
		if err == nil {
			t.Fatalf("accepted another geometry: %s", encoded)
		}
		return false
	}
	if err != nil && wantErr == nil && want.TotalCount() == math.MaxInt64 {
		return false
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("got error %v, the library says %v: %s", err, wantErr, encoded)
	}
	if err != nil {
		return false
	}
	a, errA := got.Encode()
	b, errB := want.Encode()
	if errA != nil || errB != nil || !bytes.Equal(a, b) || got.TotalCount() != want.TotalCount() {
		t.Fatalf("got %s (total %d, %v), the library has %s (total %d, %v)", a, got.TotalCount(), errA, b, want.TotalCount(), errB)
	}
	return true
}

// One inflater reads all, so that what a bad histogram leaves behind would show in the next.
func TestBucketsAreThoseOfTheLibrary(t *testing.T) {
	in := new(inflater)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64Range(-9000, 1<<20), rapid.Int64()), 0, 12).Draw(t, "counts")
		w := goodWire(counts(n...))
		if rapid.Bool().Draw(t, "cut payload") {
			w.payload = w.payload[:rapid.IntRange(0, len(w.payload)).Draw(t, "left")]
		}
		w.more = rapid.SampledFrom([]int{0, 0, 0, 0, 1, -1, 1 << 20, math.MinInt32}).Draw(t, "more")
		w.cut = rapid.SampledFrom([]int{0, 0, 0, 0, 1, 5, 40}).Draw(t, "cut")
		w.junk = rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "junk")
		w.ratio = rapid.SampledFrom([]float64{1, 1, 0, 2.5, math.Inf(1)}).Draw(t, "ratio")
		text := w.encode(t)
		if at := rapid.IntRange(0, 4*len(text)).Draw(t, "wrong octet"); at < len(text) {
			text = text[:at] + string(rapid.SampledFrom([]byte("AQgw/5=%")).Draw(t, "octet")) + text[at+1:]
		}
		sameAsLibrary(t, in, text)
		sameAsLibrary(t, in, goodWire(counts(-7, 5, 0, 2)).encode(t))
	})
}

func TestBucketsAtTheLimits(t *testing.T) {
	in := new(inflater)
	full := bytes.Repeat(counts(math.MaxInt64>>15), bucketCount)
	for name, tt := range map[string]struct {
		change func(*wire)
		ok     bool
	}{
		"nothing":               {func(w *wire) { w.payload = nil }, true},
		"the last bucket":       {func(w *wire) { w.payload = counts(1-bucketCount, 1) }, true},
		"one bucket more":       {func(w *wire) { w.payload = counts(-bucketCount, 1) }, false},
		"one empty bucket more": {func(w *wire) { w.payload = counts(-bucketCount, 0) }, false},
		"every bucket":          {func(w *wire) { w.payload = full }, true},
		"too many octets":       {func(w *wire) { w.payload = make([]byte, bucketCount*maxBucketOctets+1) }, false},
		"the least number":      {func(w *wire) { w.payload = counts(math.MinInt64) }, false},
		"a sum past int64":      {func(w *wire) { w.payload = counts(-5, math.MaxInt64, 1) }, false},
		"cut off":               {func(w *wire) { w.payload = []byte{0x80} }, false},
		"other outer cookie":    {func(w *wire) { w.outer++ }, false},
		"other inner cookie":    {func(w *wire) { w.inner++ }, false},
		"other word size":       {func(w *wire) { w.inner ^= 0xf0; w.outer ^= 0xf0 }, true},
		"other digits":          {func(w *wire) { w.digits = 2 }, false},
		"other range":           {func(w *wire) { w.high = 1 << 20 }, false},
		"another ratio":         {func(w *wire) { w.ratio = 2.5 }, true},
		"checksum missing":      {func(w *wire) { w.cut = 4 }, false},
		"too short a payload":   {func(w *wire) { w.more = 1 }, false},
		"too long a payload":    {func(w *wire) { w.more = -1 }, false},
		"something after it":    {func(w *wire) { w.junk = 9 }, true},
		"too short a length":    {func(w *wire) { w.hidden = 4 }, false},
		"too long a length":     {func(w *wire) { w.hidden = -1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := goodWire(counts(-1, 3, 4))
			tt.change(&w)
			if got := sameAsLibrary(t, in, w.encode(t)); got != tt.ok {
				t.Errorf("accepted: %v, want %v", got, tt.ok)
			}
		})
	}
}

// A few hundred octets of a file may be a gigabyte.
func TestBucketsInflateNoMoreThanTheirGeometry(t *testing.T) {
	for _, more := range []int{0, bucketCount - 4<<20} {
		w := goodWire(make([]byte, 4<<20))
		w.more = more
		in := new(inflater)
		if _, err := in.decode(w.encode(t)); err == nil {
			t.Errorf("accepted a payload of %d octets, %d of them declared", len(w.payload), len(w.payload)+more)
		}
		if got, most := in.payload.Cap(), 3*bucketCount*maxBucketOctets; got > most {
			t.Errorf("held %d octets, want at most %d", got, most)
		}
	}
}

func TestLowestOfBucketMatchesTheLibrary(t *testing.T) {
	for i := range int64(bucketCount) {
		h := newBuckets()
		if err := h.RecordValue(lowestOf(i)); err != nil {
			t.Fatal(err)
		}
		for low := range h.ForEachBucket {
			if low != lowestOf(i) {
				t.Fatalf("bucket %d starts at %d, the library says %d", i, lowestOf(i), low)
			}
		}
	}
	if err := newBuckets().RecordValue(lowestOf(bucketCount)); err == nil {
		t.Errorf("the library has more than %d buckets", bucketCount)
	}
}

// A record has a histogram for each series and second, and most hold a few values.
func BenchmarkDecodeHistogram(b *testing.B) {
	text := []byte(encoded(b, recorded(2, 2.5, 3, 3.5, 4, 40)))
	b.ReportAllocs()
	for b.Loop() {
		if err := new(Histogram).UnmarshalJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}
