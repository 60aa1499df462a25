package compare

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// made is a run made by hand: n messages, all of which took ms, but for a share that was answered otherwise.
type made struct {
	ms       float64
	n        int
	deferred int // of the n
	at       int // minutes after the epoch
	change   func(*result.Record)
}

func (m made) record() *result.Record {
	if m.n == 0 {
		m.n = 1000
	}
	r := result.New("made")
	r.Provenance.Started = epoch.Add(time.Duration(m.at) * time.Minute)
	r.Provenance.Ended = r.Provenance.Started.Add(30 * time.Second)
	r.Provenance.Seed = uint64(m.at)
	r.Load = result.Load{Script: "made.js", Executor: "constant-arrival-rate", RatePerSecond: 100, IterationsComplete: uint64(m.n)}
	trend := func(metric string, code string, n int) {
		h := &result.Histogram{}
		for i := range n { // spread by a tenth about ms, so that percentiles differ
			h.Record(m.ms * (0.95 + 0.1*float64(i)/float64(n)))
		}
		r.Client.Series = append(r.Client.Series, result.Series{Metric: metric, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"code": code}, Histogram: h})
	}
	r.Client = &result.Client{Series: []result.Series{
		{Metric: MetricFailed, Type: result.Rate, Passes: uint64(m.deferred), Fails: uint64(m.n - m.deferred), Stats: &result.Summary{}},
	}}
	trend(MetricDuration, "250", m.n-m.deferred)
	reply := func(code string, n int) {
		r.Client.Series = append(r.Client.Series, result.Series{Metric: result.MetricReplies, Type: result.Counter, Tags: result.Tags{"phase": "message", "code": code}, Stats: &result.Summary{Count: uint64(n), Sum: float64(n), Min: 1, Max: 1}})
	}
	reply("250", m.n-m.deferred)
	if m.deferred > 0 {
		trend(MetricDuration, "451", m.deferred)
		reply("451", m.deferred)
	}
	if m.change != nil {
		m.change(r)
	}
	return r
}

func side(t *testing.T, runs ...made) *Side {
	t.Helper()
	s := &Side{}
	for i, m := range runs {
		r, err := Reduce(fmt.Sprintf("run-%d-%d.json", m.at, i), m.record(), 0, false)
		if err != nil {
			t.Fatal(err)
		}
		s.Runs = append(s.Runs, r)
	}
	return s
}

// taking makes runs of these times, interleaved with those of the other side: A runs at even minutes, B at odd ones.
func taking(odd int, ms ...float64) []made {
	var out []made
	for i, v := range ms {
		at := 2*i + odd
		if i%2 == 1 {
			at = 2*i + 1 - odd // ABBA
		}
		out = append(out, made{ms: v, at: at, n: 1000})
	}
	return out
}

func inBlocks(runs []made, name string) []made {
	for i := range runs {
		block, order := i+1, runs[i].at+1
		runs[i].change = func(r *result.Record) {
			r.Design = &result.Design{Experiment: "x", Seed: 7, Side: name, Block: block, Order: order}
			r.Provenance.Seed = uint64(block)
		}
	}
	return runs
}

func row(t *testing.T, r *Result, name string) Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Name == name {
			return row
		}
	}
	t.Fatalf("no row %s", name)
	return Row{}
}

