package plan

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// maxNodes bounds the values that are read: aliases can make a small file stand for a huge one.
const maxNodes = 1 << 20

// decoder walks the nodes of one file.
type decoder struct {
	file  string
	nodes int
}

// field is a key of a mapping, and who reads its value.
type field struct {
	key  string
	read func(n *yaml.Node, path string) error
}

// decode parses a file into a spec that NewPlan has not checked yet, and its root mapping.
func decode(name string, data []byte) (spec fault.PlanSpec, root *yaml.Node, err error) {
	d := &decoder{file: name}
	var document yaml.Node
	if err := yaml.Load(data, &document, yaml.WithUniqueKeys(false)); err != nil {
		return spec, nil, d.syntaxError(err, data)
	}
	root = &document
	if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		root = document.Content[0]
	}
	version := 0
	err = d.mapping(root, "", []field{
		{"version", func(n *yaml.Node, path string) error { return d.version(n, path, &version) }},
		{"name", func(n *yaml.Node, path string) error { return d.text(n, path, &spec.Name) }},
		{"description", func(n *yaml.Node, path string) error { return d.text(n, path, &spec.Description) }},
		{"seed", func(n *yaml.Node, path string) error { return d.unsigned(n, path, &spec.Seed) }},
		{"start", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "first-connection, clock or a time", fault.ParseStart, &spec.Start)
		}},
		{"restart", func(n *yaml.Node, path string) error { return d.boolean(n, path, &spec.Restart) }},
		{"listeners", func(n *yaml.Node, path string) error {
			return d.sequence(n, path, func(n *yaml.Node, path string) error {
				listener, err := d.listener(n, path)
				spec.Listeners = append(spec.Listeners, listener)
				return err
			})
		}},
		{"listener_faults", func(n *yaml.Node, path string) error { return d.listenerFaults(n, path, &spec.ListenerFaults) }},
		{"limits", func(n *yaml.Node, path string) error { return d.limits(n, path, &spec.Limits) }},
		{"rules", func(n *yaml.Node, path string) error { return d.rules(n, path, &spec.Rules) }},
		{"phases", func(n *yaml.Node, path string) error { return d.phases(n, path, &spec.Phases) }},
	})
	if err == nil && version == 0 {
		err = d.errorf(root, "version", "missing: the plan must say which format it has (add the line \"version: %d\")", Version)
	}
	return spec, root, err
}

// syntaxError gives the library's error our form.
func (d *decoder) syntaxError(err error, data []byte) error {
	var load *yaml.LoadError
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &Error{File: d.file, Err: fmt.Errorf("the plan is empty (want at least the line \"version: %d\")", Version)}
	case strings.Contains(err.Error(), "no documents in stream"):
		return &Error{File: d.file, Err: fmt.Errorf("the plan holds nothing but comments (want at least the line \"version: %d\")", Version)}
	case strings.Contains(err.Error(), "expected single document"):
		return &Error{File: d.file, Err: errors.New("there is more than one document (want one, without a line --- before a second)")}
	}
	if errors.As(err, &load) {
		what := load.Message
		if load.ContextMsg != "" {
			what = load.ContextMsg + ": " + what
		}
		if hint := syntaxHint(what, load.Mark.Line, data); hint != "" {
			what = hint
		}
		return &Error{File: d.file, Line: load.Mark.Line, Column: max(load.Mark.Column, 1), Err: errors.New(what)}
	}
	return &Error{File: d.file, Err: err}
}

// syntaxHint says in a person's words what the library means, for the mistakes that people make; empty for others.
func syntaxHint(what string, line int, data []byte) string {
	lines := strings.Split(string(data), "\n")
	text := ""
	if line >= 1 && line <= len(lines) {
		text = lines[line-1]
	}
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "a tab in the indentation (YAML indents by blanks only)"
	case strings.Contains(what, "did not find expected '-' indicator"), strings.Contains(what, "did not find expected key"):
		return "the indentation does not fit the lines above (entries of a list, and keys that belong together, begin in the same column): " + what
	case strings.Contains(what, "found unexpected end of stream"):
		return "a quote or bracket that was opened is not closed: " + what
	case strings.Contains(what, "mapping values are not allowed"):
		return "a \": \" where none may be (is the line above unfinished, or a quote missing around a text that holds one?): " + what
	}
	return ""
}

