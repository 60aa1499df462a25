package xk6smtp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/lib/fsext"
	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// outputRun is an output on a file system in memory, with k6's kinds of metrics.
type outputRun struct {
	path     string // of the record
	t        *testing.T
	out      *recordOutput
	fs       fsext.Fs
	log      bytes.Buffer
	registry *metrics.Registry
	start    time.Time
}

func newOutputRun(t *testing.T, fs fsext.Fs) *outputRun {
	t.Helper()
	r := &outputRun{t: t, fs: fs, registry: metrics.NewRegistry(), path: filepath.Join(t.TempDir(), "run.json")}
	logger := logrus.New()
	logger.SetOutput(&r.log)
	if err := fsext.WriteFile(fs, "/x/script.js", []byte("export default 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := NewOutput(output.Params{
		ConfigArgument: r.path, Logger: logger, FS: fs, ScriptPath: &url.URL{Scheme: "file", Path: "/x/script.js"}, ScriptOptions: lib.Options{},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.out = out.(*recordOutput)
	return r
}

func (r *outputRun) begin() {
	r.t.Helper()
	if err := r.out.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.start = r.out.started
}

func (r *outputRun) metric(name string, typ metrics.MetricType, val ...metrics.ValueType) *metrics.Metric {
	return r.registry.MustNewMetric(name, typ, val...)
}

// sample is a value at a time after the start, with tags "name:value".
func (r *outputRun) sample(m *metrics.Metric, at time.Duration, value float64, tags ...string) metrics.Sample {
	set := r.registry.RootTagSet()
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, ":")
		set = set.With(name, value)
	}
	return metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: m, Tags: set}, Time: r.start.Add(at), Value: value}
}

func (r *outputRun) add(samples ...metrics.Sample) {
	r.out.AddMetricSamples([]metrics.SampleContainer{metrics.Samples(samples)})
}

