package result

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// generatorAt is the record of one of several generators.
func generatorAt(start time.Time, client Client) *Record {
	r := New("storm")
	r.Provenance = Provenance{Started: start, Ended: start.Add(10 * time.Second), Cores: 4, Versions: map[string]string{"k6": "v2.2.0"}}
	r.Load = Load{Script: "storm.js", ScriptSHA256: "ab", Executor: "constant-arrival-rate"}
	r.Client = &client
	return r
}

// TestMergeLosesNothing spreads the same values over several generators: together they say what one would have said.
func TestMergeLosesNothing(t *testing.T) {
	const seed, generators, values = 20, 3, 3000
	random := rand.New(rand.NewPCG(seed, seed))
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	codes := []string{"250", "450", "550"}
	fresh := func() Client {
		var c Client
		for _, code := range codes {
			c.Series = append(c.Series, Series{Metric: "smtp_msg_waiting", Type: Trend, Unit: UnitMillis, Tags: Tags{"code": code}, Histogram: &Histogram{}},
				Series{Metric: "smtp_replies", Type: Counter, Tags: Tags{"code": code}, Stats: &Summary{}})
		}
		c.Series = append(c.Series, Series{Metric: "smtp_msg_failed", Type: Rate})
		return c
	}
	one := fresh()
	parts := make([]Client, generators)
	for i := range parts {
		parts[i] = fresh()
	}
	for range values {
		ms, code := float64(random.IntN(200<<10))/1024, random.IntN(len(codes)) // sums of such are exact, in any order
		for _, c := range []*Client{&one, &parts[random.IntN(generators)]} {
			c.Series[2*code].Histogram.Record(ms)
			c.Series[2*code+1].Stats.Add(1)
			if code == 0 {
				c.Series[2*len(codes)].Fails++
			} else {
				c.Series[2*len(codes)].Passes++
			}
		}
	}
	// Generators don't agree on the order of their series.
	last := &parts[generators-1].Series
	(*last)[0], (*last)[5] = (*last)[5], (*last)[0]
	var records []*Record
	var before [][]byte
	for i := range parts {
		for j := range parts[i].Series { // as k6-operator does
			s := &parts[i].Series[j]
			s.Tags = maps.Clone(s.Tags)
			if s.Tags == nil {
				s.Tags = Tags{}
			}
			s.Tags["instance_id"], s.Tags["testrun_name"] = strconv.Itoa(i+1), "storm"
		}
		records = append(records, generatorAt(start.Add(time.Duration(i)*time.Second), parts[i]))
		before = append(before, encodedRecord(t, records[i]))
	}
	merged, err := Merge(records...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encodedRecord(t, &Record{Schema: Schema, Client: &Client{Series: merged.Client.Series}}), encodedRecord(t, &Record{Schema: Schema, Client: &one}); !bytes.Equal(got, want) {
		t.Errorf("seed %d: merged:\n%.2000s\nwant:\n%.2000s", seed, got, want)
	}
	for i := range records {
		if !bytes.Equal(before[i], encodedRecord(t, records[i])) {
			t.Errorf("record %d was changed", i)
		}
	}
	if p := merged.Provenance; !p.Started.Equal(start) || !p.Ended.Equal(start.Add((generators-1+10)*time.Second)) {
		t.Errorf("the run lasted from %v to %v", p.Started, p.Ended)
	}
}

func encodedRecord(t *testing.T, r *Record) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMergeWindows puts windows of generators that started apart on one grid, by where their middles lie.
func TestMergeWindows(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	client := func(offset time.Duration, values ...float64) Client {
		c := Client{Series: []Series{{Metric: "m", Type: Trend, Unit: UnitMillis, Histogram: recorded(values...)}}}
		for i, v := range values {
			if v > 0 { // a window without a value is left out
				c.Windows = append(c.Windows, Window{Start: start.Add(offset + time.Duration(i)*time.Second), LengthSeconds: 1, Series: []WindowSeries{{Histogram: recorded(v)}}})
			}
		}
		return c
	}
	merged, err := Merge(generatorAt(start, client(400*time.Millisecond, 1, 2, 3)), generatorAt(start, client(0, 10, 20, 30, 40)), generatorAt(start, client(700*time.Millisecond, 100, 0, 300)))
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for i, w := range merged.Client.Windows {
		if want := start.Add(time.Duration(i) * time.Second); !w.Start.Equal(want) || w.LengthSeconds != 1 {
			t.Errorf("window %d starts at %v and lasts %g s, want %v and 1 s", i, w.Start, w.LengthSeconds, want)
		}
		got = append(got, w.Series[0].Summary().Sum)
	}
	// 700 ms late, the third generator's windows have their middles in the next one.
	if want := []float64{11, 122, 33, 340}; !reflect.DeepEqual(got, want) {
		t.Errorf("sums of the windows %v, want %v", got, want)
	}
}

// TestMergedCPUs: what generators on several machines used is held against each machine's own CPUs; on one machine it adds up.
func TestMergedCPUs(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		machines []string
		cpu      []float64 // seconds of 10, of 2 cores
		want     float64
	}{
		{"three machines", []string{"a", "b", "c"}, []float64{8, 10, 8}, 0.5},
		{"one machine", []string{"a", "a", "a"}, []float64{4, 6, 8}, 0.9},
		{"two on one of two machines", []string{"a", "b", "a"}, []float64{6, 9, 6}, 0.6},
		{"nobody knows", []string{"", "", ""}, []float64{8, 10, 8}, 0.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var records []*Record
			for i, cpu := range tt.cpu {
				r := generatorAt(start, Client{Process: &Process{CPUSeconds: cpu, WallSeconds: 10}})
				r.Provenance.Cores, r.Provenance.Machine = 2, tt.machines[i]
				records = append(records, r)
			}
			merged, err := Merge(records...)
			if err != nil {
				t.Fatal(err)
			}
			// Merged again with one of another machine, it is still that of the busiest.
			idle := generatorAt(start, Client{Process: &Process{CPUSeconds: 1, WallSeconds: 10}})
			idle.Provenance.Cores, idle.Provenance.Machine = 2, "d"
			again, err := Merge(idle, merged)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []*Record{merged, again} {
				if got := r.Client.Process.CPUShare(r.Provenance.Cores); math.Abs(got-tt.want) > 1e-9 {
					t.Errorf("%v of the CPUs, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestMergeLoad(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	held, crossed, killed := 0, ThresholdsCrossed, 137
	a, b, c := generatorAt(start, Client{}), generatorAt(start, Client{}), generatorAt(start, Client{})
	a.Load.VUs, a.Load.RatePerSecond, a.Load.IterationsPlanned, a.Load.MessageSizeBytes, a.Load.ExitStatus = 10, 100, 1000, 1024, &held
	b.Load.VUs, b.Load.RatePerSecond, b.Load.IterationsPlanned, b.Load.MessageSizeBytes, b.Load.ExitStatus = 20, 200, 2000, 1024, &crossed
	c.Load.VUs, c.Load.RatePerSecond, c.Load.IterationsPlanned, c.Load.MessageSizeBytes, c.Load.ExitStatus = 30, 300, 3000, 2048, &killed
	a.Load.IterationsDropped, c.Load.IterationsDropped = 5, 7
	failed := Threshold{Metric: "smtp_msg_failed", Expression: "rate<0.5", OK: true}
	waiting := Threshold{Metric: "smtp_msg_waiting", Expression: "p(95)<200", OK: true}
	a.Load.Thresholds, b.Load.Thresholds = []Threshold{failed, waiting}, []Threshold{failed}
	failed.OK = false
	c.Load.Thresholds = []Threshold{failed, waiting}
	a.Warn("clock was set")
	b.Client.Process, c.Client.Process = &Process{CPUSeconds: 1, WallSeconds: 9, MaxRSSBytes: 100}, &Process{CPUSeconds: 2, WallSeconds: 8, MaxRSSBytes: 50}
	c.Provenance.Cores, c.Provenance.Versions = 8, map[string]string{"k6": "v2.3.0"}
	c.Load.ScriptSHA256, c.Load.Script = "cd", "other.js"

	merged, err := Merge(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	l := merged.Load
	if l.VUs != 60 || l.RatePerSecond != 600 || l.IterationsPlanned != 6000 || l.IterationsDropped != 12 || l.MessageSizeBytes != 0 {
		t.Errorf("load %+v", l)
	}
	if *l.ExitStatus != killed {
		t.Errorf("exit status %d: a generator that was killed is worse than a threshold that was crossed", *l.ExitStatus)
	}
	if want := []Threshold{failed, waiting}; !reflect.DeepEqual(l.Thresholds, want) {
		t.Errorf("thresholds %+v, want %+v", l.Thresholds, want)
	}
	if want := (&Process{CPUSeconds: 3, WallSeconds: 9, MaxRSSBytes: 150, Share: 2.0 / 8 / 8}); !reflect.DeepEqual(merged.Client.Process, want) {
		t.Errorf("process %+v, want %+v", merged.Client.Process, want)
	}
	for _, want := range []string{"clock was set", "different kinds", "differ in k6: v2.2.0 and v2.3.0", "different scripts: storm.js and other.js"} {
		if !strings.Contains(strings.Join(merged.Warnings, "\n"), want) {
			t.Errorf("no warning says %q: %q", want, merged.Warnings)
		}
	}
	if len(merged.Notes) != 1 || !strings.Contains(merged.Notes[0], "3 generators") {
		t.Errorf("notes %q", merged.Notes)
	}
	if len(a.Load.Thresholds) != 2 || !a.Load.Thresholds[0].OK {
		t.Errorf("the first record's thresholds were changed: %+v", a.Load.Thresholds)
	}
}

func TestMergeRefuses(t *testing.T) {
	now := time.Now()
	trend := generatorAt(now, Client{Series: []Series{{Metric: "m", Type: Trend, Unit: UnitMillis}}})
	counter := generatorAt(now, Client{Series: []Series{{Metric: "m", Type: Counter}}})
	for _, tt := range []struct {
		records []*Record
		want    string
	}{
		{nil, "no records"},
		{[]*Record{trend, New("half")}, `record "half" has no client part`},
		{[]*Record{trend, counter}, "metric m is a trend ms in one record and a counter in another"},
	} {
		if _, err := Merge(tt.records...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want an error that says %q", err, tt.want)
		}
	}
	if alone, err := Merge(trend); err != nil || alone != trend {
		t.Errorf("one record alone: %v, %v", alone, err)
	}
}
