package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	bench "github.com/smtpstorm/xk6-smtp/bench/cmd"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	sink "github.com/smtpstorm/xk6-smtp/sink/cmd"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/prometheus"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

const generatedNote = "\n<!-- Made from the code by make docs: change the code, not this page. -->\n"

// TestEveryHelpHasExamples, of 80 columns, but for commands that only hold others and those that say a version.
func TestEveryHelpHasExamples(t *testing.T) {
	for _, root := range []*cobra.Command{sink.NewCommand(os.Stdout, os.Stderr), bench.NewCommand(bench.Host{}, os.Stdout)} {
		commands(root, func(cmd *cobra.Command) {
			if cmd.Example == "" && !cmd.HasSubCommands() && cmd.Name() != "version" {
				t.Errorf("%s --help has no example", cmd.CommandPath())
			}
			for line := range strings.Lines(cmd.Example) {
				if len(strings.TrimRight(line, "\n")) > 80 {
					t.Errorf("%s --help: a line of its examples is longer than 80 columns: %s", cmd.CommandPath(), line)
				}
			}
		})
	}
}

// TestReference holds the pages of docs/reference to the code. The k6 metrics are those of the test of this name in xk6smtp.
func TestReference(t *testing.T) {
	roots := []*cobra.Command{sink.NewCommand(os.Stdout, os.Stderr), bench.NewCommand(bench.Host{}, os.Stdout)}
	for _, root := range roots {
		testkit.Generated(t, "..", root.Name()+".md", commandPage(root))
	}
	testkit.Generated(t, "..", "exit-statuses.md", exitPage(roots))
	testkit.Generated(t, "..", "plan.md", planPage(t))
	testkit.Generated(t, "..", "control-api.md", apiPage(t))
	testkit.Generated(t, "..", "prometheus.md", prometheusPage(t))
}

// cell is text that stands in a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(text))
}

// code is text that stands as code in a cell.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func commandPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n%s\n", root.Name(), generatedNote)
	fmt.Fprintf(&b, "`%s COMMAND --help` says the same in a terminal. [Exit statuses](exit-statuses.md) are in a table of their own.\n", root.Name())
	commands(root, func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n", cmd.CommandPath())
		long := cmd.Long
		if long == "" {
			long = strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + "."
		}
		fmt.Fprintf(&b, "```text\n%s\n\n%s\n```\n", cmd.UseLine(), strings.TrimSpace(long))
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\nExamples:\n\n```text\n%s\n```\n", unindented(cmd.Example))
		}
		if rows := flagRows(cmd); len(rows) > 0 {
			fmt.Fprintf(&b, "\n| flag | value | default | meaning |\n|---|---|---|---|\n%s", strings.Join(rows, ""))
		}
	})
	return b.String()
}

// unindented takes the blanks that all lines begin with from an example.
func unindented(text string) string {
	return regexp.MustCompile(`(?m)^  `).ReplaceAllString(strings.Trim(text, "\n"), "")
}

// commands calls f for a command and all below it that can be seen.
func commands(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			commands(sub, f)
		}
	}
}

func flagRows(cmd *cobra.Command) (rows []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		byDefault := f.DefValue
		switch {
		case f.Value.Type() == "bool", byDefault == "[]", byDefault == "0" && strings.Contains(usage, "default"), byDefault == "0s" && strings.Contains(usage, "default"):
			byDefault = ""
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |\n", code(name), code(value), code(strings.Trim(byDefault, "[]")), cell(usage)))
	})
	return rows
}

func exitPage(roots []*cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Exit statuses\n%s\n", generatedNote)
	b.WriteString("A command that has no line of its own ends with 0 when it is done, with 1 when something went wrong, and with 2 for bad input.\n\n| command | status | meaning |\n|---|---|---|\n")
	for _, root := range roots {
		commands(root, func(cmd *cobra.Command) {
			for _, exit := range cli.Exits(cmd) {
				fmt.Fprintf(&b, "| `%s` | %d | %s |\n", cmd.CommandPath(), exit.Status, cell(exit.Meaning))
			}
		})
	}
	return b.String()
}

