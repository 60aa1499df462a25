package result

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Each generator judged its own messages: what they come to together may hold where one did not, and the other way round.
func TestThresholdsAreJudgedOnTheMergedFigures(t *testing.T) {
	part := func(failed, sent uint64, ms float64) *Record {
		h := &Histogram{}
		h.RecordN(ms, sent)
		r := New("part")
		r.Client = &Client{Series: []Series{
			{Metric: "smtp_msg_failed", Type: Rate, Passes: failed, Fails: sent - failed},
			{Metric: "smtp_msg_waiting", Type: Trend, Unit: UnitMillis, Tags: Tags{"code": "250"}, Histogram: h},
			{Metric: "smtp_errors", Type: Counter, Stats: &Summary{Count: failed, Sum: float64(failed), Min: 1, Max: 1}},
		}}
		if failed == 0 {
			r.Client.Series[2].Stats = &Summary{}
		}
		r.Sink = NewSink(&count.Counts{Traffic: count.Traffic{Connections: sent - failed}}, &Process{CPUSeconds: 2, WallSeconds: 10})
		return r
	}
	for _, tt := range []struct {
		metric, expression string
		a, b               bool // what the generators said
		want               bool
	}{
		{"smtp_msg_failed", "rate<0.1", false, true, true}, // 60 of 100 and 0 of 900: 6%
		{"smtp_msg_failed", "rate < 0.05", false, true, false},
		{"smtp_msg_waiting{code:250}", "p(95)<150", false, true, false}, // 100 of 1,000 took 200 ms
		{"smtp_msg_waiting{code:250}", "p(90)<=101", false, true, true},
		{"smtp_msg_waiting", "avg<111", false, true, true},
		{"smtp_msg_waiting", "max<150", false, true, false},
		{"smtp_msg_waiting", "med>150", true, false, false},
		{"smtp_errors", "count<61", true, true, true},
		{"smtp_errors", "count<60", true, true, false},
		{"dropped_iterations", "count<1", true, true, true}, // no sample of it
		{"smtp_msg_failed", "what<1", true, false, false},
		{"smtp_msg_failed", "what<1", true, true, true},
	} {
		a, b := part(60, 100, 200), part(0, 900, 100)
		status := func(ok bool) *int {
			if ok {
				return statusOf(0)
			}
			return statusOf(ThresholdsCrossed)
		}
		a.Load.Thresholds, a.Load.ExitStatus = []Threshold{{tt.metric, tt.expression, tt.a}}, status(tt.a)
		b.Load.Thresholds, b.Load.ExitStatus = []Threshold{{tt.metric, tt.expression, tt.b}}, status(tt.b)
		m, err := Merge(a, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Load.Thresholds[0].OK; got != tt.want || *m.Load.ExitStatus != *status(tt.want) {
			t.Errorf("%s %s: %v with exit status %d, want %v", tt.metric, tt.expression, got, *m.Load.ExitStatus, tt.want)
		}
		if warned := strings.Contains(strings.Join(m.Warnings, ";"), "can't be judged"); warned != (tt.expression == "what<1") {
			t.Errorf("%s %s: warnings %q", tt.metric, tt.expression, m.Warnings)
		}
		if m.Sink == nil || m.Sink.Connections != 940 || m.Sink.Process.CPUSeconds != 4 || m.Sink.Process.WallSeconds != 10 || a.Sink.Connections != 40 {
			t.Errorf("the merged sinks: %+v", m.Sink)
		}
	}
	a, b := part(0, 10, 1), part(0, 10, 1)
	b.Sink = nil
	if m, err := Merge(a, b); err != nil || m.Sink != nil || !strings.Contains(strings.Join(m.Warnings, ";"), "1 of 2 records have a sink's part") {
		t.Errorf("a sink of one record: %+v, %v", m, err)
	}
}
