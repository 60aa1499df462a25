package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// filesOf makes the directory of a run of the examples of sink/reconcile.
func filesOf(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		from, to, renamed := strings.Cut(name, ">")
		if !renamed {
			to = from
		}
		text, err := os.ReadFile(filepath.Join("..", "..", "sink", "reconcile", "testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestJudge(t *testing.T) {
	all := filesOf(t, "sent.jsonl", "ledger.jsonl", "queue.jsonl", "dsn.jsonl", "incidents.jsonl", "mta.jsonl")
	blind := filesOf(t, "sent.jsonl", "ledger.jsonl>ledger-1.jsonl", "dsn.jsonl")
	elsewhere := filesOf(t, "sent.jsonl", "dsn.jsonl")
	units := filepath.Join(t.TempDir(), "units.jsonl")
	const twoLost = "FAULTS in 8 units: 2 lost, 1 duplicated\n"
	for _, test := range []struct {
		name   string
		args   []string
		status int
		out    string
		err    string
	}{
		{"all files", []string{all, "--units", units}, 1, "FAULTS in 8 units: 1 lost, 1 duplicated; 1 still queued\n", ""},
		{"the queue is unseen", []string{blind}, 1, "FAULTS in 8 units: 1 duplicated; 2 more undetermined\n", ""},
		{"the ledger lies elsewhere", []string{elsewhere, "--ledger", filepath.Join(all, "ledger.jsonl")}, 1, "FAULTS in 8 units: 1 duplicated; 2 more undetermined\n", ""},
		{"what fails is chosen", []string{blind, "--fail-on", "lost,undetermined"}, 3, "2 more undetermined", ""},
		{"an empty queue is given", []string{blind, "--queue", os.DevNull}, 1, twoLost, ""},
		{"as JSON", []string{all, "--json", "--fail-on", "none"}, 0, `"lost": 1`, ""},
		{"not a run", []string{t.TempDir()}, 2, "", "sent.jsonl: no such file or directory"},
		{"no directory", []string{filepath.Join(all, "nowhere")}, 2, "", "nowhere: no such file or directory"},
		{"a bad file", []string{all, "--incidents", filepath.Join(all, "sent.jsonl")}, 2, "", `sent.jsonl:1: key "what": missing`},
		{"over an input", []string{all, "--units", filepath.Join(all, "sent.jsonl")}, 2, "", "is an input"},
		{"an unknown name", []string{all, "--fail-on", "loss"}, 2, "", `unknown name "loss"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errs, status := smtpbench(t, t.TempDir(), append([]string{"judge"}, test.args...)...)
			if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errs, test.err) {
				t.Errorf("status %d, want %d\nstdout (want %q):\n%s\nstderr (want %q):\n%s", status, test.status, test.out, out, test.err, errs)
			}
		})
	}
	text, err := os.ReadFile(units)
	if err != nil || strings.Count(string(text), "\n") != 8 || strings.Count(string(text), `"fate":"lost"`) != 1 {
		t.Errorf("%v, units:\n%s", err, text)
	}
}

// Several generators that took a load together are judged by their records, too: one that left none has not carried out its part, and the
// verdict is never sound.
func TestJudgeOfSeveralGenerators(t *testing.T) {
	record := func(change func(*result.Load)) *result.Record {
		r := result.New("part")
		r.Client = &result.Client{Tool: "k6"}
		if change != nil {
			change(&r.Load)
		}
		return r
	}
	broke := func(l *result.Load) { l.Stopped = "k6 ended the test early: interrupted" }
	half := func(l *result.Load) { l.Segments = []string{"0:1/2"} }
	crossed := func(l *result.Load) {
		l.Thresholds = []result.Threshold{{Metric: "smtp_messages", Expression: "count>9"}}
	}
	for name, test := range map[string]struct {
		records map[string]*result.Record
		claims  []string
		status  int
		out     string
	}{
		"no records":                  {nil, []string{"sent-1.jsonl", "sent-2.jsonl"}, 0, "8 units"},
		"all have theirs":             {map[string]*result.Record{"run-1.json": record(nil), "run-2.json": record(nil)}, []string{"sent-1.jsonl", "sent-2.jsonl"}, 0, "8 units"},
		"one has none":                {map[string]*result.Record{"run-1.json": record(nil)}, []string{"sent-1.jsonl", "sent-2.jsonl"}, 3, "the generator of sent-2.jsonl has left no record"},
		"one has none, others merged": {map[string]*result.Record{"run-1.json": record(nil), "run.json": record(nil)}, []string{"sent-1.jsonl", "sent-2.jsonl"}, 3, "sent-2.jsonl"},
		"one left nothing at all":     {map[string]*result.Record{"run-1.json": record(half), "run-3.json": record(half)}, []string{"sent-1.jsonl"}, 3, "execution segment 1/2:1 has left no record"},
		"one ended early":             {map[string]*result.Record{"run-1.json": record(nil), "run-2.json": record(broke)}, nil, 3, "k6 ended the test early: interrupted"},
		"the merged one ended early":  {map[string]*result.Record{"run.json": record(broke)}, nil, 3, "k6 ended the test early: interrupted"},
		"a threshold is crossed":      {map[string]*result.Record{"run.json": record(crossed)}, nil, 99, "smtp_messages count>9"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filesOf(t, "sent.jsonl", "ledger.jsonl", "queue.jsonl", "dsn.jsonl", "incidents.jsonl", "mta.jsonl")
			for name, r := range test.records {
				if err := r.Write(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range test.claims {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, errs, status := smtpbench(t, t.TempDir(), "judge", dir, "--fail-on", "undetermined,thresholds")
			if said := strings.Join(strings.Fields(out), " "); status != test.status || !strings.Contains(said, test.out) {
				t.Errorf("status %d, want %d\nstdout (want %q):\n%s\nstderr:\n%s", status, test.status, test.out, out, errs)
			}
		})
	}
	dir := filesOf(t, "sent.jsonl", "ledger.jsonl")
	if err := os.WriteFile(filepath.Join(dir, "run-2.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := smtpbench(t, t.TempDir(), "judge", dir); status != 2 || !strings.Contains(errs, "run-2.json") {
		t.Errorf("a record that is half written: status %d, %s; want 2 and its name", status, errs)
	}
}