// schema is what this page needs of JSON Schema.
type schema struct {
	Ref         string            `json:"$ref"`
	Description string            `json:"description"`
	Type        any               `json:"type"`
	Enum        []any             `json:"enum"`
	Default     any               `json:"default"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	Above       *float64          `json:"exclusiveMinimum"`
	Below       *float64          `json:"exclusiveMaximum"`
	Pattern     string            `json:"pattern"`
	AnyOf       []schema          `json:"anyOf"`
	Items       *schema           `json:"items"`
	Additional  json.RawMessage   `json:"additionalProperties"`
	Required    []string          `json:"required"`
	Properties  json.RawMessage   `json:"properties"` // in the order of the file
	Defs        map[string]schema `json:"$defs"`
}

// keys are the properties in the order of the file.
func (s schema) keys(t *testing.T) (names []string, of map[string]schema) {
	t.Helper()
	if s.Properties == nil {
		return nil, nil
	}
	if err := json.Unmarshal(s.Properties, &of); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(s.Properties))
	depth := 0
	for {
		token, err := d.Token()
		if err != nil {
			return names, of
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if name, is := token.(string); is && depth == 1 {
				names = append(names, name)
				var value json.RawMessage
				if err := d.Decode(&value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// values says what may stand for a schema.
func (s schema) values() string {
	number := func(f float64) string { return fmt.Sprint(f) }
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/$defs/")
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case s.AnyOf != nil:
		var parts []string
		for _, a := range s.AnyOf {
			if text := a.values(); !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
		return strings.Join(parts, ", or ")
	case s.Enum != nil:
		var parts []string
		for _, e := range s.Enum {
			parts = append(parts, code(fmt.Sprint(e)))
		}
		return strings.Join(parts, " ")
	case s.Items != nil:
		return "a list of " + s.Items.values()
	case s.Properties != nil:
		return "a mapping with the keys below"
	case s.Type == "object":
		var of schema
		if json.Unmarshal(s.Additional, &of) == nil {
			return "a mapping of names to " + of.values()
		}
		return "a mapping"
	case s.Pattern != "":
		return "text as " + code(s.Pattern)
	case s.Type == "boolean":
		return "`true` or `false`"
	case s.Type == "string", s.Type != nil && fmt.Sprint(s.Type) == "[string number boolean]":
		return "text"
	case s.Type == "integer" || s.Type == "number":
		text := map[any]string{"integer": "a whole number", "number": "a number"}[s.Type]
		switch {
		case s.Minimum != nil && s.Maximum != nil:
			return text + " from " + number(*s.Minimum) + " to " + number(*s.Maximum)
		case s.Minimum != nil:
			return text + " from " + number(*s.Minimum) + " on"
		case s.Above != nil && s.Below != nil:
			return text + " above " + number(*s.Above) + ", below " + number(*s.Below)
		case s.Above != nil:
			return text + " above " + number(*s.Above)
		}
		return text
	}
	return "anything"
}

func planPage(t *testing.T) string {
	t.Helper()
	text, err := plan.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Keys of plans\n%s\n", generatedNote)
	b.WriteString("[Plans](../plans.md) tells what they do together; the [guide](../guide/writing-a-plan.md) writes one. An unknown key is an error.\n\n## The plan\n")
	keyTable(t, &b, "the plan", root)
	for _, name := range slices.SortedFunc(maps.Keys(root.Defs), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
		def := root.Defs[name]
		fmt.Fprintf(&b, "\n## %s\n", name)
		if def.Properties == nil {
			fmt.Fprintf(&b, "\n%s.\n", upperFirst(def.values()))
		}
		for _, d := range append([]schema{def}, def.AnyOf...) {
			keyTable(t, &b, name, d)
		}
	}
	return b.String()
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// keyTable writes the keys of a mapping; each must have a meaning.
func keyTable(t *testing.T, b *strings.Builder, name string, s schema) {
	t.Helper()
	names, keys := s.keys(t)
	if names == nil {
		return
	}
	b.WriteString("\n| key | meaning | default | values |\n|---|---|---|---|\n")
	for _, key := range names {
		k := keys[key]
		if k.Description == "" {
			t.Errorf("key %s of %s has no meaning: give it one where sink/plan defines it (the last argument of at, needs, always or preset)", key, name)
		}
		about, byDefault := k.Description, ""
		if before, after, found := strings.Cut(about, "; default: "); found {
			about, byDefault = before+".", strings.TrimSuffix(after, ".")
		}
		switch {
		case slices.Contains(s.Required, key):
			byDefault = "needed"
		case k.Default != nil:
			byDefault = code(fmt.Sprint(k.Default))
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, cell(about), byDefault, strings.TrimSpace(k.values()))
	}
}

// operation is what this page needs of an operation of OpenAPI.
type operation struct {
	Summary, Description string
	Access               string `json:"x-access"`
	Parameters           []struct {
		Name, In, Description string
		Required              bool
	}
	Responses map[string]struct{ Description string }
}

func apiPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../sink/control/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Info  struct{ Description string }
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The control API\n%s\n", generatedNote)
	b.WriteString("[The control API](../control.md) tells how to use it. A sink serves this as a document at `/v1/openapi.json`, with the schemas of all bodies. *Access* is what a token must allow.\n")
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		fmt.Fprintf(&b, "\n## %s\n", path)
		for _, method := range []string{"get", "post", "put", "delete"} {
			raw, has := document.Paths[path][method]
			if !has {
				continue
			}
			var o operation
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			fmt.Fprintf(&b, "\n**%s**: %s. Access: %s. ", strings.ToUpper(method), strings.TrimSuffix(o.Summary, "."), o.Access)
			if o.Description != "" {
				fmt.Fprintf(&b, "%s ", cell(o.Description))
			}
			fmt.Fprintf(&b, "Statuses: %s.\n", strings.Join(slices.Sorted(maps.Keys(o.Responses)), ", "))
			for i, p := range o.Parameters {
				if p.Name == "" {
					continue
				}
				if i == 0 {
					b.WriteString("\n| parameter | in | meaning |\n|---|---|---|\n")
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, p.In, cell(p.Description))
			}
		}
	}
	return b.String()
}

// counts is a sink of which every metric has a series.
type counts struct{ all *count.Counts }

func (c counts) Totals() *count.Counts { return c.all }

func prometheusPage(t *testing.T) string {
	t.Helper()
	histogram := &count.Distribution{Buckets: []count.Bucket{{Micros: 1000, Count: 1}}}
	histogram.Summarise()
	c := &count.Counts{
		Started: time.Unix(1, 0), Phases: []string{"p"}, Lateness: histogram, Delays: histogram,
		Replies:      []count.Reply{{Kind: count.Kind{Stage: smtp.StageRcpt, Code: 450}, Decided: 1}},
		Destinations: []count.Destination{{Listener: "a"}},
		Rules:        []count.Rule{{Name: "r", Outcomes: []count.Outcome{{}}}},
	}
	recorder := httptest.NewRecorder()
	prometheus.Handler(counts{c}, "1").ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	type family struct{ kind, help, labels string }
	families, names := map[string]*family{}, []string{}
	for line := range strings.Lines(recorder.Body.String()) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		switch {
		case len(words) == 4 && words[1] == "HELP" && strings.HasPrefix(words[2], "smtpsink_"):
			families[words[2]] = &family{help: words[3]}
			names = append(names, words[2])
		case len(words) == 4 && words[1] == "TYPE" && families[words[2]] != nil:
			families[words[2]].kind = words[3]
		case !strings.HasPrefix(line, "#"):
			name, rest, labelled := strings.Cut(words[0], "{")
			if f := families[name]; f != nil && labelled && f.labels == "" {
				var labels []string
				for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(rest, -1) {
					labels = append(labels, code(l[1]))
				}
				f.labels = strings.Join(labels, " ")
			}
		}
	}
	if len(names) < 30 {
		t.Fatalf("only %d metrics are served", len(names))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Metrics of the sink\n%s\n", generatedNote)
	b.WriteString("What a sink shows to Prometheus; [monitoring](../monitoring.md) tells how. Beside these are the `process_*` metrics of Prometheus: CPU seconds, memory and descriptors.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	slices.Sort(names)
	for _, name := range names {
		f := families[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, f.labels, cell(f.help))
	}
	return b.String()
}
