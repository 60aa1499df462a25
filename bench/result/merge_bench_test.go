package result

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkMerge64 reads and merges the records of 64 generators: 60 series with 1,000 values each, and five windows. It
// reports the octets of a record.
func BenchmarkMerge64(b *testing.B) {
	const generators, series, values, windows = 64, 60, 1000, 5
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var c Client
	for s := range series {
		h := &Histogram{}
		for v := range values {
			h.Record(float64(1+v*(s+1)%997) / 8)
		}
		c.Series = append(c.Series, Series{Metric: "smtp_msg_waiting", Type: Trend, Unit: UnitMillis, Tags: Tags{"code": fmt.Sprint(s)}, Histogram: h})
	}
	for w := range windows {
		window := Window{Start: start.Add(time.Duration(w) * time.Second), LengthSeconds: 1}
		for s := range series {
			h := &Histogram{}
			h.Record(float64(1+w%50) / 8)
			window.Series = append(window.Series, WindowSeries{Index: s, Histogram: h})
		}
		c.Windows = append(c.Windows, window)
	}
	var encoded bytes.Buffer
	if err := generatorAt(start, c).Encode(&encoded); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var records []*Record
		for range generators {
			r, err := Decode(bytes.NewReader(encoded.Bytes()))
			if err != nil {
				b.Fatal(err)
			}
			records = append(records, r)
		}
		if _, err := Merge(records...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(encoded.Len()), "B/record")
}
