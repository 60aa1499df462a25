package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t interface{ Fatalf(string, ...any) }, s *jsonschema.Schema, line []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return s.Validate(value)
}

func TestRowsFollowTheirSchema(t *testing.T) {
	s := schema(t, "ledger-row.schema.json")
	for _, g := range goldenRows {
		if err := valid(t, s, []byte(g.line)); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		row := drawRow(t)
		if err := valid(t, s, Append(nil, &row)); err != nil {
			t.Fatalf("%v\n%s", err, Append(nil, &row))
		}
	})
}

// TestSchemaIsAsStrictAsTheDecoder takes each key away and adds one: both must refuse the same.
func TestSchemaIsAsStrictAsTheDecoder(t *testing.T) {
	s := schema(t, "ledger-row.schema.json")
	for _, g := range goldenRows {
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(g.line), &object); err != nil {
			t.Fatal(err)
		}
		check := func(what string) {
			line, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			var d decoder
			var row event.Row
			decoded, validated := d.decode(line, &row), valid(t, s, line)
			if (decoded == nil) != (validated == nil) {
				t.Errorf("%s, %s: the decoder says %v, the schema says %v", g.name, what, decoded, validated)
			}
		}
		for key, value := range object {
			delete(object, key)
			check("without " + key)
			object[key] = json.RawMessage(`[]`)
			check("with an array as " + key)
			object[key] = value
		}
		object["surplus"] = json.RawMessage(`1`)
		check("with a key of a later version")
	}
}

// TestSchemaKnowsTheKeys holds the schema's keys and stages to those of the code.
func TestSchemaKnowsTheKeys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ledger-row.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OneOf []struct {
			Properties map[string]struct {
				Const any      `json:"const"`
				Enum  []string `json:"enum"`
			} `json:"properties"`
		} `json:"oneOf"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var stages []string
	for i := range smtp.NumStages {
		stages = append(stages, smtp.Stage(i).String())
	}
	if len(doc.OneOf) != event.NumKinds {
		t.Errorf("%d kinds in the schema, %d in the code", len(doc.OneOf), event.NumKinds)
	}
	for _, one := range doc.OneOf {
		name, _ := one.Properties["kind"].Const.(string)
		if name == "" { // format 1 has another name for it
			name = one.Properties["kind"].Enum[0]
		}
		kind, err := event.ParseKind([]byte(name))
		if err != nil {
			t.Error(err)
			continue
		}
		want := []string{"kind"}
		for _, f := range rowFields[kind] {
			want = append(want, f.key)
		}
		var got []string
		for key := range one.Properties {
			got = append(got, key)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: keys in the schema %v, in the code %v", name, got, want)
		}
		if stage, ok := one.Properties["stage"]; ok && !slices.Equal(stage.Enum, stages) {
			t.Errorf("%s: stages in the schema %v, in the code %v", name, stage.Enum, stages)
		}
	}
}

// TestFormat1 reads a ledger of the version before, and what a later version might write.
func TestFormat1(t *testing.T) {
	s := schema(t, "ledger-row.schema.json")
	text, err := os.ReadFile(filepath.Join("testdata", "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		if err := valid(t, s, line); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
	}
	later := append(bytes.Clone(text), `{"kind":"climate","sky":"blue"}`+"\n"...)
	for _, text := range [][]byte{text, later} {
		got, err := Summarize(Input{"ledger.jsonl", bytes.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := got.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		golden(t, "summary.txt", out.String())
		asJSON, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "summary.json", string(asJSON)+"\n")
	}
}

// golden compares with a file of testdata, which UPDATE_GOLDEN=1 writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
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

func FuzzLedger(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "ledger.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := Summarize(Input{"file", bytes.NewReader(text)})
		var input *jsonl.InputError
		if err != nil && (!errors.As(err, &input) || input.File != "file" || bytes.ContainsRune([]byte(err.Error()), '\n')) {
			t.Errorf("not one line about the file: %q", err)
		}
	})
}
