package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// Format names the format and its version, in the row that starts each run of a ledger.
const Format = "smtpstorm/ledger/2"

// format1 is the one before: its first row was called header, and it has no rows of message, told, phase and stop.
const format1 = "smtpstorm/ledger/1"

var (
	errNoHeader = errors.New("not a ledger: it does not begin with a start row of " + Format)
	errEmpty    = errors.New("an empty file is no ledger")
	errMiddle   = errors.New("not a ledger by itself: it has no start row, but goes on with another file, which must be given before it")
)

// Reader streams the rows of a ledger as they are written; for those that count see finalRows. A last row without its line feed is
// torn: it is not returned, see Torn.
type Reader struct {
	name  string
	lines *jsonl.Lines
	dec   decoder
	later bool // a part of a rotated ledger: it need not begin with a start row
}

// NewReader returns a reader of r, which errors call name.
func NewReader(r io.Reader, name string) *Reader {
	return &Reader{name: name, lines: jsonl.NewLines(r)}
}

// Read reads the next row into row, whose slices are valid until the next call. It returns io.EOF after the last row, and an
// *jsonl.InputError that names file, line and key for a row that is corrupt.
func (r *Reader) Read(row *event.Row) error {
	for {
		err := r.read(row)
		if r.lines.Number == 1 && !r.later || !errors.Is(err, errLater) {
			return err
		}
	}
}

func (r *Reader) read(row *event.Row) error {
	line, err := r.lines.Next()
	switch {
	case errors.Is(err, io.EOF):
		if r.lines.Number == 0 {
			return r.noRows()
		}
		return io.EOF
	case errors.Is(err, jsonl.ErrTooLong):
		return jsonl.At(r.name, r.lines.Number, err)
	case err != nil:
		return &jsonl.InputError{File: r.name, Err: err}
	}
	if r.dec.projections != nil && r.dec.project(line, row) {
		return nil
	}
	err = r.dec.decode(line, row)
	if r.lines.Number == 1 {
		err = r.first(line, row, err)
	}
	if err != nil {
		return jsonl.At(r.name, r.lines.Number, err)
	}
	return nil
}

// first returns what is wrong with the first row, of which decoding has told err.
func (r *Reader) first(line []byte, row *event.Row, err error) error {
	var k *jsonl.KeyError
	switch {
	case err == nil && (row.Kind == event.KindStart || r.later):
		return nil
	case err == nil:
		return errMiddle
	case r.later && errors.Is(err, errLater):
		return err
	case errors.As(err, &k) && k.Key == "format": // an unknown version is worth its own error
		return err
	}
	return fmt.Errorf("%w, but with %s", errNoHeader, quote(line))
}

func (r *Reader) noRows() error {
	if r.lines.Torn == 0 {
		return &jsonl.InputError{File: r.name, Err: errEmpty}
	}
	return &jsonl.InputError{File: r.name, Line: 1, Err: fmt.Errorf("%w, but with %s", errNoHeader, quote(r.lines.Tail))}
}

// Decoder reads single rows. The zero value is ready; it is not safe for concurrent use.
type Decoder struct{ dec decoder }

// Decode parses the line of a row, with or without its line feed, into row, whose slices are valid until the next call.
func (d *Decoder) Decode(line []byte, row *event.Row) error {
	return d.dec.decode(bytes.TrimSuffix(line, []byte("\n")), row)
}

// Line returns the number of the last line read, from 1.
func (r *Reader) Line() int { return r.lines.Number }

// Torn returns, after io.EOF, how many octets follow the last whole row: a process died while it wrote them, or is writing still.
func (r *Reader) Torn() int64 { return r.lines.Torn }
