package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxRecordBytes bounds a record file: a day of one-second windows stays below.
const maxRecordBytes = 512 << 20

// SchemaError says that a file is no record this package can read.
type SchemaError struct {
	File string // "" when the record did not come from a file
	Got  string // "" when the file names no schema
}

// Error names the file's schema and those that can be read.
func (e *SchemaError) Error() string {
	name := e.File
	if name == "" {
		name = "record"
	}
	if e.Got == "" {
		return fmt.Sprintf("%s: not a run record: it names no schema (this program reads %s)", name, readable)
	}
	return fmt.Sprintf("%s: unknown schema %q (this program reads %s)", name, e.Got, readable)
}

// Read reads a record from a file. Errors name the file; a schema of another
// version is a *SchemaError.
func Read(path string) (*Record, error) {
	f, err := os.Open(path) // #nosec G304 -- the record that the user names
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Decode(f)
	if err != nil {
		var se *SchemaError
		if errors.As(err, &se) {
			return nil, &SchemaError{File: path, Got: se.Got}
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Decode reads one record, of schema 1 too. It checks the schema and that windows refer to
// series that exist; fields which it doesn't know are ignored.
func Decode(src io.Reader) (*Record, error) {
	data, err := io.ReadAll(io.LimitReader(src, maxRecordBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRecordBytes {
		return nil, fmt.Errorf("run record is larger than %d bytes", maxRecordBytes)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a run record: %w", plainly(err))
	}
	if head.Schema != Schema && head.Schema != schema1 {
		return nil, &SchemaError{Got: head.Schema}
	}
	r := new(Record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, plainly(err)
	}
	r.Schema, r.written = Schema, head.Schema
	if err := r.validate(); err != nil {
		return nil, err
	}
	return r, nil
}

// plainly words what is wrong with JSON for people: without the names that the program has for it.
func plainly(err error) error {
	var kind *json.UnmarshalTypeError
	var at *time.ParseError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("it is JSON, but of another kind: %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s: %s is out of place (at octet %d)", kind.Field, kind.Value, kind.Offset)
	case errors.As(err, &at):
		return fmt.Errorf("%q is no time such as 2026-01-31T10:20:30Z", strings.Trim(at.Value, `"`))
	}
	return err
}

func (r *Record) validate() error {
	if r.Client == nil {
		return nil
	}
	for i := range r.Client.Series {
		s := &r.Client.Series[i]
		switch s.Type {
		case Trend, Counter, Rate, Gauge:
		default:
			return fmt.Errorf("series %d (%s): unknown type %q (trend, counter, rate or gauge)", i, s.Metric, s.Type)
		}
		if s.Stats != nil {
			if err := s.Stats.validate(); err != nil {
				return fmt.Errorf("series %d (%s): %w", i, s.Metric, err)
			}
		}
	}
	for i, w := range r.Client.Windows {
		for _, ws := range w.Series {
			if ws.Index < 0 || ws.Index >= len(r.Client.Series) {
				return fmt.Errorf("window %d refers to series %d of %d", i, ws.Index, len(r.Client.Series))
			}
		}
	}
	return nil
}

// Encode writes the record as JSON.
func (r *Record) Encode(dst io.Writer) error {
	if r.Schema != Schema {
		return &SchemaError{Got: r.Schema}
	}
	if r.Client == nil {
		text, err := encode(r)
		if err == nil {
			_, err = dst.Write(append(text, '\n'))
		}
		return err
	}
	w, err := NewWriter(dst)
	for i := 0; err == nil && i < len(r.Client.Windows); i++ {
		err = w.Window(&r.Client.Windows[i])
	}
	if err != nil {
		return err
	}
	return w.Finish(r)
}

// Write writes the record to path: to a temporary file beside it first, then
// renamed, so that a reader never sees half a record.
func (r *Record) Write(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = errors.Join(r.Encode(f), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
