package jsonl

import (
	"math"
	"testing"
	"time"
)

// FuzzAppendTime holds AppendTime to the standard library.
func FuzzAppendTime(f *testing.F) {
	for _, seconds := range []int64{0, -1, 951_782_400, 1_709_164_799, 4_107_542_400, -62_135_596_800, -62_167_219_201, 253_402_300_799, 253_402_300_800, math.MaxInt64, math.MinInt64} {
		for _, nanos := range []int64{0, 1, 100, 120_000_000, 999_999_999, 500_000_000} {
			f.Add(seconds, nanos, 0)
		}
	}
	f.Add(int64(1_700_000_000), int64(7), 5*3600+1800)
	f.Fuzz(func(t *testing.T, seconds, nanos int64, zone int) {
		at := time.Unix(seconds, nanos).In(time.FixedZone("", zone%86400))
		want := `x"` + at.UTC().Format(time.RFC3339Nano) + `"`
		if got := string(AppendTime([]byte("x"), at)); got != want {
			t.Errorf("%d s and %d ns: %s, want %s", seconds, nanos, got, want)
		}
	})
}

func BenchmarkAppendTime(b *testing.B) {
	at := time.Unix(1_700_000_000, 123_456_789).UTC()
	var space [64]byte
	b.ReportAllocs()
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			AppendTime(space[:0], at)
		}
	})
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			at.AppendFormat(space[:0], time.RFC3339Nano)
		}
	})
}
