package plan

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// lineWidth is how long a line may be that holds a whole mapping or list. What is longer is written over several.
const lineWidth = 110

// Encode writes a plan in its canonical form: keys in the order of the documentation, short forms where they say it all, nothing that is
// as it is without being said. The same spec always gives the same text, and Parse gives an equal spec of it when NewPlan accepts the
// spec and its texts are UTF-8. Comments of a file are no part of its spec, and so are lost.
func Encode(spec fault.PlanSpec) []byte {
	var b bytes.Buffer
	block(&b, format.write(&document{version: Version, PlanSpec: spec}), 0)
	return b.Bytes()
}

// Schema returns the JSON Schema of plan files, draft 2020-12: what editors check while a person types. It has the format's structure,
// not what NewPlan asks beyond.
func Schema() ([]byte, error) {
	return schemaOf(format, "smtpstorm plan, format version "+strconv.Itoa(Version))
}

func schemaOf[T any](f form[T], title string) ([]byte, error) {
	defs := definitions{}
	root := f.schema(defs)
	named, err := json.Marshal(defs)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":`+string(named)+`,`+
		strings.TrimSuffix(root[1:], "}")+`,"title":`+asJSON(title)+`}`), "", "  ")
	return append(b.Bytes(), '\n'), err
}

// written is a scalar that stands in the file as it is, or in quotes.
func written(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
}

// scalarText writes a scalar. A text is quoted when any reader of YAML, 1.1 or 1.2, could take it for something else.
func scalarText(n *yaml.Node) string {
	plain := n.Value != "" && n.Value[len(n.Value)-1] != ' '
	for i := range len(n.Value) {
		switch c := n.Value[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c == '_', c == '+', c == '-', c == '.', c == '/', '0' <= c && c <= '9':
			plain = plain && (i > 0 || n.Tag == "" && c != '+' && c != '_')
		case c == '@', c == ' ', c == '\'':
			plain = plain && i > 0
		default:
			plain = false
		}
	}
	if n.Tag != "" {
		switch strings.ToLower(n.Value) {
		case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
			plain = false
		}
	}
	if plain {
		return n.Value
	}
	return strconv.Quote(n.Value) // its escapes are YAML's, too
}

// block writes a mapping or a list over several lines.
func block(b *bytes.Buffer, n *yaml.Node, indent int) {
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i < len(n.Content); i += step {
		if i > 0 || b.Len() == 0 || b.Bytes()[b.Len()-1] == '\n' { // but behind "- " of the list around it
			b.WriteString(strings.Repeat(" ", indent))
		}
		value := n.Content[i+step-1]
		if step == 1 {
			b.WriteString("- ")
		} else {
			b.WriteString(scalarText(n.Content[i]) + ":")
		}
		line, fits := flow(nil, value, lineWidth-indent)
		switch {
		case value.Kind == yaml.ScalarNode, fits && (indent > 0 || step == 1 || value.Kind == yaml.MappingNode || len(value.Content) == 0):
			if step == 2 {
				b.WriteByte(' ')
			}
			b.Write(line)
			b.WriteByte('\n')
		case step == 1:
			block(b, value, indent+2)
		default:
			b.WriteByte('\n')
			block(b, value, indent+2)
		}
	}
}

// flow appends a value in one line. It gives up on mappings and lists that are wider than asked.
func flow(b []byte, n *yaml.Node, width int) (line []byte, fits bool) {
	open, end, step := byte('['), byte(']'), 1
	switch n.Kind {
	case yaml.ScalarNode:
		return append(b, scalarText(n)...), true
	case yaml.MappingNode:
		open, end, step = '{', '}', 2
	}
	b = append(b, open)
	for i := 0; i < len(n.Content); i += step {
		if i > 0 {
			b = append(b, ", "...)
		}
		if step == 2 {
			b = append(append(b, scalarText(n.Content[i])...), ": "...)
		}
		if b, fits = flow(b, n.Content[i+step-1], width); !fits || len(b) > width {
			return b, false
		}
	}
	return append(b, end), true
}
