package capacity

import (
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

func TestJudge(t *testing.T) {
	record := func(change func(r *result.Record)) *result.Record {
		h := &result.Histogram{}
		h.RecordN(20, 990)
		r := result.New("x")
		r.Load.IterationsComplete = 1000
		r.Client = &result.Client{Series: []result.Series{
			{Metric: MetricInTime, Tags: result.Tags{"step": "mail"}, Type: result.Rate, Passes: 1000},
			{Metric: MetricInTime, Tags: result.Tags{"step": "message"}, Type: result.Rate, Passes: 950, Fails: 50},
			{Metric: "smtp_msg_failed", Type: result.Rate, Passes: 5, Fails: 990},
			{Metric: "smtp_conn_failed", Type: result.Rate, Passes: 5, Fails: 995},
			{Metric: "smtp_msg_duration", Tags: result.Tags{"expected_response": "true"}, Type: result.Trend, Histogram: h},
			{Metric: "smtp_recipients", Tags: result.Tags{"expected_response": "true"}, Type: result.Counter, Stats: &result.Summary{Count: 1200, Sum: 1200}},
		}}
		change(r)
		return r
	}
	for _, tt := range []struct {
		name    string
		change  func(r *result.Record)
		verdict Verdict
		why     []string
	}{
		{"at the limits", func(*result.Record) {}, Holds, nil},
		{"a slow step", func(r *result.Record) { r.Client.Series[1].Fails = 53 }, Fails, []string{"message: 94.72% in time"}},
		{"errors", func(r *result.Record) { r.Client.Series[2].Passes = 6 }, Fails, []string{"1.1% errors"}},
		{"connections", func(r *result.Record) { r.Client.Series[3].Passes = 20 }, Fails, []string{"2.46% errors"}},
		{"dropped", func(r *result.Record) { r.Load.IterationsDropped = 20 }, Unclear, []string{"k6 could not start 1.96% of the load: more --vus, or a faster machine"}},
		{"slow and dropped", func(r *result.Record) { r.Load.IterationsDropped, r.Client.Series[0].Fails = 500, 500 }, Fails, []string{"mail: 66.67% in time"}},
		{"seen late", func(r *result.Record) {
			late := &result.Histogram{}
			late.RecordN(59_000, 1139)
			late.RecordN(70_000, 61)
			r.Delivery = &result.Delivery{Latency: late}
		}, Fails, []string{"94.92% seen at the sink within 60 s"}},
		{"never seen", func(r *result.Record) { r.Delivery = &result.Delivery{} }, Fails, []string{"0% seen at the sink within 60 s"}},
	} {
		q, err := Judge(record(tt.change))
		if err != nil || q.Verdict != tt.verdict || !slices.Equal(q.Why, tt.why) {
			t.Errorf("%s: %+v, %v; want %s %q", tt.name, q, err, tt.verdict, tt.why)
		}
	}
	if q, _ := Judge(record(func(*result.Record) {})); q.Slowest().Name != "message" || q.Slowest().Share() != 0.95 || q.Messages != 1000 {
		t.Errorf("%+v", q)
	}
	for _, r := range []*result.Record{result.New("no client"), record(func(r *result.Record) { r.Client.Series = nil })} {
		if q, err := Judge(r); err == nil {
			t.Errorf("%+v", q)
		}
	}
}
