package ledger

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
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
		check("with a surplus key")
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

func TestExamplesFollowTheirSchemas(t *testing.T) {
	for file, name := range map[string]string{"sent.jsonl": "ledger-sent", "queue.jsonl": "ledger-queue", "dsn.jsonl": "ledger-dsn", "ledger.jsonl": "ledger-row"} {
		s := schema(t, name+".schema.json")
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if err := valid(t, s, []byte(line)); err != nil {
				t.Errorf("%s:%d: %v", file, i+1, err)
			}
		}
	}
}

func TestInputSchemasRefuseWhatTheReadersRefuse(t *testing.T) {
	for name, lines := range map[string][]string{
		"ledger-sent.schema.json":  {`{"recipient":"r"}`, `{"token":"","recipient":"r"}`, `{"token":"a"}`, `{"token":"a","recipient":1}`},
		"ledger-queue.schema.json": {`{"recipient":"r"}`, `{"token":"a"}`},
		"ledger-dsn.schema.json":   {`{"recipient":"r"}`, `{"recipient":"r","action":"bounced"}`, `{"recipient":"r","action":"failed","status":"550"}`},
	} {
		s := schema(t, name)
		for _, line := range lines {
			var err error
			in := strings.NewReader(line)
			switch name {
			case "ledger-sent.schema.json":
				err = ReadSent(in, "f", func(*Sent) error { return nil })
			case "ledger-queue.schema.json":
				err = ReadQueue(in, "f", func(*Queued) error { return nil })
			default:
				err = ReadNotifications(in, "f", func(*Notification) error { return nil })
			}
			if valid(t, s, []byte(line)) == nil || err == nil {
				t.Errorf("%s takes %s, or the reader does: %v", name, line, err)
			}
		}
	}
}
