package result

import (
	"reflect"
	"testing"
)

func sinkReplies(n float64, phase, code, enhanced, cause string) Series {
	return counter(MetricSinkReplies, n, Tags{"phase": phase, "code": code, "enhanced": enhanced, "cause": cause})
}

func TestSinkOfSamples(t *testing.T) {
	c := &Client{Series: []Series{
		sinkReplies(3, "connect", "220", "", "plain"),
		sinkReplies(9, "mail", "250", "2.1.0", "plain"),
		sinkReplies(2, "rcpt", "450", "4.2.0", "rule:defer, some"),
		sinkReplies(7, "rcpt", "250", "2.1.5", "rule:defer, some"),
		sinkReplies(7, "message", "250", "2.0.0", "plain"),
		counter("smtp_sink_replies_of_another_kind", 1, nil),
	}}
	got := SinkOfSamples(c)
	want := &Sink{RepliesOnly: true, Connections: 3, Transactions: 9, Recipients: 7, Messages: 7, Replies: []ReplyCount{
		{"connect", 220, "", "plain", 3}, {"mail", 250, "2.1.0", "plain", 9}, {"rcpt", 250, "2.1.5", "rule:defer, some", 7},
		{"rcpt", 450, "4.2.0", "rule:defer, some", 2}, {"message", 250, "2.0.0", "plain", 7},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := SinkOfSamples(&Client{}); got != nil {
		t.Errorf("without samples: %+v, want nil", got)
	}
}

func TestReconcileSinkOfSamples(t *testing.T) {
	c := &Client{Series: []Series{
		sinkReplies(2, "rcpt", "450", "4.2.0", "rule:defer"), sinkReplies(7, "rcpt", "250", "2.1.5", "rule:defer"),
		counter(MetricReplies, 2, Tags{"phase": "rcpt", "code": "450", "enhanced": "4.2.0"}),
		counter(MetricReplies, 7, Tags{"phase": "rcpt", "code": "250", "enhanced": "2.1.5"}),
	}}
	rec := Reconcile(c, SinkOfSamples(c))
	if !rec.Balanced || rec.Injected != 9 || rec.Observed != 9 || rec.Rows[0].Planned != 7 || rec.Rows[0].Drawn != 0 {
		t.Errorf("got %+v, want nine replies of which nothing is known to be planned", rec)
	}
	c.Series[3].Stats.Sum--
	if rec := Reconcile(c, SinkOfSamples(c)); rec.Balanced || len(rec.Problems) != 1 {
		t.Errorf("one reply was not observed: %+v, want a problem", rec)
	}
}
