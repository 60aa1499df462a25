package xk6smtp

import (
	"fmt"

	"github.com/grafana/sobek"
)

const messageOwner = "Message"

// maxMessage bounds size and raw: what a k6 process can hold several times over.
const maxMessage = 1 << 30

// newMessage is the constructor of Message. The object is opaque: it holds the built message, and nothing of it can be changed.
func (m *module) newMessage(call sobek.ConstructorCall) *sobek.Object {
	rt := m.vu.Runtime()
	o, err := parseMessageOptions(rt, call.Argument(0))
	if err != nil {
		m.throw(err)
	}
	built, err := m.root.messages.get(o)
	if err != nil {
		m.throw(err)
	}
	object := rt.ToValue(built).ToObject(rt)
	if err := object.SetPrototype(call.This.Prototype()); err != nil {
		m.throw(err)
	}
	return object
}

// parseMessageOptions reads the argument of new Message.
func parseMessageOptions(rt *sobek.Runtime, value sobek.Value) (*messageOptions, error) {
	o := &messageOptions{given: make(map[string]bool)}
	text := func(into *string) parser {
		return func(v option) (err error) {
			o.given[v.key] = true
			*into, err = v.string()
			return err
		}
	}
	list := func(into *[]string) parser {
		return func(v option) (err error) {
			o.given[v.key] = true
			*into, err = v.strings()
			return err
		}
	}
	err := parseOptions(rt, messageOwner, value, map[string]parser{
		"from":    text(&o.from),
		"subject": text(&o.subject),
		"text":    text(&o.text),
		"html":    text(&o.html),
		"to":      list(&o.to),
		"cc":      list(&o.cc),
		"bcc":     list(&o.bcc),
		"replyTo": list(&o.replyTo),
		"headers": func(v option) (err error) {
			o.given[v.key] = true
			o.headers, err = v.pairs(false)
			return err
		},
		"attachments": func(v option) (err error) {
			o.given[v.key] = true
			o.attachments, err = v.attachments(false)
			return err
		},
		"inline": func(v option) (err error) {
			o.given[v.key] = true
			o.inline, err = v.attachments(true)
			return err
		},
		"fields": func(v option) (err error) {
			o.fields, err = v.pairs(true)
			return err
		},
		"size": func(v option) error {
			o.given[v.key] = true
			n, err := v.integer(1, maxMessage)
			o.size = int(n)
			return err
		},
		"raw": func(v option) (err error) {
			o.given[v.key] = true
			o.raw, err = v.bytes()
			return err
		},
	})
	return o, err
}

// bytes reads a string, an ArrayBuffer or a view of one; the result is a copy.
func (o option) bytes() ([]byte, error) {
	data, err := o.bytesOr("a string or an ArrayBuffer")
	if err == nil && len(data) == 0 {
		return nil, &optionError{o.owner, o.key, "must not be empty"}
	}
	return data, err
}

// bytesOr is bytes that may be empty; want says what is taken.
func (o option) bytesOr(want string) ([]byte, error) {
	var data []byte
	switch v := o.value.Export().(type) {
	case string:
		data = []byte(v)
	case []byte:
		data = append([]byte{}, v...)
	case sobek.ArrayBuffer:
		data = append([]byte{}, v.Bytes()...)
	default:
		return nil, o.fail(want)
	}
	if len(data) > maxMessage {
		return nil, &optionError{o.owner, o.key, fmt.Sprintf("wants at most %d octets", maxMessage)}
	}
	return data, nil
}