var (
	five    = []float64{10, 10.1, 10.2, 10.3, 10.4}
	slower  = []float64{12, 12.1, 12.2, 12.3, 12.4}
	alike   = []float64{10.05, 10.15, 10.25, 10.35, 10.36}
	wide    = []float64{8, 9, 10, 11, 12}
	wider   = []float64{8.5, 9.6, 9.9, 11.4, 12.8}
	eight   = []float64{10, 11, 12, 13, 14, 15, 16, 17}
	eightUp = []float64{10.5, 11.6, 12.5, 13.6, 14.5, 15.6, 16.5, 17.6}
)

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		a, b    []float64
		blocks  bool
		want    Verdict
		within  bool
		p, tol  float64
		shift   float64
		kind    DesignKind
		needs   int
		heading string
	}{
		// 5 against 5, all of B above all of A: p = 2/252.
		{"slower", five, slower, false, Greater, false, 2.0 / 252, 1e-9, 2, Interleaved, 0, "p50 of the whole message is greater with B"},
		{"faster", slower, five, false, Less, false, 2.0 / 252, 1e-9, -2, Interleaved, 0, "is less with B"},
		{"equivalent", five, alike, false, Equivalent, true, 1, 1, 0.05, Interleaved, 0, "equivalent, within 5% (shares: 1 point)"},
		{"undecided", wide, wider, false, Undecided, false, 1, 1, 0.5, Interleaved, 0, "undecided"},
		// 3 against 3 can't give less than 2/20.
		{"too few runs", five[:3], slower[:3], false, Undecided, false, 0.1, 1e-9, 2, Interleaved, 5, "undecided"},
		// 8 blocks, B always above A: p = 2/256, although the sides overlap and unpaired runs would show nothing.
		{"blocks", eight, eightUp, true, Greater, true, 2.0 / 256, 1e-9, 0.55, Blocks, 0, "p50 of the whole message is greater with B made by 4.16%, but within the margin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := taking(0, tt.a...), taking(1, tt.b...)
			if tt.blocks {
				a, b = inBlocks(a, result.SideA), inBlocks(b, result.SideB)
			}
			r, err := Compare(side(t, a...), side(t, b...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := row(t, r, "p50(msg_duration)")
			if got.Verdict != tt.want || got.Within != tt.within || got.Needs != tt.needs || r.Design.Kind != tt.kind {
				t.Errorf("verdict %s, within %v, needs %d, design %s; want %s, %v, %d, %s\n%+v", got.Verdict, got.Within, got.Needs, r.Design.Kind, tt.want, tt.within, tt.needs, tt.kind, got.Shift)
			}
			if math.Abs(got.Shift.P-tt.p) > tt.tol || math.Abs(got.Shift.Estimate-tt.shift) > 0.15*math.Abs(tt.shift)+0.05 {
				t.Errorf("p %v, shift %v; want %v, %v", got.Shift.P, got.Shift.Estimate, tt.p, tt.shift)
			}
			// p and interval never contradict each other.
			for _, x := range r.Rows {
				if e := x.Shift; e != nil && e.Attained && (e.P <= x.Alpha) != (e.Lo > 0 || e.Hi < 0 || e.OpenLo && e.Lo == 0 || e.OpenHi && e.Hi == 0) {
					t.Errorf("%s: p %v at %v beside the interval %+v", x.Name, e.P, x.Alpha, e)
				}
			}
			if said := strings.Join(r.Headline, "; "); !strings.Contains(said, tt.heading) {
				t.Errorf("headline %q, want %q in it", said, tt.heading)
			}
			if tt.want == Undecided && tt.needs == 0 && !(got.Findable > 0) {
				t.Errorf("undecided, and not said what could be found: %+v", got)
			}
		})
	}
}

