package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// windows draws n windows of m exponential latencies; load is shared within a
// window when correlated.
func windows(r *rand.Rand, n, m int, correlated bool) Distribution {
	d := Distribution{Total: &result.Histogram{}}
	for range n {
		b := &result.Histogram{}
		scale := 1.0
		if correlated {
			scale = math.Exp(0.3 * r.NormFloat64())
		}
		for range m {
			b.Record(10 * scale * r.ExpFloat64())
		}
		d.Total.Merge(b)
		d.Blocks = append(d.Blocks, b)
	}
	return d
}

// Two runs of one process differ by 0: an interval at 95 % must hold it about
// that often, and order statistics alone would not when moments differ.
func TestBootstrapCoversWhatVariesWithinARun(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 0))
	const trials = 80
	covers := func(d Difference) bool { return d.Within.Lo <= 0 && 0 <= d.Within.Hi }
	var byBlocks, byOrder, independent int
	for i := range trials {
		o := IntervalOptions{Resamples: 200, Seed: uint64(i)}
		a, b := windows(r, 120, 150, true), windows(r, 120, 150, true)
		d, method := Differences(a, b, []float64{0.5}, o)
		if method != BlockBootstrap {
			t.Fatalf("method: got %q, want %q", method, BlockBootstrap)
		}
		if covers(d[0]) {
			byBlocks++
		}
		a.Blocks, b.Blocks = nil, nil
		d, method = Differences(a, b, []float64{0.5}, o)
		if method != OrderStatistic {
			t.Fatalf("method without windows: got %q, want %q", method, OrderStatistic)
		}
		if covers(d[0]) {
			byOrder++
		}
		// Neighbours that correlate by accident make blocks of two windows and more: thirty windows would be too few then.
		d, _ = Differences(windows(r, 120, 40, false), windows(r, 120, 40, false), []float64{0.5}, o)
		if covers(d[0]) {
			independent++
		}
	}
	t.Logf("of %d intervals held the truth: %d by blocks, %d by order statistics; %d by blocks of independent values", trials, byBlocks, byOrder, independent)
	// Three standard errors of 80 trials below 94 %.
	if byBlocks < trials*86/100 || independent < trials*86/100 {
		t.Errorf("bootstrap covered %d and %d of %d, want at least 86 %%", byBlocks, independent, trials)
	}
	if byOrder >= byBlocks {
		t.Errorf("order statistics covered %d, blocks %d: the case does not tell them apart", byOrder, byBlocks)
	}
}

func TestDifferencesAreReproducible(t *testing.T) {
	a, b := windows(rand.New(rand.NewPCG(1, 1)), 600, 20, true), windows(rand.New(rand.NewPCG(2, 2)), 600, 20, true)
	x, _ := Differences(a, b, []float64{0.5, 0.99, 1}, IntervalOptions{Seed: 5})
	y, _ := Differences(a, b, []float64{0.5, 0.99, 1}, IntervalOptions{Seed: 5})
	for i := range x {
		if (x[i].Within == nil) != (i == 2) {
			t.Errorf("percentile %v: interval %v; only the maximum has none", x[i].A.Q, x[i].Within)
		}
		if x[i].Within != nil && *x[i].Within != *y[i].Within {
			t.Errorf("same seed, different intervals: %v and %v", x[i].Within, y[i].Within)
		}
	}
}

func TestPercentilesAboveWhatWasSeenAreUnknown(t *testing.T) {
	d := Distribution{Total: &result.Histogram{}, Seen: Seen(result.Load{IterationsComplete: 960, IterationsDropped: 40})}
	for i := range 960 {
		d.Total.Record(float64(i + 1))
	}
	ps, method := d.Percentiles([]float64{0.5, 0.96, 0.97, 1}, IntervalOptions{})
	if method != OrderStatistic {
		t.Errorf("method: got %q", method)
	}
	var beyond []bool
	for _, p := range ps {
		beyond = append(beyond, p.Beyond)
	}
	if want := []bool{false, false, true, true}; !slices.Equal(beyond, want) {
		t.Errorf("with 40 dropped beside 960, p50 p96 p97 max beyond = %v, want %v", beyond, want)
	}
	diff, _ := Differences(d, d, []float64{0.97}, IntervalOptions{})
	if diff[0].Known || diff[0].Within != nil {
		t.Errorf("a difference of unknown percentiles is known: %+v", diff[0])
	}
}

func TestEmptyDistributions(t *testing.T) {
	empty := Distribution{Total: &result.Histogram{}}
	d, _ := Differences(empty, empty, []float64{0.5, 1}, IntervalOptions{})
	for _, x := range d {
		if x.Known || x.Within != nil {
			t.Errorf("difference of nothing: %+v", x)
		}
	}
}

