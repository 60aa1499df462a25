package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
