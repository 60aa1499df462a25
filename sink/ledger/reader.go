package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Format names the format and its version, in the header row that starts each run of a ledger.
const Format = "smtpstorm/ledger/1"

// MaxLine is the longest line, in octets, that a ledger or one of the reconciliation's inputs may have.
const MaxLine = 1 << 20

// InputError is a mistake in a ledger, or in a file that is reconciled with one.
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

// inputError adds file and line to an error about a line.
func inputError(file string, line int, err error) error {
	var k *keyError
	if errors.As(err, &k) {
		return &InputError{File: file, Line: line, Key: k.key, Err: k.err}
	}
	return &InputError{File: file, Line: line, Err: err}
}

var errTooLong = fmt.Errorf("a line of more than %d octets", MaxLine)

// lines reads lines in bounded memory.
type lines struct {
	r      *bufio.Reader
	long   []byte
	number int   // of the last line, from 1
	offset int64 // octets of the whole lines so far
	torn   int64 // octets after the last line feed, once the end was reached
	tail   []byte
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line without its line feed, valid until the following call. At the end of the input it returns io.EOF;
// torn and tail then tell of text that no line feed ends.
func (l *lines) next() ([]byte, error) {
	l.long = l.long[:0]
	var length int64
	for {
		piece, err := l.r.ReadSlice('\n')
		length += int64(len(piece))
		switch {
		case err == nil && length == int64(len(piece)):
			l.number++
			l.offset += length
			return piece[:len(piece)-1], nil
		case err == nil && length > MaxLine+1:
			l.number++
			return nil, errTooLong
		case err == nil:
			l.number++
			l.offset += length
			l.long = append(l.long, piece...)
			return l.long[:len(l.long)-1], nil
		case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF):
			if length <= MaxLine {
				l.long = append(l.long, piece...)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				l.torn, l.tail = length, l.long
				return nil, io.EOF
			}
			return nil, err
		}
	}
}

var (
	errNoHeader = errors.New("not a ledger: it does not start with a header row of " + Format)
	errEmpty    = errors.New("an empty file is no ledger")
)

// Reader streams the rows of a ledger as they are written; for those that count see finalRows. A last row without its line feed is
// torn: it is not returned, see Torn.
type Reader struct {
	name  string
	lines *lines
	dec   decoder
}

// NewReader returns a reader of r, which errors call name.
func NewReader(r io.Reader, name string) *Reader {
	return &Reader{name: name, lines: newLines(r)}
}

// Read reads the next row into row, whose slices are valid until the next call. It returns io.EOF after the last row, and an
// *InputError that names file, line and key for a row that is corrupt.
func (r *Reader) Read(row *event.Row) error {
	line, err := r.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		if r.lines.number == 0 {
			return r.noRows()
		}
		return io.EOF
	case errors.Is(err, errTooLong):
		return inputError(r.name, r.lines.number, err)
	case err != nil:
		return &InputError{File: r.name, Err: err}
	}
	err = r.dec.decode(line, row)
	if r.lines.number == 1 && (err != nil || row.Kind != event.KindStart) {
		var k *keyError
		if err == nil || !errors.As(err, &k) || k.key != "format" { // an unknown version is worth its own error
			err = fmt.Errorf("%w, but with %s", errNoHeader, quote(line))
		}
	}
	if err != nil {
		return inputError(r.name, r.lines.number, err)
	}
	return nil
}

func (r *Reader) noRows() error {
	if r.lines.torn == 0 {
		return &InputError{File: r.name, Err: errEmpty}
	}
	return &InputError{File: r.name, Line: 1, Err: fmt.Errorf("%w, but with %s", errNoHeader, quote(r.lines.tail))}
}

// Line returns the number of the last line read, from 1.
func (r *Reader) Line() int { return r.lines.number }

// Torn returns, after io.EOF, how many octets follow the last whole row: a process died while it wrote them, or is writing still.
func (r *Reader) Torn() int64 { return r.lines.torn }