func TestOfReadsWindows(t *testing.T) {
	h := func(v ...float64) *result.Histogram {
		x := &result.Histogram{}
		for _, v := range v {
			x.Record(v)
		}
		return x
	}
	r := result.New("x")
	r.Client = &result.Client{
		Series: []result.Series{
			{Metric: "m", Type: result.Trend, Tags: result.Tags{"code": "250"}, Histogram: h(1, 2)},
			{Metric: "m", Type: result.Trend, Tags: result.Tags{"code": "450"}, Histogram: h(3)},
			{Metric: "other", Type: result.Trend, Histogram: h(9)},
		},
		Windows: []result.Window{
			{Series: []result.WindowSeries{{Index: 0, Histogram: h(1)}, {Index: 1, Histogram: h(3)}, {Index: 2, Histogram: h(9)}}},
			{Series: []result.WindowSeries{{Index: 2, Histogram: h(9)}}},
			{Series: []result.WindowSeries{{Index: 0, Histogram: h(2)}}},
		},
	}
	d := Of(r, "m", nil)
	if d.Total.Count() != 3 || len(d.Blocks) != 2 || d.Blocks[0].Count() != 2 || d.Seen != 1 {
		t.Errorf("got total %d, %d blocks, seen %v", d.Total.Count(), len(d.Blocks), d.Seen)
	}
}

func TestWarnings(t *testing.T) {
	status := 107
	h := &result.Histogram{}
	for range 500 {
		h.Record(1)
	}
	r := result.New("x")
	r.Warn("own warning")
	r.Provenance = result.Provenance{Cores: 2, SinkMode: result.SinkInProcess}
	r.Load = result.Load{IterationsComplete: 900, IterationsDropped: 100, ExitStatus: &status, RatePerSecond: 900, ProbeRatePerSecond: 1000}
	r.Client = &result.Client{Series: []result.Series{{Metric: "smtp_msg_waiting", Type: result.Trend, Histogram: h}}, Process: &result.Process{CPUSeconds: 19, WallSeconds: 10}}
	r.Sink = &result.Sink{Counts: count.Counts{Lateness: &count.Distribution{Count: 500, P99Micros: 30_000}}, Process: &result.Process{CPUSeconds: 18, WallSeconds: 10}}
	got := Warnings(r)
	for i, want := range []string{"own warning", "100 iterations were dropped", "exit status 107", "90 % of the capacity",
		"generator used 95 %", "fewer than 1000 samples, so that p99 rests on fewer than ten values: smtp_msg_waiting (500)", "sink used 90 %", "the sink: delayed replies were later than planned by up to 30ms", "in-process"} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Fatalf("warning %d: want it to say %q in %q", i, want, got)
		}
	}
	if len(got) != 9 {
		t.Errorf("%d warnings, want 9: %q", len(got), got)
	}
	if got := Warnings(result.New("calm")); len(got) != 0 {
		t.Errorf("an empty record warns: %q", got)
	}
}

// A message for whose reply nobody waited is a censored value: slower than those that were measured.
func TestUnansweredMessagesAreTheSlowest(t *testing.T) {
	hist := func(values ...float64) *result.Histogram {
		h := &result.Histogram{}
		for _, v := range values {
			h.Record(v)
		}
		return h
	}
	var ninety []float64
	for i := range 90 {
		ninety = append(ninety, float64(i+1))
	}
	r := result.New("silence")
	trend := func(metric string, h *result.Histogram, tags result.Tags) {
		r.Client.Series = append(r.Client.Series, result.Series{Metric: metric, Type: result.Trend, Unit: result.UnitMillis, Tags: tags, Histogram: h})
	}
	r.Client = &result.Client{}
	trend("smtp_msg_duration", hist(ninety...), result.Tags{"code": "250"})
	trend("smtp_msg_waiting", hist(ninety...), nil)
	trend("smtp_msg_mail", hist(ninety...), nil)
	trend("smtp_msg_rcpt", hist(), nil)
	trend("iteration_duration", hist(ninety...), nil)
	trend(MetricUnanswered, hist(5000, 0, 60, 60, 60, 60), result.Tags{"phase": "message", "error_code": "1060"})
	trend(MetricUnanswered, hist(3, 4, 5, 6), result.Tags{"phase": "rcpt", "error_code": "1050"})

	qs := []float64{0.1, 0.5, 0.9, 0.91, 1}
	for metric, want := range map[string]string{
		"smtp_msg_duration":  "10 50 90 >max >max", // of 100: 90 measured, 10 not
		"smtp_msg_waiting":   "10 48 87 88 >max",   // of 96
		"smtp_msg_mail":      "9 45 81 82 90",
		"smtp_msg_rcpt":      "0 0 0 0 0",
		"iteration_duration": "10 48 87 88 >max",
	} {
		ps, _ := Of(r, metric, nil).Percentiles(qs, IntervalOptions{})
		var got []string
		for _, p := range ps {
			text := fmt.Sprintf("%.0f", p.Value) // a bucket's end is a thousandth above
			if p.Beyond {
				text = ">max"
			}
			got = append(got, text)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", metric, s, want)
		}
	}
	if d := Of(r, "smtp_msg_duration", result.Tags{"code": "250"}); d.Seen != 1 {
		t.Errorf("of one code's messages %v were seen: nobody knows what code the others would have got", d.Seen)
	}
	r.Load.IterationsComplete, r.Load.IterationsDropped = 90, 90
	if seen := SeenOf(r, "smtp_msg_duration"); math.Abs(seen-0.45) > 1e-9 {
		t.Errorf("with as many dropped, %v were seen, want 0.45", seen)
	}
	found := false
	for _, w := range Warnings(r) {
		found = found || strings.Contains(w, "gave up waiting for the replies to 10 messages, after up to 5000 ms") && strings.Contains(w, "above p45")
	}
	if !found {
		t.Errorf("no warning of it: %q", Warnings(r))
	}
}