// Without blocks the runs of eight and eightUp show nothing: the design decides, not the figures.
func TestBlocksFindWhatUnpairedRunsDoNot(t *testing.T) {
	r, err := Compare(side(t, taking(0, eight...)...), side(t, taking(1, eightUp...)...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := row(t, r, "p50(msg_duration)"); got.Verdict != Undecided {
		t.Errorf("unpaired: %s", got.Verdict)
	}
}

func TestInputsThatCannotBeCompared(t *testing.T) {
	with := func(at int, change func(*result.Record)) made { return made{ms: 10, at: at, change: change} }
	for _, tt := range []struct {
		name string
		a, b []made
		want string
	}{
		{"one run on both sides", []made{{ms: 1, at: 1}, {ms: 1, at: 2}}, []made{{ms: 1, at: 1}, {ms: 1, at: 3}}, "run-1-0.json is on both sides"},
		{"a run twice", []made{{ms: 1, at: 1}, {ms: 1, at: 2}, {ms: 1, at: 1}}, []made{{ms: 1, at: 3}}, "run-1-0.json and run-1-2.json are records of one run, which is given twice"},
		{"two plans on a side", []made{with(1, func(r *result.Record) { r.Provenance.Plan.Name = "calm" }), with(2, func(r *result.Record) { r.Provenance.Plan.Name = "storm" })},
			[]made{{ms: 1, at: 3}}, "side A mixes runs of different plans: calm in run-1-0.json, storm in run-2-1.json"},
		{"two scripts on a side", []made{{ms: 1, at: 3}}, []made{with(1, nil), with(2, func(r *result.Record) { r.Load.Script = "other.js" })},
			"side B mixes runs of different scripts: made.js in run-1-0.json, other.js in run-2-1.json"},
		{"two loads on a side", []made{{ms: 1, at: 3}}, []made{with(1, nil), with(2, func(r *result.Record) { r.Load.RatePerSecond = 50 })},
			"side B mixes runs of different loads: constant-arrival-rate, 100/s in run-1-0.json, constant-arrival-rate, 50/s in run-2-1.json"},
		{"two configurations on a side", []made{with(1, behind("Exim", "4.96", "port = $LISTEN\nretry 5s\n")), with(2, behind("Exim", "4.96", "port = $LISTEN\n\nretry 9s\n"))}, []made{{ms: 1, at: 3}},
			"side A mixes runs of different agents' configurations: retry 5s in run-1-0.json, retry 9s in run-2-1.json"},
		{"no records", []made{}, []made{{ms: 1}}, "side A has no records"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compare(side(t, tt.a...), side(t, tt.b...), Options{})
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want an InputError that says %q", err, tt.want)
			}
		})
	}
	empty := result.New("empty")
	if _, err := Reduce("empty.json", empty, 0, false); err == nil || !strings.Contains(err.Error(), "empty.json: it has no client part") {
		t.Errorf("a record without a client: %v", err)
	}
	empty.Client = &result.Client{}
	if _, err := Reduce("empty.json", empty, 0, false); err == nil || !strings.Contains(err.Error(), "empty.json: it has no samples") {
		t.Errorf("a record without samples: %v", err)
	}
}

// behind says that a run went through an MTA.
func behind(name, version, config string) func(*result.Record) {
	return func(r *result.Record) { r.Provenance.MTA = &result.MTA{Name: name, Version: version, Config: config} }
}

// Two MTAs are one difference, though their configurations differ too; two configurations of one MTA are shown by the lines that differ.
func TestMTAsAsSides(t *testing.T) {
	long := func(value string) string { return strings.Repeat("same = yes\nother = "+value+"\n", 2) }
	for _, tt := range []struct {
		name string
		a, b func(*result.Record)
		want []Differ
	}{
		{"two MTAs", behind("postfix", "3.7", long("1")), behind("exim", "4.96", long("2")), []Differ{{What: "agents", A: []string{"postfix 3.7"}, B: []string{"exim 4.96"}}}},
		{"two configurations", behind("exim", "4.96", long("1")), behind("exim", "4.96", long("2")), []Differ{{What: "agents' configurations", A: []string{"other = 1"}, B: []string{"other = 2"}}}},
		{"one line more", behind("exim", "4.96", "a\n"), behind("exim", "4.96", "a\nb\n"), []Differ{{What: "agents' configurations", A: []string{""}, B: []string{"b"}}}},
		{"many lines more", behind("exim", "4.96", "a\n"), behind("exim", "4.96", "a\nb\nc\nd\ne\nf\ng\nh\n"),
			[]Differ{{What: "agents' configurations", A: []string{""}, B: []string{"b; c; d; e; f; and 2 more lines"}}}},
		{"one and the same", behind("exim", "4.96", long("1")), behind("exim", "4.96", long("1")), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Compare(side(t, made{ms: 10, at: 1, change: tt.a}), side(t, made{ms: 12, at: 2, change: tt.b}), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r.Differ, tt.want) {
				t.Errorf("they differ in %+v, want %+v", r.Differ, tt.want)
			}
		})
	}
}

