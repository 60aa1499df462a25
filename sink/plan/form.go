package plan

import (
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// form is how values of one type stand in a plan file: the one definition by which they are read, written, and described as JSON
// Schema.
type form[T any] struct {
	read   func(d *decoder, n *yaml.Node, into *T) error
	write  func(v *T) *yaml.Node // nil when there is nothing to say
	schema func(defs definitions) string
}

// definitions are the schemas that have a name.
type definitions map[string]json.RawMessage

// key is a key of a mapping that stands for a T.
type key[T any] struct {
	name, about string // about is for the schema, and may be empty
	needed      bool   // the schema asks for it, and it is always written
	extra       string // what else the schema says of it
	read        func(d *decoder, n *yaml.Node, into *T) error
	write       func(v *T) *yaml.Node
	schema      func(defs definitions) string
}

// at is the key of the part that of returns. It is not written when the part is its type's zero value, as it is where the key is absent.
func at[T, V any](name string, f form[V], of func(*T) *V, about string) key[T] {
	return key[T]{
		name: name, about: about, schema: f.schema,
		read: func(d *decoder, n *yaml.Node, into *T) error { return f.read(d, n, of(into)) },
		write: func(v *T) *yaml.Node {
			if part := of(v); !reflect.ValueOf(part).Elem().IsZero() {
				return f.write(part)
			}
			return nil
		},
	}
}

// always is a key that is written whatever its value.
func always[T, V any](name string, f form[V], of func(*T) *V, about string) key[T] {
	k := at(name, f, of, about)
	k.write = func(v *T) *yaml.Node { return f.write(of(v)) }
	return k
}

// needs is a key that must be there.
func needs[T, V any](name string, f form[V], of func(*T) *V, about string) key[T] {
	k := always(name, f, of, about)
	k.needed = true
	return k
}

// preset is a key whose absence means initial, which whoever reads the mapping starts from.
func preset[T any, V comparable](name string, f form[V], of func(*T) *V, initial V, about string) key[T] {
	k := at(name, f, of, about)
	k.extra = `,"default":` + asJSON(initial)
	k.write = func(v *T) *yaml.Node {
		if part := of(v); *part != initial {
			return f.write(part)
		}
		return nil
	}
	return k
}

// mapping has these keys, each at most once, in the order in which they are written.
func mapping[T any](keys ...key[T]) form[T] {
	index := make(map[string]int, len(keys))
	names := make([]string, len(keys))
	for i, k := range keys {
		index[k.name], names[i] = i, k.name
	}
	valid := strings.Join(names, " ")
	return form[T]{
		read: func(d *decoder, n *yaml.Node, into *T) error {
			n, err := d.resolve(n)
			if err != nil {
				return err
			}
			if n.Kind != yaml.MappingNode {
				return errorf(n, "%s (want a mapping with the keys: %s)", describe(n), valid)
			}
			seen := uint64(0)
			for i := 0; i+1 < len(n.Content); i += 2 {
				k := deref(n.Content[i])
				at, known := index[k.Value]
				if !known && k.ShortTag() == "!!merge" {
					return errorf(n.Content[i], "unknown key %q: YAML's merge key is not read (want the keys themselves; an alias may stand for a whole value)", k.Value)
				}
				if !known || k.Kind != yaml.ScalarNode {
					return errorf(n.Content[i], "unknown key %s (valid: %s)", describe(k), valid)
				}
				if seen&(1<<at) != 0 {
					return within(k.Value, errorf(n.Content[i], "key is given twice"))
				}
				seen |= 1 << at
				if err := keys[at].read(d, n.Content[i+1], into); err != nil {
					return within(k.Value, err)
				}
			}
			return nil
		},
		write: func(v *T) *yaml.Node {
			n := &yaml.Node{Kind: yaml.MappingNode}
			for _, k := range keys {
				if value := k.write(v); value != nil {
					n.Content = append(n.Content, written(k.name), value)
				}
			}
			return n
		},
		schema: func(defs definitions) string { return objectSchema(keys, defs) },
	}
}

func objectSchema[T any](keys []key[T], defs definitions) string {
	var properties, required []string
	for _, k := range keys {
		s := strings.TrimSuffix(k.schema(defs), "}")
		if k.about != "" {
			s += `,"description":` + asJSON(k.about)
		}
		properties = append(properties, asJSON(k.name)+":"+s+k.extra+"}")
		if k.needed {
			required = append(required, k.name)
		}
	}
	s := `{"properties":{` + strings.Join(properties, ",") + `},"additionalProperties":false,"type":"object"`
	if required != nil {
		s += `,"required":` + asJSON(required)
	}
	return s + "}"
}

// named puts the form's schema among the definitions, where a form that holds itself finds it.
func (f form[T]) named(name string) form[T] {
	schema := f.schema
	f.schema = func(defs definitions) string {
		if _, there := defs[name]; !there {
			defs[name] = nil
			defs[name] = json.RawMessage(schema(defs))
		}
		return `{"$ref":"#/$defs/` + name + `"}`
	}
	return f
}

// described replaces the form's schema.
func (f form[T]) described(schema string) form[T] {
	f.schema = func(definitions) string { return schema }
	return f
}

// starting reads over a value that stands for what is absent.
func (f form[T]) starting(initial T) form[T] {
	read := f.read
	f.read = func(d *decoder, n *yaml.Node, into *T) error {
		*into = initial
		return read(d, n, into)
	}
	return f
}

// checked asks more of what was read.
func (f form[T]) checked(check func(n *yaml.Node, v *T) error) form[T] {
	read := f.read
	f.read = func(d *decoder, n *yaml.Node, into *T) error {
		if err := read(d, n, into); err != nil {
			return err
		}
		return check(n, into)
	}
	return f
}

// as is the form of a T that stands in the file as a V does. to changes what there is of the T.
func as[T, V any](f form[V], from func(*T) V, to func(*T, V)) form[T] {
	return form[T]{
		read: func(d *decoder, n *yaml.Node, into *T) error {
			var v V
			err := f.read(d, n, &v)
			if err == nil {
				to(into, v)
			}
			return err
		},
		write: func(t *T) *yaml.Node {
			v := from(t)
			return f.write(&v)
		},
		schema: f.schema,
	}
}

// short is the short form, or the long one, which is of this kind. It is written short when that says it all.
func short[T any](brief form[T], enough func(*T) bool, kind yaml.Kind, long form[T]) form[T] {
	return form[T]{
		read: func(d *decoder, n *yaml.Node, into *T) error {
			if deref(n).Kind == kind {
				return long.read(d, n, into)
			}
			return brief.read(d, n, into)
		},
		write: func(v *T) *yaml.Node {
			if enough(v) {
				return brief.write(v)
			}
			return long.write(v)
		},
		schema: func(defs definitions) string {
			return `{"anyOf":[` + brief.schema(defs) + "," + long.schema(defs) + "]}"
		},
	}
}

// pointer is nil where the key is absent.
func pointer[T any](f form[T]) form[*T] {
	return form[*T]{
		read: func(d *decoder, n *yaml.Node, into **T) error {
			*into = new(T)
			return f.read(d, n, *into)
		},
		write:  func(v **T) *yaml.Node { return f.write(*v) },
		schema: f.schema,
	}
}

// list is a list of any length.
func list[T any](f form[T]) form[[]T] {
	return form[[]T]{
		read: func(d *decoder, n *yaml.Node, into *[]T) error {
			n, err := d.resolve(n)
			if err != nil {
				return err
			}
			if n.Kind != yaml.SequenceNode {
				return errorf(n, "%s (want a list)", describe(n))
			}
			for i, element := range n.Content {
				var v T
				if err := f.read(d, element, &v); err != nil {
					return within(fmt.Sprintf("[%d]", i), err)
				}
				*into = append(*into, v)
			}
			return nil
		},
		write: func(v *[]T) *yaml.Node {
			n := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range *v {
				n.Content = append(n.Content, f.write(&(*v)[i]))
			}
			return n
		},
		schema: func(defs definitions) string { return `{"items":` + f.schema(defs) + `,"type":"array"}` },
	}
}

// oneOrMore is one value, or a list that is not empty.
func oneOrMore[T any](f form[T]) form[[]T] {
	many := list(f)
	return form[[]T]{
		read: func(d *decoder, n *yaml.Node, into *[]T) error {
			switch l := deref(n); {
			case l.Kind != yaml.SequenceNode:
				var v T
				err := f.read(d, n, &v)
				*into = []T{v}
				return err
			case len(l.Content) == 0:
				return errorf(n, "empty list (want at least one, or no such key)")
			}
			return many.read(d, n, into)
		},
		write: func(v *[]T) *yaml.Node {
			if len(*v) == 1 {
				return f.write(&(*v)[0])
			}
			return many.write(v)
		},
		schema: func(defs definitions) string {
			one := f.schema(defs)
			return `{"anyOf":[` + one + `,{"items":` + one + `,"type":"array","minItems":1}]}`
		},
	}
}

// dictionary is a mapping from keys that the user chooses.
func dictionary[T, K, V any](want string, least int, name form[K], value form[V], each func(*T) iter.Seq2[K, V], add func(*T, K, V)) form[T] {
	return form[T]{
		read: func(d *decoder, n *yaml.Node, into *T) error {
			n, err := d.resolve(n)
			if err != nil {
				return err
			}
			switch {
			case n.Kind != yaml.MappingNode:
				return errorf(n, "%s (want a mapping from %s)", describe(n), want)
			case len(n.Content) < 2*least:
				return errorf(n, "an empty mapping (want one from %s)", want)
			}
			seen := map[string]bool{}
			for i := 0; i+1 < len(n.Content); i += 2 {
				var k K
				if err := name.read(d, n.Content[i], &k); err != nil {
					return err
				}
				text := deref(n.Content[i]).Value
				if seen[text] {
					return within(text, errorf(n.Content[i], "key is given twice"))
				}
				seen[text] = true
				var v V
				if err := value.read(d, n.Content[i+1], &v); err != nil {
					return within(text, err)
				}
				add(into, k, v)
			}
			return nil
		},
		write: func(v *T) *yaml.Node {
			n := &yaml.Node{Kind: yaml.MappingNode}
			for k, e := range each(v) {
				n.Content = append(n.Content, name.write(&k), value.write(&e))
			}
			return n
		},
		schema: func(defs definitions) string {
			s := `{"additionalProperties":` + value.schema(defs) + `,"type":"object"`
			if names := name.schema(defs); names != "" && names != textLike {
				s += `,"propertyNames":` + names
			}
			if least > 0 {
				s += `,"minProperties":` + strconv.Itoa(least)
			}
			return s + "}"
		},
	}
}