// end stops the output and reads its record.
func (r *outputRun) end(testErr error) *result.Record {
	r.t.Helper()
	if err := r.out.StopWithTestError(testErr); err != nil {
		r.t.Fatal(err)
	}
	text, err := fsext.ReadFile(r.fs, r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	record, err := result.Decode(bytes.NewReader(text))
	if err != nil {
		r.t.Fatalf("%v in %s", err, text)
	}
	if partial, err := fsext.Exists(r.fs, r.path+".partial"); partial || err != nil {
		r.t.Errorf("the partial file is still there (%v)", err)
	}
	return record
}

func TestRecordHoldsEveryKindOfMetric(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	trend, plain := r.metric("smtp_msg_waiting", metrics.Trend, metrics.Time), r.metric("size", metrics.Trend)
	counter, rate, gauge := r.metric("smtp_replies", metrics.Counter), r.metric("smtp_msg_failed", metrics.Rate), r.metric("vus", metrics.Gauge)
	data := r.metric("data_sent", metrics.Counter, metrics.Data)
	thresholds := metrics.NewThresholds([]string{"rate<0.1", "rate<0.9"})
	r.out.SetThresholds(map[string]metrics.Thresholds{"smtp_msg_failed": thresholds})
	r.begin()
	r.add(
		r.sample(trend, 0, 1.5, "code:250", "vu:7", "iter:9", "group:"),
		r.sample(trend, 0, 2.5, "code:250", "vu:8"),
		r.sample(trend, 10*time.Millisecond, 7, "code:450"),
		r.sample(counter, 0, 3, "phase:rcpt", "code:250", "enhanced:"),
		r.sample(rate, 0, 0), r.sample(rate, 0, 1), r.sample(rate, 0, 1),
	)
	r.add(
		r.sample(trend, 2500*time.Millisecond, 0, "code:250"),
		r.sample(trend, 2500*time.Millisecond, -1, "code:250"),
		r.sample(trend, 2600*time.Millisecond, 2*3600*1000, "code:250"),
		r.sample(plain, 2500*time.Millisecond, 1e9),
		r.sample(counter, 2500*time.Millisecond, 4, "phase:rcpt", "code:250"),
		r.sample(gauge, 2500*time.Millisecond, 9), r.sample(gauge, 2500*time.Millisecond, 4),
		r.sample(data, 2500*time.Millisecond, 100),
		r.sample(rate, 1200*time.Millisecond, 1), // late: counts in the open window
	)
	thresholds.Thresholds[0].LastFailed = true // what k6 does before it stops outputs
	record := r.end(nil)

	var got []string
	for _, s := range record.Client.Series {
		sum := s.Summary()
		line := fmt.Sprintf("%s %s %q{%s} n=%d sum=%v min=%v max=%v", s.Type, s.Metric, s.Unit, s.Tags.Key(), sum.Count, sum.Sum, sum.Min, sum.Max)
		if s.Histogram != nil {
			line += fmt.Sprintf(" zero=%d below=%d above=%d", s.Histogram.Zero(), s.Histogram.Below(), s.Histogram.Above())
		}
		if s.Type == result.Rate {
			line += fmt.Sprintf(" passes=%d fails=%d", s.Passes, s.Fails)
		}
		if s.Type == result.Gauge {
			line += fmt.Sprintf(" last=%v", s.Last)
		}
		got = append(got, line)
	}
	expectLines(t, "series", got,
		`trend smtp_msg_waiting "ms"{code=250} n=5 sum=7.200003e+06 min=-1 max=7.2e+06 zero=1 below=1 above=1`,
		`trend smtp_msg_waiting "ms"{code=450} n=1 sum=7 min=7 max=7 zero=0 below=0 above=0`,
		`counter smtp_replies ""{code=250,phase=rcpt} n=2 sum=7 min=3 max=4`,
		`rate smtp_msg_failed ""{} n=4 sum=3 min=0 max=1 passes=3 fails=1`,
		`trend size ""{} n=1 sum=1e+09 min=1e+09 max=1e+09`,
		`gauge vus ""{} n=2 sum=13 min=4 max=9 last=4`,
		`counter data_sent "B"{} n=1 sum=100 min=100 max=100`)

	var windows []string
	for _, w := range record.Client.Windows {
		line := fmt.Sprintf("%v", w.Start.Sub(r.start))
		for _, s := range w.Series {
			line += fmt.Sprintf(" %s:%v", record.Client.Series[s.Index].Metric, s.Summary().Sum)
		}
		windows = append(windows, line)
	}
	expectLines(t, "windows", windows,
		"0s smtp_msg_waiting:4 smtp_msg_waiting:7 smtp_replies:3 smtp_msg_failed:2",
		"2s smtp_msg_waiting:7.199999e+06 smtp_replies:4 smtp_msg_failed:1 size:1e+09 vus:13 data_sent:100")
	if got := fmt.Sprint(record.Load.Thresholds); got != "[{smtp_msg_failed rate<0.1 false} {smtp_msg_failed rate<0.9 true}]" {
		t.Errorf("thresholds %s", got)
	}
	if record.Load.Script != "script.js" || len(record.Load.ScriptSHA256) != 64 {
		t.Errorf("script %q %q", record.Load.Script, record.Load.ScriptSHA256)
	}
}

// TestTotalsAreTheMergedWindows holds for random samples that nothing gets lost between windows, and that quantiles are those of
// the raw values.
func TestTotalsAreTheMergedWindows(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	trend := r.metric("smtp_msg_duration", metrics.Trend, metrics.Time)
	r.begin()
	random := rand.New(rand.NewPCG(1, 2))
	raw := map[string][]float64{}
	for i := range 20000 {
		code := []string{"code:250", "code:450", "code:550"}[random.IntN(3)]
		value := math.Exp(random.NormFloat64() * 2)
		raw[code] = append(raw[code], value)
		r.add(r.sample(trend, time.Duration(i)*time.Millisecond/2, value, code))
	}
	record := r.end(nil)
	for tag, values := range raw {
		name, value, _ := strings.Cut(tag, ":")
		total := record.Client.Total("smtp_msg_duration", result.Tags{name: value})
		merged := &result.Histogram{}
		for _, w := range record.Client.Windows {
			for _, s := range w.Series {
				if record.Client.Series[s.Index].Tags.Has(result.Tags{name: value}) {
					merged.Merge(s.Histogram)
				}
			}
		}
		direct := &result.Histogram{}
		for _, v := range values {
			direct.Record(v)
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			if a, b, c := total.Quantile(q), merged.Quantile(q), direct.Quantile(q); a != b || a != c {
				t.Errorf("%s: quantile %v is %v in the total, %v over the windows, %v directly", tag, q, a, b, c)
			}
		}
		if total.Count() != uint64(len(values)) || merged.Count() != total.Count() || math.Abs(total.Summary().Sum-direct.Summary().Sum) > 1e-6 {
			t.Errorf("%s: %+v in the total, %+v over the windows, %+v directly", tag, total.Summary(), merged.Summary(), direct.Summary())
		}
	}
}

// TestScriptsTagsAreFoldedFirst has a script's tag with 1,500 values beside the tags by which both sides of a run are compared.
func TestScriptsTagsAreFoldedFirst(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	trend, counter := r.metric("smtp_msg_duration", metrics.Trend, metrics.Time), r.metric("smtp_replies", metrics.Counter)
	r.begin()
	const values = 1500
	codes := []string{"250", "450", "550", "421"}
	for i := range values {
		user := fmt.Sprintf("user:%d", i)
		r.add(r.sample(trend, 0, 1, user, "scenario:s", "code:250"))
		for n, code := range codes {
			for _, phase := range []string{"mail", "rcpt"} {
				r.add(r.sample(counter, 0, float64(n+1), user, "few:"+code, "scenario:s", "phase:"+phase, "code:"+code))
			}
		}
	}
	r.add(r.sample(counter, 0, 7, "scenario:other", "phase:data", "code:354"), r.sample(r.metric("iterations", metrics.Counter), 0, 3))
	record := r.end(nil)
	if n := record.Client.Sum("smtp_msg_duration", result.Tags{"code": "250", "scenario": "s"}); n != values {
		t.Errorf("%v of %d durations", n, values)
	}
	for n, code := range codes {
		if sum := record.Client.Sum("smtp_replies", result.Tags{"phase": "rcpt", "code": code, "scenario": "s"}); sum != float64(values*(n+1)) {
			t.Errorf("%v replies of %s, expected %d", sum, code, values*(n+1))
		}
	}
	if sum := record.Client.Sum("smtp_replies", result.Tags{"phase": "data", "code": "354", "scenario": "other"}); sum != 7 {
		t.Errorf("%v replies to DATA", sum)
	}
	if n := len(record.Client.Find("smtp_msg_duration", nil)); n != foldLimits[foldNothing].trends+1 {
		t.Errorf("%d trend series", n)
	}
	expectLines(t, "warnings", record.Warnings,
		`smtp_msg_duration: 1000 samples lost the script's own tags: the run had more than 500 trend series or 10000 series; the tag "user" alone has 1188 values and more`,
		`smtp_replies: 2500 samples lost the script's own tags: the run had more than 500 trend series or 10000 series; the tag "user" alone has 1188 values and more`)
	if !strings.Contains(r.log.String(), `the tag \"user\" alone`) {
		t.Errorf("not logged: %s", r.log.String())
	}
}

// TestSeriesAreBoundedWhateverTheTags goes on after the script's own tags were folded: by k6's, and by codes that a server made up.
func TestSeriesAreBoundedWhateverTheTags(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	trend, counter := r.metric("smtp_msg_duration", metrics.Trend, metrics.Time), r.metric("smtp_replies", metrics.Counter)
	r.begin()
	const n = 20000
	for i := range n {
		r.add(r.sample(trend, 0, 1, fmt.Sprintf("user:%d", i), fmt.Sprintf("url:%d", i), fmt.Sprintf("code:%d", 200+i%400)),
			r.sample(counter, 0, 1, fmt.Sprintf("user:%d", i), fmt.Sprintf("enhanced:5.%d.%d", i/200, i%200), fmt.Sprintf("code:%d", 200+i%400), fmt.Sprintf("cause:%d", i)))
	}
	record := r.end(nil)
	if n := len(r.out.counted.byTags); n == 0 || n > maxLookups {
		t.Errorf("%d lookups", n)
	}
	if all := len(record.Client.Series); all > 14010 {
		t.Errorf("%d series", all)
	}
	if sum := record.Client.Sum("smtp_replies", nil); sum != n {
		t.Errorf("%v replies of %d", sum, n)
	}
	if sum := record.Client.Sum("smtp_msg_duration", nil); sum != n {
		t.Errorf("%v durations of %d", sum, n)
	}
	for _, want := range []string{
		"samples lost the script's own tags:", "samples lost all tags but phase, code, error_code, expected_response, pipelined, cause:", "samples lost all tags:",
		`the tag "user" alone has`, `the tag "enhanced" alone has`, `the tag "cause" alone has`,
	} {
		if !strings.Contains(strings.Join(record.Warnings, "\n"), want) {
			t.Errorf("no warning %q in\n%s", want, strings.Join(record.Warnings, "\n"))
		}
	}
}

func TestAbortedRunIsRecordedAndSaysSo(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	counter := r.metric("smtp_messages", metrics.Counter)
	r.begin()
	r.add(r.sample(counter, 0, 1))
	record := r.end(errors.New("test run was aborted because k6 received a 'interrupt' signal"))
	if record.Client.Sum("smtp_messages", nil) != 1 {
		t.Error("the last samples are missing")
	}
	expectLines(t, "notes", record.Notes, "k6: test run was aborted because k6 received a 'interrupt' signal")
}

func TestEmptyRunIsARecord(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	r.begin()
	if record := r.end(nil); len(record.Client.Series) != 0 || len(record.Client.Windows) != 0 {
		t.Errorf("%+v", record.Client)
	}
}

func TestOutputWantsAFileThatCanBeWritten(t *testing.T) {
	if _, err := NewOutput(output.Params{Logger: logrus.New()}); err == nil || err.Error() != "output smtpstorm wants a file: -o smtpstorm=FILE" {
		t.Errorf("got %v", err)
	}
	r := newOutputRun(t, fsext.NewMemMapFs())
	r.out.params.FS = fsext.NewReadOnlyFs(r.fs)
	if err := r.out.Start(); err == nil || !strings.HasPrefix(err.Error(), "output smtpstorm: ") {
		t.Errorf("got %v", err)
	}
}

func TestCommandLineHasNoSecrets(t *testing.T) {
	got := commandLine([]string{"/opt/bin/k6", "run", "-eSMTP_PASSWORD=x", "--env=MX=smtp://u:p@h", "--env", "RATE=7", "script.js"})
	expectLines(t, "command line", got, "k6", "run", "-eSMTP_PASSWORD=***", "--env=MX=***", "--env", "RATE=7", "script.js")
}

// What a tag set costs that no series is made of: a place in a map. Scripts that tag each sample with something else have a million of them.
func TestTagsThatAreFoldedCostLittle(t *testing.T) {
	registry := metrics.NewRegistry()
	m, now := registry.MustNewMetric("smtp_replies", metrics.Counter), time.Now()
	set := newSeriesSet(now)
	sample := func(i int) *metrics.Sample {
		tags := registry.RootTagSet().With("code", "250").With("scenario", "default").With("id", fmt.Sprint(i))
		return &metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: m, Tags: tags}, Time: now, Value: 1}
	}
	for i := range foldLimits[foldNothing].series {
		set.add(sample(i))
	}
	const runs = 5000
	samples := make([]*metrics.Sample, 0, runs+1)
	for i := range runs + 1 {
		samples = append(samples, sample(1_000_000+i))
	}
	if n := testing.AllocsPerRun(runs, func() {
		set.add(samples[0])
		samples = samples[1:]
	}); n > 0.5 {
		t.Errorf("%v allocations for each", n)
	}
	if want := foldLimits[foldNothing].series + 1; len(set.entries) != want {
		t.Errorf("%d series, want %d", len(set.entries), want)
	}
}

func TestTagsHaveNoUserInformation(t *testing.T) {
	r := newOutputRun(t, fsext.NewMemMapFs())
	m := r.metric("smtp_replies", metrics.Counter)
	r.begin()
	r.add(r.sample(m, 0, 1, "server:smtp://ann:secret@mx.test"))
	if got := r.end(nil).Client.Series[0].Tags["server"]; got != "smtp://***@mx.test" {
		t.Errorf("the record has the tag %q", got)
	}
}

func BenchmarkBookAdd(b *testing.B) {
	registry := metrics.NewRegistry()
	m := registry.MustNewMetric("smtp_msg_duration", metrics.Trend, metrics.Time)
	now := time.Now()
	book := newSeriesSet(now)
	s := metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: m, Tags: registry.RootTagSet().With("code", "250")}, Time: now}
	b.ReportAllocs()
	for i := range b.N {
		s.Value = float64(i%1000) / 10
		book.add(&s)
	}
}
