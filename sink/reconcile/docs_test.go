package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("..", "..", "docs", name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, line []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return s.Validate(value)
}

// TestDocumentNamesEverything holds docs/reconciliation.md to the fates and findings of the code.
func TestDocumentNamesEverything(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reconciliation.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for f := range NumFates {
		names = append(names, Fate(f).String())
	}
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	for _, keys := range []string{incidentWhats, incidentWhos, logEvents} {
		names = append(names, strings.Fields(keys)...)
	}
	for _, name := range names {
		if !strings.Contains(string(text), name) {
			t.Errorf("docs/reconciliation.md does not name %s", name)
		}
	}
}

// example opens a file of testdata.
func example(t *testing.T, name string) ledger.Input {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Input{Name: name, R: bytes.NewReader(text)}
}

// TestExamples judges the example files, and holds all files to their schemas.
func TestExamples(t *testing.T) {
	writeExampleLedger(t)
	var units bytes.Buffer
	got, err := Reconcile(Inputs{
		Claims: example(t, "sent.jsonl"), Ledgers: []ledger.Input{example(t, "ledger.jsonl")}, Queue: example(t, "queue.jsonl"), DSNs: example(t, "dsn.jsonl"),
		Incidents: example(t, "incidents.jsonl"), Log: example(t, "mta.jsonl"), Units: &units,
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := got.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "reconcile.txt", text.String())
	golden(t, "units.jsonl", units.String())
	asJSON, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.json", string(asJSON)+"\n")
	if err := valid(t, schema(t, "summary"), asJSON); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"sent", "queue", "dsn", "incidents", "mta", "units", "ledger"} {
		s := schema(t, strings.Replace(name, "ledger", "ledger-row", 1))
		lines, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
			if err := valid(t, s, line); err != nil {
				t.Errorf("%s.jsonl:%d: %v", name, i+1, err)
			}
		}
	}
}

// writeExampleLedger writes the ledger of the examples, with UPDATE_GOLDEN=1: all that can stand in one.
func writeExampleLedger(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("s+run-%d@src.bench.test", i) }
	to := func(i int) string { return fmt.Sprintf("r%d@a.bench.test", i) }
	b := newHistory().message(1, 1, "run-1", "", 0).attempt(1, 1, name(1), to(1), 250)
	b.attempt(1, 2, name(2), to(2), 250).attempt(1, 2, name(2), "r2@b.bench.test", 250, unsent, kept).close(1, yes)
	b.attempt(2, 1, name(2), "r2@b.bench.test", 250).attempt(2, 2, name(3), to(3), 250).attempt(2, 3, name(3), to(3), 250).attempt(2, 4, name(4), to(4), 550, atRcpt).close(2, yes)
	b.run("run-2").mail(1, 1, name(5), 450).attempt(1, 2, name(5), to(5), 450, atRcpt).attempt(1, 3, name(6), to(6), 450, atRcpt).attempt(1, 4, name(7), to(7), 450, atRcpt)
	b.attempt(1, 5, "postmaster@else.example", "who@a.bench.test", 250).attempt(1, 6, "", name(4), 250).told(1, 6, name(4), may).close(1, yes)
	b.add(event.Row{Kind: event.KindPhase, Phase: event.Phase{Time: at(b.clock), Phase: "recovery"}}).add(event.Row{Kind: event.KindStop, Stop: event.Stop{Time: at(b.clock)}})
	var text []byte
	for i := range b.rows {
		text = ledger.Append(text, &b.rows[i])
	}
	golden(t, "ledger.jsonl", string(text))
}

// golden compares with a file of testdata, which UPDATE_GOLDEN=1 writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (UPDATE_GOLDEN=1 rewrites it):\n got:\n%s\nwant:\n%s", path, got, want)
	}
}