// TestSchemasAreNamedOnce: a side that has records of both versions, and the other of the newer one.
func TestSchemasAreNamedOnce(t *testing.T) {
	a, b := side(t, made{ms: 10, at: 1}, made{ms: 11, at: 2}), side(t, made{ms: 10, at: 3}, made{ms: 11, at: 4})
	b.Runs[0].Schema = result.SchemaPrefix + "1"
	r, err := Compare(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := Finding{WarnSchema, "the records are of smtpstorm/run/1 and smtpstorm/run/2: figures that only the newer have are not compared"}
	if !slices.Contains(r.Warnings, want) {
		t.Errorf("warnings %+v lack %+v", r.Warnings, want)
	}
}

func TestWarningsOfGroups(t *testing.T) {
	each := func(at int, change func(*result.Record), ms ...float64) []made {
		var out []made
		for i, v := range ms {
			out = append(out, made{ms: v, at: at + i, deferred: 20, change: change})
		}
		return out
	}
	nothing := func(*result.Record) {}
	for _, tt := range []struct {
		name       string
		a, b       func(*result.Record)
		atB        int
		kind, want string
	}{
		{"not interleaved", nothing, nothing, 10, WarnDesign, "AAAABBBB"},
		{"closed and open", nothing, func(r *result.Record) { r.Load.Executor = "constant-vus" }, 10, WarnLoad, "an open load (arrival rate) is compared with a closed one"},
		{"both closed", func(r *result.Record) { r.Load.Executor = "constant-vus" }, func(r *result.Record) { r.Load.Executor = "shared-iterations" }, 10, WarnLoad, "understated on both sides"},
		{"one seed", func(r *result.Record) { r.Provenance.Seed = 3 }, func(r *result.Record) { r.Provenance.Seed = 3 }, 10, WarnSeeds, "one seed"},
		{"machines", nothing, func(r *result.Record) { r.Provenance.CPUModel = "other" }, 10, WarnDiffer, "different machines"},
		{"two things", nothing, func(r *result.Record) { r.Load.Script, r.Provenance.Plan.Name = "other.js", "storm" }, 10, WarnDiffer, "more than one thing, so that no difference can be laid to one of them: scripts (made.js; other.js), plans (none; storm)"},
		{"scripts", nothing, func(r *result.Record) { r.Load.Script = "other.js" }, 10, WarnDiffer, "the sides had different scripts (made.js; other.js): a difference may be that of the work"},
		{"loads", nothing, func(r *result.Record) { r.Load.RatePerSecond = 200 }, 10, WarnDiffer, "the sides had different loads (constant-arrival-rate, 100/s; constant-arrival-rate, 200/s): a difference may be that of the work"},
		{"dropped", nothing, func(r *result.Record) { r.Load.IterationsDropped = 5 }, 10, WarnDropped, "side B: 20 of 4,020 iterations were dropped"},
		{"saturated", func(r *result.Record) {
			r.Provenance.Cores = 2
			r.Client.Process = &result.Process{CPUSeconds: 59, WallSeconds: 30}
		}, nothing, 10, WarnSaturated, "side A: generator or sink were saturated in 4 of 4 runs, such as run-0-0.json: the load generator used 98% of the machine's CPUs"},
		{"a record's own", nothing, func(r *result.Record) { r.Warn("the disk was full") }, 10, WarnRun, "side B, 4 of 4 runs: the disk was full"},
		{"untimed", nothing, func(r *result.Record) { r.Provenance.Started = time.Time{} }, 10, WarnDesign, "nobody knows whether the runs were interleaved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Compare(side(t, each(0, tt.a, 10, 10.1, 10.2, 10.3)...), side(t, each(tt.atB, tt.b, 12, 12.1, 12.2, 12.3)...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, w := range r.Warnings {
				found = found || w.Kind == tt.kind && strings.Contains(w.Text, tt.want)
			}
			if !found {
				t.Errorf("no warning of %q with %q in %+v", tt.kind, tt.want, r.Warnings)
			}
			if (r.NoWinner != "") != (tt.kind == WarnSaturated) {
				t.Errorf("no winner: %q", r.NoWinner)
			}
		})
	}
}

