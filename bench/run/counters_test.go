package run

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// stormyStats are a sink's with something of everything.
func stormyStats() *sink.Stats {
	s := &sink.Stats{Driver: "net", Started: time.Unix(1e9, 0), Seconds: 10, ListenOverflows: 3, Connections: 5}
	s.Attempts = metrics.AttemptCounts{Delivered: 4, Deferred: 3, Bounced: 2, Unanswered: 1}
	reply := metrics.ReplyCount{Stage: smtp.StageRcpt, Code: 450, Cause: "rule:r", Count: 3}
	s.Replies = []metrics.ReplyCount{reply}
	s.Rules = []metrics.RuleCount{{Name: "r", Stage: smtp.StageRcpt, Phase: "night", Occurrences: 5, Outcomes: []metrics.OutcomeCount{
		{Code: 450, Probability: 0.5, Injected: 3}, {Fault: "silence", Probability: 0.5, Injected: 2},
	}}}
	s.Phases = []metrics.PhaseCount{{Name: "night", Transactions: 2, Recipients: 1, Messages: 1, Replies: []metrics.ReplyCount{reply}}}
	s.Lateness = &metrics.Distribution{Count: 2_000_000_000, MaxMicros: 900, Buckets: []metrics.BucketCount{{Micros: 1000, Count: 2_000_000_000}}}
	return s
}

func TestTheRecordKeepsWhatTheSinkKnows(t *testing.T) {
	got := sinkRecord(stormyStats(), nil)
	got.SelfCheck.Saturation = got.SelfCheck.Saturation[:1]
	replies := []result.ReplyCount{{Stage: "rcpt", Code: 450, Cause: "rule:r", Count: 3}}
	want := &result.Sink{
		Driver: "net", Attempts: &result.Attempts{Delivered: 4, Deferred: 3, Bounced: 2, Unanswered: 1}, Connections: 5, Replies: replies,
		Rules: []result.RuleCount{{Name: "r", Stage: "rcpt", Phase: "night", Occurrences: 5, Outcomes: []result.OutcomeCount{
			{Code: 450, Probability: 0.5, Injected: 3}, {Fault: "silence", Probability: 0.5, Injected: 2},
		}}},
		Phases:    []result.PhaseCount{{Name: "night", Transactions: 2, Recipients: 1, Messages: 1, Replies: replies}},
		SelfCheck: &result.SelfCheck{Saturation: []string{"3 connections met a full accept queue on this system"}},
	}
	h := got.Lateness
	if got.Lateness = nil; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if h.Count() != 2_000_000_000 || math.Abs(h.Quantile(0.5)-0.9) > 0.001 {
		t.Errorf("lateness: count %d, median %v ms; want 2,000,000,000 and 0.9", h.Count(), h.Quantile(0.5))
	}
	if label := stat.Fits(got)[0].Cells[1].Label; label != "no reply silence" {
		t.Errorf("the fault's outcome is called %q", label)
	}
	r := result.New("x")
	r.Sink = got
	if warnings := stat.Warnings(r); len(warnings) != 1 || warnings[0] != "the sink: 3 connections met a full accept queue on this system" {
		t.Errorf("warnings %q", warnings)
	}
}

func TestCountersAreReadInBothForms(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, v any) string {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, v := range map[string]any{"new.json": stormyStats().Document(), "old.json": stormyStats()} {
		if _, stats, err := readHalf(write(name, v)); err != nil || stats == nil || stats.Attempts.Delivered != 4 {
			t.Errorf("%s: %+v, %v", name, stats, err)
		}
	}
	text, _ := os.ReadFile(filepath.Join(dir, "new.json"))
	if !strings.HasPrefix(string(text), `{"schema":"smtpstorm/sink-counts","version":1,`) {
		t.Errorf("it begins %.80s", text)
	}
	future := stormyStats().Document()
	future.Version = 2
	many, torn, wrapping := stormyStats(), stormyStats(), stormyStats()
	many.Replies[0].Count = 1 << 60
	torn.Lateness.Count++
	wrapping.Lateness.Buckets = append(wrapping.Lateness.Buckets, metrics.BucketCount{Micros: 5, Count: math.MaxUint64})
	for name, tt := range map[string]struct {
		v    any
		want string
	}{
		"future.json": {future, "version 2 (this program reads version 1)"},
		"many.json":   {many, "the count 1152921504606846976 is more than any sink counts"},
		"torn.json":   {torn, "lateness"},
		"wrap.json":   {wrapping, "more than any sink counts"},
	} {
		var input *InputError
		if _, _, err := readHalf(write(name, tt.v)); !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
