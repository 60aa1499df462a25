package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// example returns the path of an example that sink/ledger keeps.
func example(name string) string { return filepath.Join("..", "..", "ledger", "testdata", name) }

func TestLedgerReconcile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	arrived := write("arrived.jsonl", `{"token":"s+run-1@src.bench.test","recipient":"r1@a.bench.test"}`+"\n")
	misspelt := write("misspelt.jsonl", "\n"+`{"token":"s+run-1@src.bench.test","recipent":"r1@a.bench.test"}`+"\n")
	torn := write("torn.jsonl", "hello")
	tests := []struct {
		name   string
		args   []string
		status int
		out    string
		err    string
	}{
		{"something is lost", []string{"reconcile", example("ledger.jsonl"), "--sent", example("sent.jsonl"), "--queue", example("queue.jsonl"), "--dsn", example("dsn.jsonl")},
			exitFailed, "NOT CLEAN: 1 lost, 1 duplicated without explanation", "smtpsink: 1 lost, 1 duplicated without explanation\n"},
		{"all arrived", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived}, 0, "clean: nothing lost", ""},
		{"no claims", []string{"reconcile", example("ledger.jsonl")}, exitUsage, "", "--sent FILE is missing"},
		{"no ledger", []string{"reconcile", "--sent", arrived}, exitUsage, "", "got 0 files, want one"},
		{"missing file", []string{"reconcile", example("ledger.jsonl"), "--sent", "nowhere.jsonl"}, exitUsage, "", "nowhere.jsonl: no such file"},
		{"key misspelt", []string{"reconcile", example("ledger.jsonl"), "--sent", misspelt}, exitUsage, "", misspelt + `:2: key "recipient": missing`},
		{"not a ledger", []string{"summarize", torn}, exitUsage, "", torn + ":1: not a ledger"},
		{"no command", nil, exitUsage, "", "valid: summarize reconcile"},
		{"summary", []string{"summarize", example("ledger.jsonl")}, 0, "rows of kind attempt                12", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, errs, status := invoke(t, append([]string{"ledger"}, test.args...)...)
			if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errs, test.err) || strings.Count(errs, "\n") > 1 {
				t.Errorf("status %d, want %d\nstdout (want %q):\n%s\nstderr (want %q):\n%s", status, test.status, test.out, out, test.err, errs)
			}
		})
	}
}

func TestLedgerAsJSON(t *testing.T) {
	for _, args := range [][]string{
		{"ledger", "summarize", "--json", example("ledger.jsonl")},
		{"ledger", "reconcile", "--json", example("ledger.jsonl"), "--sent", example("sent.jsonl")},
	} {
		out, _, _ := invoke(t, args...)
		var value map[string]any
		if err := json.Unmarshal([]byte(out), &value); err != nil || value["runs"] != float64(2) {
			t.Errorf("%v: %v, runs %v, want 2", args, err, value["runs"])
		}
	}
}
