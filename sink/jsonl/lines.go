package jsonl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the longest line, in octets, that a file may have.
const MaxLine = 1 << 20

// InputError is a mistake in a file.
type InputError struct {
	File string
	Line int    // from 1; 0 when it is about the file as a whole
	Key  string // the key at fault, if one is
	Err  error
}

// Error returns one line: FILE:LINE: key "KEY": what is wrong.
func (e *InputError) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	case e.Key == "":
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: key %q: %v", e.File, e.Line, e.Key, e.Err)
}

// Unwrap returns what is wrong.
func (e *InputError) Unwrap() error { return e.Err }

// At adds file and line to an error about a line.
func At(file string, line int, err error) error {
	var k *KeyError
	if errors.As(err, &k) {
		return &InputError{File: file, Line: line, Key: k.Key, Err: k.Err}
	}
	return &InputError{File: file, Line: line, Err: err}
}

// ErrTooLong says that a line is longer than MaxLine.
var ErrTooLong = fmt.Errorf("a line of more than %d octets", MaxLine)

// Lines reads lines in bounded memory.
type Lines struct {
	r      *bufio.Reader
	long   []byte
	Number int    // of the last line, from 1
	Offset int64  // octets of the whole lines so far
	Torn   int64  // octets after the last line feed, once the end was reached
	Tail   []byte // that text, up to MaxLine
}

// NewLines returns a reader of the lines of r.
func NewLines(r io.Reader) *Lines { return &Lines{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next line without its line feed, valid until the following call. At the end of the input it returns io.EOF;
// Torn and Tail then tell of text that no line feed ends.
func (l *Lines) Next() ([]byte, error) {
	l.long = l.long[:0]
	var length int64
	for {
		piece, err := l.r.ReadSlice('\n')
		length += int64(len(piece))
		switch {
		case err == nil && length == int64(len(piece)):
			l.Number++
			l.Offset += length
			return piece[:len(piece)-1], nil
		case err == nil && length > MaxLine+1:
			l.Number++
			return nil, ErrTooLong
		case err == nil:
			l.Number++
			l.Offset += length
			l.long = append(l.long, piece...)
			return l.long[:len(l.long)-1], nil
		case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF):
			if length <= MaxLine {
				l.long = append(l.long, piece...)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				l.Torn, l.Tail = length, l.long
				return nil, io.EOF
			}
			return nil, err
		}
	}
}
