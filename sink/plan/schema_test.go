package plan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

const schemaPath = "../../docs/plan.schema.json"

// generated returns the JSON Schema of the plan format.
func generated(t testing.TB) string {
	t.Helper()
	text, err := plan.Schema()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSchemaIsPublished compares the schema in docs/ with the one that the format's definition gives.
func TestSchemaIsPublished(t *testing.T) {
	golden(t, schemaPath, generated(t))
}

func compiled(t testing.TB) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(strings.NewReader(generated(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("plan.schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON returns YAML as the validator wants it.
func asJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := yaml.Load([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return plainJSON(v)
}

func plainJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, value := range v {
			m[k] = plainJSON(value)
		}
		return m
	case map[any]any:
		m := map[string]any{}
		for k, value := range v {
			m[fmt.Sprint(k)] = plainJSON(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plainJSON(v[i])
		}
		return list
	case time.Time:
		return v.Format(time.RFC3339)
	case int:
		return json.Number(fmt.Sprint(v))
	case float64:
		return json.Number(fmt.Sprint(v))
	}
	return v
}

// TestSchemaAcceptsPlans checks every shipped plan, and the one of the package comment: as they are, and as Encode writes them.
func TestSchemaAcceptsPlans(t *testing.T) {
	s := compiled(t)
	plans := map[string]string{"doc.go": exampleOfDoc(t)}
	paths, err := plan.ShippedPlans()
	if err != nil || len(paths) == 0 {
		t.Fatal("no plans", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		plans[path] = string(text)
	}
	for name, text := range plans {
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f, err := plan.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(asJSON(t, string(plan.Encode(f.Spec)))); err != nil {
			t.Errorf("%s, in its canonical form: %v", name, err)
		}
	}
}

// TestSchemaAcceptsWhatTheDecoderAccepts: what people write without quotes, or with.
func TestSchemaAcceptsWhatTheDecoderAccepts(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		"version: 1\nname: 2026", "version: 1\nname: true", rules("{stage: rcpt, reply: {code: 450, text: 42}}"), rules("{stage: rcpt, reply: '450'}"),
		rules("{stage: rcpt, match: {attempt: '2'}, reply: 450}"), rules("{stage: message, match: {header: {x-priority: 1}}, reply: 554}"),
		"version: 1\nlisteners: [{name: 1, address: '127.0.0.1:0', max_size: '1000'}]", rules("{stage: [mail, rcpt], reply: 451}"),
		rules("{stage: message, mode: {name: bounce, weights: {450: 3}}}"), "version: 1\nplain: {connect: 1}", "version: 1\nlimits: [{name: 1, kind: size, max: '10'}]",
	} {
		if _, err := plan.Parse("x.yaml", []byte(text)); err != nil {
			t.Errorf("the decoder: %v", err)
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%q: the schema: %v", text, err)
		}
	}
}

// TestSchemaRefusesWhatTheDecoderRefuses: the mistakes that an editor should show while typing.
func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		"name: no version", "version: 2", "version: 1\nweather: bad", "version: 1\nstart: soon",
		rules("{reply: 450}"), rules("{stage: lunch}"), rules("{stage: rcpt, reply: 600}"), rules("{stage: rcpt, reply: 550/1.1.1}"),
		rules("{stage: rcpt, outcomes: []}"), rules("{stage: rcpt, outcomes: [{weight: -1}]}"), rules("{stage: rcpt, mode: angry}"),
		rules("{stage: rcpt, delay: soon}"), rules("{stage: rcpt, key: house}"), rules("{stage: rcpt, match: {attempt: 0}}"),
		rules("{stage: rcpt, close: bang}"), rules("{stage: rcpt, close: {when: after}}"), rules("{stage: rcpt, dribble: {octets: 0, every: 1s}}"),
		rules("{stage: rcpt, split: {packets: 1}}"), rules("{stage: rcpt, malformed: much}"), rules("{stage: message, delivery: lose}"),
		rules("{stage: starttls, tls: weak}"), rules("{stage: data, body: {after: -1, close: fin}}"),
		"version: 1\nlimits: [{name: l}]", "version: 1\nlimits: [{name: l, kind: size, max: big}]", "version: 1\nlimits: [{name: l, kind: rate, rate: 1/d}]",
		"version: 1\nlimits: [{name: l, kind: size, max: 1, reply: 250}]", "version: 1\nlisteners: [{name: a}]",
		"version: 1\nlistener_faults: {a: tired}", "version: 1\nphases: [{name: p, duration: long}]", "version: 1\nphases: [{phases: []}]",
		"version: 1\nphases: [{name: p, duration: 1s, ramp: {from: 2}, rules: [{stage: rcpt}]}]",
		`version: "1"`, "version: 1\nrestart: 'true'", "version: 1\nseed: -1", "version: 1\nseed: '7'", rules(`{stage: rcpt, outcomes: [{weight: "2"}]}`),
		"version: 1\nplain: {lunch: bon appetit}", "version: 1\nplain: {}", rules("{stage: []}"), rules("{stage: [rcpt, rcpt]}"), rules("{stage: rcpt, mode: {name: bounce, weights: {999: 1}}}"),
		"version: 1\nlisteners: [{name: a, address: '127.0.0.1:0', limits: {rcptmax: 0}}]",
	} {
		if _, err := plan.Parse("x.yaml", []byte(text)); err == nil {
			t.Errorf("%q: the decoder takes it", text)
		}
		if s.Validate(asJSON(t, text)) == nil {
			t.Errorf("%q: the schema takes it", text)
		}
	}
}
