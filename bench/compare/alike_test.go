package compare

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

var alikeFrom = flag.String("alike-from", "", "directory of records that become testdata/alike.jsonl.gz")

const alikeFile = "testdata/alike.jsonl.gz"

// readAlike reads real runs, all of one plan and one load, that differ in their seeds alone: a record a line, without windows.
func readAlike(t *testing.T) []*Run {
	t.Helper()
	f, err := os.Open(alikeFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var runs []*Run
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		r, err := result.Decode(bytes.NewReader(lines.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		run, err := Reduce(fmt.Sprintf("line %d", len(runs)+1), r, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestWriteAlike makes the file of readAlike of records that smtpbench wrote.
func TestWriteAlike(t *testing.T) {
	if *alikeFrom == "" {
		t.Skip("only with -alike-from DIR")
	}
	paths, err := filepath.Glob(filepath.Join(*alikeFrom, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	for _, path := range paths {
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Client.Windows, r.Judgement, r.Sink = nil, nil, nil
		var line bytes.Buffer
		if err := r.Encode(&line); err != nil {
			t.Fatal(err)
		}
		_, _ = z.Write(append(bytes.ReplaceAll(bytes.TrimSpace(line.Bytes()), []byte("\n"), nil), '\n'))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(alikeFile, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Runs that don't differ are called different in at most 5% of labellings: 400 of them, of real runs. 35 is what a level of 5% exceeds in one of 300
// such tests. This checks the path from records to a verdict; the tests themselves are checked in bench/stat.
func TestRunsThatAreAlike(t *testing.T) {
	const seed, labellings, most = 20261127, 400, 35
	runs := readAlike(t)
	if len(runs) < 40 {
		t.Fatalf("%d runs, want 40", len(runs))
	}
	r := rand.New(rand.NewPCG(seed, 0))
	o := Options{}.withDefaults()
	found, untested := 0, 0
	perRow := map[string]int{}
	findable := map[design]float64{} // of one design for all labellings
	for range labellings {
		order := r.Perm(len(runs))
		a, b := &Side{}, &Side{}
		for i, j := range order {
			if i%2 == 0 {
				a.Runs = append(a.Runs, runs[j])
			} else {
				b.Runs = append(b.Runs, runs[j])
			}
		}
		p := pairing{a: a, b: b, found: findable}
		differs := false
		for _, row := range p.primary(o) {
			if row.Shift == nil {
				untested++
			}
			if row.Verdict == Less || row.Verdict == Greater {
				differs = true
				perRow[row.Name]++
			}
		}
		if differs {
			found++
		}
	}
	t.Logf("seed %d: %d of %d labellings of %d runs differ (%v); %d rows were not tested", seed, found, labellings, len(runs), perRow, untested)
	if found > most {
		t.Errorf("%d of %d labellings differ, want at most %d", found, labellings, most)
	}
	if untested > labellings { // p99 may be hidden in a run, no other row
		t.Errorf("%d rows were not tested", untested)
	}
}

// A merged record's percentile is that of the union, within the histogram's precision; counts are exact.
func TestAMergedRecordIsTheUnion(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	var all []float64
	var records []*result.Record
	attempts, failed := uint64(0), uint64(0)
	for i := range 3 {
		m := made{ms: 1, at: i, n: 10, deferred: 3}.record()
		h := m.Client.Series[1].Histogram
		h.Reset()
		for range 2000 + 500*i {
			v := 5 * math.Exp(r.NormFloat64()*float64(i+1)/2)
			h.Record(v)
			all = append(all, v)
		}
		attempts, failed = attempts+10, failed+3
		records = append(records, m)
	}
	merged, err := result.Merge(records...)
	if err != nil {
		t.Fatal(err)
	}
	run, err := Reduce("merged", merged, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	for _, s := range []Statistic{P50, P90, P95, P99} {
		got := run.Value(Measure{Key: Key{MetricDuration, Accepted}, Statistic: s}).V
		want := all[int(math.Ceil(s.Q*float64(len(all))-1e-9))-1]
		if math.Abs(got-want) > 0.001*want+0.0005 {
			t.Errorf("seed %d: %s is %v, of the union %v", seed, s, got, want)
		}
	}
	if run.Attempts != attempts || run.Failed != failed || run.Errors[Class{"message", 451}] != 9 || run.Histogram(Key{MetricDuration, Accepted}).Count() != uint64(len(all)) {
		t.Errorf("%d of %d failed, %d were answered 451", run.Failed, run.Attempts, run.Errors[Class{"message", 451}])
	}
}
