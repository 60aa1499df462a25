package jsonl

import (
	"errors"
	"fmt"
	"time"
)

// Text returns a string, valid until the next Scan.
func (v Value) Text() ([]byte, error) {
	if v.Shape != ShapeString {
		return nil, v.Not("a string")
	}
	return v.B, nil
}

// Strings returns the strings of an array, or one alone. They are the caller's.
func (v Value) Strings() (list []string, err error) {
	if v.Shape == ShapeString {
		return []string{string(v.B)}, nil
	}
	err = v.Each(func(e Value) error {
		if e.Shape != ShapeString {
			return e.Not("a string")
		}
		list = append(list, string(e.B))
		return nil
	})
	if err != nil {
		return nil, errNoStrings
	}
	return list, nil
}

var errNoStrings = errors.New("neither a string nor an array of strings")

// Each passes on the values of an array, each valid during the call only. An error of f ends it.
func (v Value) Each(f func(Value) error) error {
	if v.Shape != ShapeOther || len(v.B) == 0 || v.B[0] != '[' {
		return v.Not("an array")
	}
	s := Scanner{rest: v.B[1:], scratch: make([]byte, 0, len(v.B))}
	if s.take(']') {
		return nil
	}
	for {
		e, err := s.value()
		if err == nil {
			err = f(e)
		}
		if err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errors.New("neither ',' nor ']' in an array")
		}
	}
}

// Not says that the value is not what is due.
func (v Value) Not(want string) error {
	return fmt.Errorf("%s where %s is due", shapeNames[v.Shape], want)
}

// Uint returns a whole number of that many bits.
func (v Value) Uint(bits int) (uint64, error) {
	if v.Shape != ShapeNumber {
		return 0, v.Not("a number")
	}
	var n, limit uint64 = 0, 1<<bits - 1
	for _, c := range v.B {
		digit := uint64(c - '0')
		if c < '0' || c > '9' || n > (limit-digit)/10 {
			return 0, fmt.Errorf("%s is no whole number from 0 to %d", v.B, limit)
		}
		n = n*10 + digit
	}
	return n, nil
}

// Bool returns a boolean.
func (v Value) Bool() (bool, error) {
	if v.Shape != ShapeBool {
		return false, v.Not("a boolean")
	}
	return v.B[0] == 't', nil
}

// Instant parses a time of RFC 3339. Rows are written in UTC; other offsets are taken and become UTC.
func (v Value) Instant() (time.Time, error) {
	b, err := v.Text()
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if err := t.UnmarshalText(b); err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-01-31T10:20:30.5Z (RFC 3339)", b)
	}
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}, fmt.Errorf("%q is not between the years 0 and 9999 in UTC", b)
	}
	return t, nil
}

// Hash returns a number that is written as 16 lower-case hexadecimal digits.
func (v Value) Hash() (uint64, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			c = 255
		}
		if c > 15 || len(b) != 16 {
			return 0, fmt.Errorf("%q is not a hash of 16 digits from 0 to 9 and a to f", b)
		}
		n = n<<4 | uint64(c)
	}
	if len(b) != 16 {
		return 0, fmt.Errorf("%q is not a hash of 16 digits from 0 to 9 and a to f", b)
	}
	return n, nil
}
