package plan

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// maxNodes bounds the values that are read: aliases can make a small file stand for a huge one.
const maxNodes = 1 << 20

// decoder walks the nodes of one file. Its errors are *Error without a file; their keys grow on the way up, in within.
type decoder struct {
	nodes int
}

// decode parses a file into a spec that NewPlan has not checked yet, and its root mapping.
func decode(name string, data []byte) (fault.PlanSpec, *yaml.Node, error) {
	var plan document
	root, err := parseForm(name, data, format, &plan)
	return plan.PlanSpec, root, err
}

// parseForm parses a document of a form, and returns its root, which is nil where it is no YAML.
func parseForm[T any](name string, data []byte, f form[T], into *T) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Load(data, &doc, yaml.WithUniqueKeys(false)); err != nil {
		return nil, syntaxError(name, err, data)
	}
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	err := f.read(new(decoder), root, into)
	var located *Error
	if errors.As(err, &located) {
		located.File = name
	}
	return root, err
}

// syntaxError gives the library's error our form.
func syntaxError(file string, err error, data []byte) error {
	var load *yaml.LoadError
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &Error{File: file, Err: fmt.Errorf("the plan is empty (want at least the line \"version: %d\")", Version)}
	case strings.Contains(err.Error(), "no documents in stream"):
		return &Error{File: file, Err: fmt.Errorf("the plan holds nothing but comments (want at least the line \"version: %d\")", Version)}
	case strings.Contains(err.Error(), "expected single document"):
		return &Error{File: file, Err: errors.New("there is more than one document (want one, without a line --- before a second)")}
	}
	if errors.As(err, &load) {
		what := load.Message
		if load.ContextMsg != "" {
			what = load.ContextMsg + ": " + what
		}
		if hint := syntaxHint(what, load.Mark.Line, data); hint != "" {
			what = hint
		}
		return &Error{File: file, Line: load.Mark.Line, Column: max(load.Mark.Column, 1), Err: errors.New(what)}
	}
	return &Error{File: file, Err: err}
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

func errorf(n *yaml.Node, format string, args ...any) error {
	return errorAt(n, fmt.Errorf(format, args...))
}

func errorAt(n *yaml.Node, err error) error {
	return &Error{Line: n.Line, Column: n.Column, Err: err}
}

// within says of an error below a key, or below an element of a list such as "[2]", that it is there.
func within(key string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Key != "" && e.Key[0] != '[' {
			key += "."
		}
		e.Key = key + e.Key
	}
	return err
}

// resolve follows an alias to what it stands for.
func (d *decoder) resolve(n *yaml.Node) (*yaml.Node, error) {
	if d.nodes++; d.nodes > maxNodes {
		return nil, errorf(n, "too large (more than %d values, counting those that aliases stand for)", maxNodes)
	}
	n = deref(n)
	if n.Style&yaml.TaggedStyle != 0 && !slices.Contains(knownTags[:], n.ShortTag()) {
		return nil, errorf(n, "unknown tag %q (a plan needs none; valid: %s)", n.Tag, strings.Join(knownTags[:], " "))
	}
	return n, nil
}

// knownTags are those of values that a plan has.
var knownTags = [...]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp"}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
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
				e.Err = missing(e.Err)
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

// missing says of an error about the value of a key that the file doesn't have that it is missing; what would be right is what the error says.
func missing(err error) error {
	if _, want, ok := strings.Cut(err.Error(), "(want "); ok {
		return errors.New("missing (want " + want)
	}
	return err
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
