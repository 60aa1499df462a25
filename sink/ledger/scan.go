package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxKeys bounds the members of one line.
const maxKeys = 64

// shape is the JSON type of a value.
type shape uint8

const (
	shapeString shape = iota
	shapeNumber
	shapeBool
	shapeOther // null, an object or an array
)

var shapeNames = [...]string{"a string", "a number", "a boolean", "null, an object or an array"}

// value is a member's value: of a string what it means, else its JSON text. It is valid until the next scan.
type value struct {
	shape shape
	b     []byte
}

// member is one member of an object.
type member struct {
	key []byte
	val value
}

// keyError is an error in the value of one key, or about its absence.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return fmt.Sprintf("key %q: %v", e.key, e.err) }
func (e *keyError) Unwrap() error { return e.err }

var (
	errNoObject = errors.New("not a JSON object")
	errTwice    = errors.New("given twice")
	errMissing  = errors.New("missing")
)

// scanner takes one-line JSON objects apart. Its results are valid until the next scan.
type scanner struct {
	members []member
	scratch []byte
	rest    []byte
}

// scan parses line, which must hold one object and nothing else. Values of shapeOther may nest.
func (s *scanner) scan(line []byte) error {
	s.members = s.members[:0]
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
			return &keyError{string(key), err}
		}
		for i := range s.members {
			if bytes.Equal(s.members[i].key, key) {
				return &keyError{string(key), errTwice}
			}
		}
		if len(s.members) == maxKeys {
			return fmt.Errorf("more than %d keys", maxKeys)
		}
		s.members = append(s.members, member{key, val})
		if s.take('}') {
			return s.end()
		}
		if !s.take(',') {
			return fmt.Errorf("neither ',' nor '}' after key %q", key)
		}
	}
}

// get returns the value of a key.
func (s *scanner) get(key string) (value, bool) {
	for i := range s.members {
		if string(s.members[i].key) == key {
			return s.members[i].val, true
		}
	}
	return value{}, false
}

func (s *scanner) end() error {
	s.space()
	if len(s.rest) > 0 {
		return errors.New("text after the object")
	}
	return nil
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) string() ([]byte, error) {
	if !s.take('"') {
		return nil, errors.New("no key where one is due")
	}
	return s.quoted()
}

// quoted returns the string whose opening quote was taken.
func (s *scanner) quoted() ([]byte, error) {
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

func (s *scanner) value() (value, error) {
	s.space()
	if len(s.rest) == 0 {
		return value{}, errors.New("no value")
	}
	switch c := s.rest[0]; {
	case c == '"':
		s.rest = s.rest[1:]
		b, err := s.quoted()
		return value{shapeString, b}, err
	case c == '-' || (c >= '0' && c <= '9'):
		n := 1
		for n < len(s.rest) && bytes.IndexByte([]byte("+-.eE0123456789"), s.rest[n]) >= 0 {
			n++
		}
		text := s.rest[:n:n]
		s.rest = s.rest[n:]
		if !wholeNumber(text) && !json.Valid(text) {
			return value{}, fmt.Errorf("%q is no number", text)
		}
		return value{shapeNumber, text}, nil
	case bytes.HasPrefix(s.rest, []byte("true")), bytes.HasPrefix(s.rest, []byte("false")):
		n := 4
		if c == 'f' {
			n = 5
		}
		text := s.rest[:n:n]
		s.rest = s.rest[n:]
		return value{shapeBool, text}, nil
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
func (s *scanner) other() (value, error) {
	d := json.NewDecoder(bytes.NewReader(s.rest))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return value{}, errors.New("no JSON value")
	}
	n := d.InputOffset()
	s.rest = s.rest[n:]
	return value{shapeOther, raw}, nil
}