func (d *decoder) errorf(n *yaml.Node, path, format string, args ...any) error {
	return d.wrap(n, path, fmt.Errorf(format, args...))
}

func (d *decoder) wrap(n *yaml.Node, path string, err error) error {
	return &Error{File: d.file, Line: n.Line, Column: n.Column, Key: path, Err: err}
}

// resolve follows an alias to what it stands for.
func (d *decoder) resolve(n *yaml.Node, path string) (*yaml.Node, error) {
	if d.nodes++; d.nodes > maxNodes {
		return nil, d.errorf(n, path, "too large (more than %d values, counting those that aliases stand for)", maxNodes)
	}
	return deref(n), nil
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// mapping reads a mapping with these keys, each at most once.
func (d *decoder) mapping(n *yaml.Node, path string, fields []field) error {
	n, err := d.resolve(n, path)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, path, "%s (want a mapping with the keys: %s)", describe(n), keyNames(fields))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		var read func(*yaml.Node, string) error
		for _, f := range fields {
			if key.Kind == yaml.ScalarNode && f.key == key.Value {
				read = f.read
			}
		}
		if read == nil {
			return d.errorf(n.Content[i], path, "unknown key %s (valid: %s)", describe(key), keyNames(fields))
		}
		if seen[key.Value] {
			return d.errorf(n.Content[i], join(path, key.Value), "key is given twice")
		}
		seen[key.Value] = true
		if err := read(value, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

// sequence reads each element of a list.
func (d *decoder) sequence(n *yaml.Node, path string, read func(n *yaml.Node, path string) error) error {
	n, err := d.resolve(n, path)
	if err != nil {
		return err
	}
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, path, "%s (want a list)", describe(n))
	}
	for i, element := range n.Content {
		if err := read(element, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// scalar returns the text of a single value that is not null.
func (d *decoder) scalar(n *yaml.Node, path, want string) (string, error) {
	n, err := d.resolve(n, path)
	if err != nil {
		return "", err
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", d.errorf(n, path, "%s (want %s)", describe(n), want)
	}
	return n.Value, nil
}

// describe says what a node is, in an error.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "empty"
		}
		const most = 60
		if len(n.Value) > most {
			return fmt.Sprintf("%q...", n.Value[:most])
		}
		return fmt.Sprintf("%q", n.Value)
	}
	return "no value"
}

func keyNames(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return strings.Join(names, " ")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// locate gives an error of NewPlan its place in the file: the field's, or that of the closest thing around it that the file has.
func locate(file string, root *yaml.Node, err error) error {
	var spec *fault.SpecError
	if !errors.As(err, &spec) {
		return &Error{File: file, Err: err}
	}
	e := &Error{File: file, Key: spec.Path, Err: spec.Err}
	at := root
	for _, part := range parts(spec.Path) {
		at = child(at, strings.Trim(part, "[]"))
	}
	// A rule's own reply is its outcomes[0].reply: parts of the field that the file doesn't have are passed over, but for a key
	// that is missing.
	field := parts(spec.Field)
	for i, part := range field {
		name := strings.Trim(part, "[]")
		next := child(at, name)
		if next == nil {
			if i == len(field)-1 && name == part && name != "outcomes" {
				e.Key = join(e.Key, part)
			}
			continue
		}
		if at = next; name != part {
			e.Key += part
		} else {
			e.Key = join(e.Key, part)
		}
	}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	return e
}

// parts splits "rules[2].match" into rules, [2] and match.
func parts(path string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(path, "[", ".["), func(r rune) bool { return r == '.' })
}

// child returns a mapping's value, or a list's element by its decimal position, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if deref(n.Content[i]).Value == name {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for i, element := range n.Content {
			if fmt.Sprint(i) == name {
				return element
			}
		}
	}
	return nil
}
