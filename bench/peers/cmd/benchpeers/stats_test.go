package main

import (
	"math"
	"strings"
	"testing"
)

func outcomeOf(values map[string][]float64) *outcome {
	o := &outcome{Workload: "w", Unit: unitRate}
	for _, server := range sorted(values) {
		o.Servers = append(o.Servers, server)
		for i, v := range values[server] {
			o.Samples = append(o.Samples, sample{Round: i + 1, Server: server, Value: v, Wall: 1, CPU: 0.9, GeneratorCPU: 0.5})
		}
	}
	return o
}

func TestEstimate(t *testing.T) {
	for _, tc := range []struct {
		name           string
		values         []float64
		median, lo, hi float64
		confident      bool
	}{
		// Seven values: the extremes bound the median with 1 - 2 x 0.5^7 = 98.4%; the next ones with 87.5% only.
		{"seven", []float64{7, 1, 6, 2, 5, 3, 4}, 4, 1, 7, true},
		// Five can't: 1 - 2 x 0.5^5 = 93.75%.
		{"five", []float64{1, 2, 3, 4, 5}, 3, 1, 5, false},
		{"one", []float64{3}, 3, 3, 3, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := estimateOf(tc.values)
			if e.Median != tc.median || e.Lo != tc.lo || e.Hi != tc.hi || e.Confident != tc.confident || e.N != len(tc.values) {
				t.Errorf("%+v; expected %+v", e, tc)
			}
		})
	}
}

// A ratio is taken within rounds: what slows both servers down in one round leaves it alone.
func TestRatioIsPaired(t *testing.T) {
	o := outcomeOf(map[string][]float64{
		"a": {20, 40, 60, 80, 100, 120, 140},
		"b": {10, 20, 30, 40, 50, 60, 70},
	})
	r, _ := o.ratio("a", "b")
	if r.Median != 2 || r.Lo != 2 || r.Hi != 2 {
		t.Errorf("%+v; expected exactly 2", r)
	}
	if r, _ := o.ratio("a", "nobody"); r.N != 0 {
		t.Errorf("%+v against a server that wasn't there", r)
	}
}

func TestVerdicts(t *testing.T) {
	o := outcomeOf(map[string][]float64{
		"a": {2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6},
		"b": {1, 1, 1, 1, 1, 1, 1}, "few": {2, 2, 2},
	})
	for _, tc := range []struct {
		target target
		want   verdict
	}{
		{target{a: "a", b: "b", bound: 1.9}, verdictMet},
		{target{a: "a", b: "b", bound: 2.2}, verdictUnsure},
		{target{a: "a", b: "b", bound: 2.5}, verdictMissed},
		{target{a: "a", bound: 2.6, most: true}, verdictMet},
		{target{a: "a", bound: 2.5, most: true}, verdictUnsure},
		{target{a: "a", bound: 1, most: true}, verdictMissed},
		{target{a: "few", bound: 1}, verdictFew},
		{target{a: "few", bound: 9}, verdictMissed},
		{target{a: "c", bound: 1}, verdictUnknown},
	} {
		if e, got := tc.target.judge(o); got != tc.want {
			t.Errorf("%+v: %s from %s; expected %s", tc.target, got, e, tc.want)
		}
	}
	if _, got := (&target{a: "a"}).judge(nil); got != verdictUnknown {
		t.Errorf("without an outcome: %s", got)
	}
}

// What the host took from the machine decides which rounds an idle machine's target looks at; the lateness itself doesn't.
func TestIdleRounds(t *testing.T) {
	o := outcomeOf(map[string][]float64{"sink": {0.5, 9, 0.6, 0.4, 3, 0.5, 0.5, 0.7}})
	stolen := []float64{0.1, 24, 0.9, 0, 0.2, 1, 0.3, 0.4}
	for i := range o.Samples {
		o.Samples[i].More = map[string]float64{stolenPercent: stolen[i]}
	}
	all := target{a: "sink", bound: 2, most: true}
	if e, got := all.judge(o); e.N != 8 || e.Max != 9 || got != verdictUnsure {
		t.Errorf("all rounds: %+v, %s", e, got)
	}
	all.idle = true
	if e, got := all.judge(o); e.N != 7 || e.Max != 3 || got != verdictUnsure {
		t.Errorf("idle rounds: %+v, %s; expected 7 rounds, the late one among them", e, got)
	}
	for i := range o.Samples {
		o.Samples[i].More[stolenPercent] = 5
	}
	if e, got := all.judge(o); got != verdictUnknown {
		t.Errorf("no idle round: %+v, %s", e, got)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 12345.6: "12346", 99.96: "100.0", 1.257: "1.26", 0.0123: "0.012", -2: "-2.00"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, expected %q", v, got, want)
		}
	}
}

// A report says what failed, who was left out, and that the machine was busy.
func TestReport(t *testing.T) {
	r := &record{Rounds: 7, Scale: 1, LoadBefore: 3, Missing: []string{"smtp-sink (apt-get install postfix)"}, Interrupted: true}
	o := outcomeOf(map[string][]float64{"canned": {1, 1, 1, 1, 1, 1, 1}, "sink": {2, 2, 2, 2, 2, 2, 2}})
	o.Workload, o.Failures = "reused-1k", []string{"gnet, round 3: gone"}
	r.Outcomes = []*outcome{o}
	var b strings.Builder
	r.report(&b)
	for _, want := range []string{"not idle", "Interrupted", "apt-get install postfix", "gnet, round 3: gone",
		"| reused-1k: sink at least 0.9 x canned | 2.00 [2.00, 2.00] | met |", "| new-1k: sink at least 1.30 x smtp-sink (stretch 1.50) | - | not measured |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
	if err := r.write(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestTicks(t *testing.T) {
	var got []float64
	for _, tick := range ratioTicks(0.5, 11) {
		got = append(got, tick.Value)
	}
	want := []float64{0.5, 1, 2, 5, 10}
	if len(got) != len(want) {
		t.Fatalf("%v, expected %v", got, want)
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Errorf("%v, expected %v", got, want)
		}
	}
}
