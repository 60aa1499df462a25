package compare

import (
	"strings"
	"testing"
)

func TestCriteria(t *testing.T) {
	ten := []float64{10, 10.1, 10.2, 10.3, 10.4, 10.5}
	by := func(f float64) []float64 {
		var out []float64
		for _, v := range ten {
			out = append(out, v*f)
		}
		return out
	}
	for _, tt := range []struct {
		text string
		b    []float64
		want State
		why  string
	}{
		{"p50(msg_duration)>+10%", by(1.2), Worse, ""},
		{"p50(msg_duration)>+10%", by(1.01), Inside, ""},
		{"p50(msg_duration)>+10%", by(1.1), Open, ""},
		{"p50(msg_duration)>+10%", by(0.5), Inside, ""},
		{"p50(msg_duration)>+1ms", by(1.2), Worse, ""},
		{"p50(msg_duration)>+1s", by(1.2), Inside, ""},
		{"p50(msg_duration)<-10%", by(0.5), Worse, ""},
		{"p50(msg_duration)<-10%", by(1), Inside, ""},
		{"mean(smtp_msg_duration,accepted) > 10%", by(1.2), Worse, ""},
		{"share(failed)>+1point", by(1), Inside, ""},
		{"p99.9(msg_duration)>+10%", by(1.2), Open, "too few values for a p99.9 (1000, want 10000)"},
		{"p50(msg_duration)>+10%", []float64{20}, Open, "needs at least 3 runs a side, has 6 and 1"},
	} {
		c, err := ParseCriterion(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		r, err := Compare(side(t, taking(0, ten...)...), side(t, taking(1, tt.b...)...), Options{Criteria: []Criterion{c}})
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		g := r.Gates[0]
		if g.State != tt.want || !strings.Contains(g.Why, tt.why) || (tt.why == "") != (g.Why == "") {
			t.Errorf("%s of %v: %s %q, want %s %q", tt.text, tt.b, g.State, g.Why, tt.want, tt.why)
		}
		if len(r.Primary()) != 1 || r.Primary()[0].Measure != c.Measure {
			t.Errorf("%s: the primary family is %+v", tt.text, r.Primary())
		}
	}
}

func TestBadCriteriaAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"p99":                      "want STATISTIC(METRIC)>LIMIT",
		"p98(msg_duration)>1%":     "statistics: p50 p90 p95 p99 p99.9 mean share",
		"share(lost)>1point":       "unknown share \"lost\" (valid: failed deferred bounced unanswered)",
		"share(failed)>1%":         "a share has a limit in points",
		"p50(msg_duration)>1point": "a latency has a limit in %, ms or s",
		"p50(msg_duration)<-100%":  "100% less than A is nothing",
		"":                         "want STATISTIC(METRIC)>LIMIT",
	} {
		if _, err := ParseCriterion(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	c, err := ParseCriterion("p50(msg_durations)>1%")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Compare(side(t, made{ms: 1, at: 1}), side(t, made{ms: 1, at: 2}), Options{Criteria: []Criterion{c}}); err == nil ||
		!strings.Contains(err.Error(), `no record has smtp_msg_durations (they have msg_duration)`) {
		t.Errorf("a metric that nobody measured: %v", err)
	}
}