// A drift over the run order is seen, and a difference between the sides isn't taken for one.
func TestDrift(t *testing.T) {
	var a, b []made
	for i := range 6 {
		a = append(a, made{ms: 10 + float64(2*i), at: 2 * i})
		b = append(b, made{ms: 11 + float64(2*i), at: 2*i + 1})
	}
	r, err := Compare(side(t, a...), side(t, b...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	warned := func(r *Result) bool {
		for _, w := range r.Warnings {
			if w.Kind == WarnDrift {
				return true
			}
		}
		return false
	}
	if !warned(r) {
		t.Errorf("no warning of a drift: %+v", r.Drifts)
	}
	for i := range a {
		a[i].ms, b[i].ms = 10+0.1*float64(i*i%5), 20+0.1*float64(i*i*i%5)
	}
	if r, err = Compare(side(t, a...), side(t, b...), Options{}); err != nil || warned(r) {
		t.Errorf("a difference is taken for a drift: %v %+v", err, r.Drifts)
	}
}

func TestInterleaving(t *testing.T) {
	for order, want := range map[string]bool{
		"AB": true, "ABBA": true, "ABABAB": true, "AABB": false, "AAABBB": false, "BBBBBAAAAA": false, "ABBAABBA": true, "AAAABBBBAAAABBBB": false, "AABBABAB": true,
	} {
		if got := interleaved(order); got != want {
			t.Errorf("%s: interleaved %v, want %v", order, got, want)
		}
	}
}

// Ctrl-C leaves blocks of which one run is missing.
func TestIncompleteBlocksAreLeftOut(t *testing.T) {
	a, b := inBlocks(taking(0, 10, 11, 12), result.SideA), inBlocks(taking(1, 12, 13), result.SideB)
	r, err := Compare(side(t, a...), side(t, b...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.A.Runs) != 2 || len(r.B.Runs) != 2 || len(r.Design.Unpaired) != 1 || r.Design.Unpaired[0] != "run-4-2.json" {
		t.Errorf("design %+v of %d and %d runs", r.Design, len(r.A.Runs), len(r.B.Runs))
	}
}

func TestValuesOfARun(t *testing.T) {
	thousand := made{ms: 10}
	for _, tt := range []struct {
		name    string
		m       made
		measure Measure
		want    float64
		usable  bool
	}{
		{"median", thousand, Measure{Key: Key{MetricDuration, Accepted}, Statistic: P50}, 10, true},
		{"p99 of a thousand", thousand, Measure{Key: Key{MetricDuration, Accepted}, Statistic: P99}, 10.49, true},
		{"p99 of fewer", made{ms: 10, n: 999}, Measure{Key: Key{MetricDuration, Accepted}, Statistic: P99}, 10.49, false},
		{"p99 with 11 dropped", made{ms: 10, change: func(r *result.Record) { r.Load.IterationsDropped = 11 }}, Measure{Key: Key{MetricDuration, Accepted}, Statistic: P99}, math.Inf(1), false},
		{"p99 with 9 dropped", made{ms: 10, change: func(r *result.Record) { r.Load.IterationsDropped = 9 }}, Measure{Key: Key{MetricDuration, Accepted}, Statistic: P99}, 10.49, true},
		{"mean with dropped", made{ms: 10, change: func(r *result.Record) { r.Load.IterationsDropped = 1 }}, Measure{Key: Key{MetricDuration, Accepted}, Statistic: Mean}, math.Inf(1), false},
		{"one outcome alone", made{ms: 10, deferred: 400}, Measure{Key: Key{MetricDuration, Deferred}, Statistic: P50}, 10, true},
		{"share deferred", made{ms: 10, deferred: 50}, Measure{Share: ShareDeferred}, 0.05, true},
		{"share failed", made{ms: 10, deferred: 50}, Measure{Share: ShareFailed}, 0.05, true},
		{"nothing of it", thousand, Measure{Key: Key{"smtp_conn_auth", Any}, Statistic: P50}, math.NaN(), false},
	} {
		v := side(t, tt.m).Runs[0].Value(tt.measure)
		same := v.V == tt.want || math.IsNaN(v.V) && math.IsNaN(tt.want) || math.Abs(v.V-tt.want) < 0.02
		if !same || v.Usable() != tt.usable {
			t.Errorf("%s: %+v, want %v, usable %v", tt.name, v, tt.want, tt.usable)
		}
	}
	v := side(t, made{ms: 10, n: 10_000}).Runs[0].Value(Measure{Key: Key{MetricDuration, Accepted}, Statistic: P999})
	if math.Abs(v.RoomLo-0.9983) > 1e-4 || math.Abs(v.RoomHi-0.9997) > 1e-4 {
		t.Errorf("p99.9 of 10,000 spans %v to %v", v.RoomLo, v.RoomHi)
	}
}

// A side that rejects half of its messages at once is not the faster one, unless one looks at those alone that it accepted.
func TestWhoRejectsFasterIsNotFaster(t *testing.T) {
	var a, b []made
	for i := range 5 {
		a = append(a, made{ms: 10 + float64(i)/10, at: 2 * i, n: 4000})
		b = append(b, made{ms: 9 + float64(i)/10, at: 2*i + 1, n: 4000, deferred: 2400})
	}
	r, err := Compare(side(t, a...), side(t, b...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := row(t, r, "p50(msg_duration)"); got.Verdict != Less {
		t.Errorf("of the accepted: %s", got.Verdict)
	}
	p50 := r.Acceptance.Rows[0]
	if p50.Verdict != Greater || !math.IsInf(p50.MedianB, 1) || !math.IsNaN(p50.Shift.Estimate) {
		t.Errorf("time to acceptance: %s, median %v, shift %v; want greater by ranks alone, never", p50.Verdict, p50.MedianB, p50.Shift.Estimate)
	}
	// 40% of B come before all of A, 60% never.
	if math.Abs(r.Acceptance.Later-0.6) > 0.03 || math.Abs(r.Acceptance.ShareB-0.4) > 1e-9 {
		t.Errorf("later in %v, accepted %v", r.Acceptance.Later, r.Acceptance.ShareB)
	}
}

func TestErrorDistributions(t *testing.T) {
	var a, b, c []made
	for i := range 6 {
		a = append(a, made{ms: 10, at: 3 * i, deferred: 50 + i%3})
		b = append(b, made{ms: 10, at: 3*i + 1, deferred: 70 + i%3})
		c = append(c, made{ms: 10, at: 3*i + 2, deferred: 50 + (i+1)%3})
	}
	r, err := Compare(side(t, a...), side(t, b...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// 2 of the 924 splits of 6 and 6 are as far apart.
	if e := r.Errors; !e.Differs || !e.Exact || math.Abs(e.P-2.0/924) > 1e-9 || e.Classes[0].Class != (Class{"message", 451}) || math.Abs(e.Kinds[Temporary][1]-0.071) > 1e-9 {
		t.Errorf("2 points of 451: %+v", e)
	}
	if got := row(t, r, "share(deferred)"); got.Verdict != Greater || math.Abs(got.Shift.Estimate-0.02) > 1e-3 {
		t.Errorf("share deferred: %s by %+v", got.Verdict, got.Shift)
	}
	if r, err = Compare(side(t, a...), side(t, c...), Options{}); err != nil || r.Errors.Differs {
		t.Errorf("the same shares differ: %v %+v", err, r.Errors)
	}
}

func TestTheWarmUpStaysOut(t *testing.T) {
	h := func(ms float64, n uint64) *result.Histogram {
		x := &result.Histogram{}
		x.RecordN(ms, n)
		return x
	}
	m := made{ms: 1, change: func(r *result.Record) {
		total := h(100, 50)
		total.Merge(h(10, 200))
		r.Client.Series = []result.Series{{Metric: MetricDuration, Type: result.Trend, Unit: result.UnitMillis, Tags: result.Tags{"code": "250"}, Histogram: total},
			{Metric: MetricFailed, Type: result.Rate, Fails: 250}}
		r.Client.Windows = []result.Window{
			{Start: epoch, LengthSeconds: 1, Series: []result.WindowSeries{{Index: 0, Histogram: h(100, 50)}, {Index: 1, Fails: 50}}},
			{Start: epoch.Add(time.Second), LengthSeconds: 1, Series: []result.WindowSeries{{Index: 0, Histogram: h(10, 100)}, {Index: 1, Fails: 100}}},
			{Start: epoch.Add(2 * time.Second), LengthSeconds: 1, Series: []result.WindowSeries{{Index: 0, Histogram: h(10, 100)}, {Index: 1, Fails: 100}}},
		}
	}}
	r, err := Reduce("x", m.record(), time.Second, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Value(Measure{Key: Key{MetricDuration, Accepted}, Statistic: Mean}); got.N != 200 || got.V != 10 || r.Attempts != 200 {
		t.Errorf("mean %+v of %d messages, want 10 of 200", got, r.Attempts)
	}
	if _, err := Reduce("x", m.record(), time.Minute, false); err == nil || !strings.Contains(err.Error(), "x: all of it is within the warm-up of 1m0s") {
		t.Errorf("all is warm-up: %v", err)
	}
}
