package plan

import (
	"encoding/json"
	"errors"

	yaml "go.yaml.in/yaml/v4"
)

// maxJSON bounds what JSON returns: aliases can make a small text stand for a huge one.
const maxJSON = 8 << 20

// errLarge says that a plan is too large for JSON.
var errLarge = errors.New("the plan is too large for JSON, since aliases repeat much of it")

// JSON returns the text of a plan that Parse takes as JSON, which Parse takes for the same plan.
func JSON(text []byte) (json.RawMessage, error) {
	var doc yaml.Node
	if err := yaml.Load(text, &doc, yaml.WithUniqueKeys(false)); err != nil {
		return nil, err
	}
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	return toJSON(root)
}

func toJSON(n *yaml.Node) (json.RawMessage, error) { return appendJSON(nil, n) }

func appendJSON(b []byte, n *yaml.Node) (_ []byte, err error) {
	if len(b) > maxJSON {
		return nil, errLarge
	}
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, asJSON(deref(n.Content[i]).Value)...), ':')
			if b, err = appendJSON(b, n.Content[i+1]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, element := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, element); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		return append(b, "null"...), nil
	case tag == "!!bool" && (n.Value == "true" || n.Value == "false"),
		(tag == "!!int" || tag == "!!float") && json.Valid([]byte(n.Value)):
		return append(b, n.Value...), nil
	}
	return append(b, asJSON(n.Value)...), nil
}
