package jsonl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxKeys bounds the members of one line.
const maxKeys = 64

// Shape is the JSON type of a value.
type Shape uint8

// The shapes.
const (
	ShapeString Shape = iota
	ShapeNumber
	ShapeBool
	ShapeOther // null, an object or an array
)

var shapeNames = [...]string{"a string", "a number", "a boolean", "null, an object or an array"}

// Value is a Member's value: of a string what it means, else its JSON text. It is valid until the next scan.
type Value struct {
	Shape Shape
	B     []byte
}

// Member is one Member of an object.
type Member struct {
	Key []byte
	Val Value
}

// KeyError is an error in the value of one key, or about its absence.
type KeyError struct {
	Key string
	Err error
}

// Error names the key.
func (e *KeyError) Error() string { return fmt.Sprintf("key %q: %v", e.Key, e.Err) }

// Unwrap returns what is wrong.
func (e *KeyError) Unwrap() error { return e.Err }

// ErrMissing says that a key is not there.
var ErrMissing = errors.New("missing")

var (
	errNoObject = errors.New("not a JSON object")
	errTwice    = errors.New("given twice")
)

// Scanner takes one-line JSON objects apart. Its results are valid until the next scan.
type Scanner struct {
	Members []Member // of the last line, in its order
	scratch []byte
	rest    []byte
}

// Scan parses line, which must hold one object and nothing else. Values of ShapeOther may nest.
func (s *Scanner) Scan(line []byte) error {
	s.Members = s.Members[:0]
	if cap(s.scratch) < len(line) { // unescaping never lengthens: the slices handed out stay where they are
		s.scratch = make([]byte, 0, max(2*len(line), 1024))
	}
	s.scratch = s.scratch[:0]
	s.rest = line
	if !s.take('{') {
		return errNoObject
	}
	if s.take('}') {
		return s.end()
	}
	for {
		key, err := s.string()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return fmt.Errorf("no ':' after key %q", key)
		}
		val, err := s.value()
		if err != nil {
			return &KeyError{string(key), err}
		}
		for i := range s.Members {
			if bytes.Equal(s.Members[i].Key, key) {
				return &KeyError{string(key), errTwice}
			}
		}
		if len(s.Members) == maxKeys {
			return fmt.Errorf("more than %d keys", maxKeys)
		}
		s.Members = append(s.Members, Member{key, val})
		if s.take('}') {
			return s.end()
		}
		if !s.take(',') {
			return fmt.Errorf("neither ',' nor '}' after key %q", key)
		}
	}
}

// Get returns the value of a key.
func (s *Scanner) Get(key string) (Value, bool) {
	for i := range s.Members {
		if string(s.Members[i].Key) == key {
			return s.Members[i].Val, true
		}
	}
	return Value{}, false
}

func (s *Scanner) end() error {
	s.space()
	if len(s.rest) > 0 {
		return errors.New("text after the object")
	}
	return nil
}

func (s *Scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

func (s *Scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *Scanner) string() ([]byte, error) {
	if !s.take('"') {
		return nil, errors.New("no key where one is due")
	}
	return s.quoted()
}

// quoted returns the string whose opening quote was taken.
func (s *Scanner) quoted() ([]byte, error) {
	plain := true
	for i, c := range s.rest {
		switch {
		case c == '"' && plain:
			text := s.rest[:i:i]
			s.rest = s.rest[i+1:]
			return text, nil
		case c == '"' && !escapedAt(s.rest, i):
			start := len(s.scratch)
			var err error
			s.scratch, err = appendUnescaped(s.scratch, s.rest[:i])
			s.rest = s.rest[i+1:]
			return s.scratch[start:len(s.scratch):len(s.scratch)], err
		case c == '\\' || c < ' ' || c >= 0x80:
			plain = false
		}
	}
	return nil, errors.New("a string does not end")
}

// escapedAt reports whether the octet at i has an odd number of backslashes before it.
func escapedAt(text []byte, i int) bool {
	n := 0
	for i--; i >= 0 && text[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

func (s *Scanner) value() (Value, error) {
	s.space()
	if len(s.rest) == 0 {
		return Value{}, errors.New("no value")
	}
	switch c := s.rest[0]; {
	case c == '"':
		s.rest = s.rest[1:]
		b, err := s.quoted()
		return Value{ShapeString, b}, err
	case c == '-' || (c >= '0' && c <= '9'):
		n := 1
		for n < len(s.rest) && bytes.IndexByte([]byte("+-.eE0123456789"), s.rest[n]) >= 0 {
			n++
		}
		text := s.rest[:n:n]
		s.rest = s.rest[n:]
		if !wholeNumber(text) && !json.Valid(text) {
			return Value{}, fmt.Errorf("%q is no number", text)
		}
		return Value{ShapeNumber, text}, nil
	case bytes.HasPrefix(s.rest, []byte("true")), bytes.HasPrefix(s.rest, []byte("false")):
		n := 4
		if c == 'f' {
			n = 5
		}
		text := s.rest[:n:n]
		s.rest = s.rest[n:]
		return Value{ShapeBool, text}, nil
	}
	return s.other()
}

// wholeNumber reports whether the text is a number of digits alone, as nearly all are.
func wholeNumber(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return text[0] != '0' || len(text) == 1
}

// other skips a value that no known key has.
func (s *Scanner) other() (Value, error) {
	d := json.NewDecoder(bytes.NewReader(s.rest))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return Value{}, errors.New("no JSON value")
	}
	n := d.InputOffset()
	s.rest = s.rest[n:]
	return Value{ShapeOther, raw}, nil
}
