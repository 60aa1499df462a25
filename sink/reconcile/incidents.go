package reconcile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// Incident says what was done to a part of the harness, and when: one line of incidents.jsonl.
type Incident struct {
	Time time.Time // of its end: of a kill, a stop, or the stop within a restart, when the process was seen to be gone
	What string    // kill, restart, stop, pause or unreachable
	Who  string    // mta, sink, generator or return-path
}

const (
	incidentWhats = "kill restart stop pause unreachable"
	incidentWhos  = "mta sink generator return-path"
	incidentKeys  = "keys: time what who, others are ignored"
)

// Append appends the incident as one line of incidents.jsonl, with its line feed.
func (i *Incident) Append(dst []byte) []byte {
	dst = jsonl.AppendTime(append(dst, `{"time":`...), i.Time)
	dst = jsonl.AppendString(append(dst, `,"what":`...), i.What)
	return append(jsonl.AppendString(append(dst, `,"who":`...), i.Who), "}\n"...)
}

// ReadIncidents reads incidents, one JSON object a line, and passes each to f, whose error ends it. Errors are *jsonl.InputErrors that
// call the file name.
func ReadIncidents(r io.Reader, name string, f func(*Incident) error) error {
	in := newInput(r, name, incidentKeys)
	for {
		if err := in.next(); err != nil {
			return ended(err)
		}
		var i Incident
		var err error
		if i.Time, err = in.instant("time"); err == nil && i.Time.IsZero() {
			err = in.missing("time")
		}
		if err == nil {
			i.What, err = in.oneOf("what", incidentWhats)
		}
		if err == nil {
			i.Who, err = in.oneOf("who", incidentWhos)
		}
		if err == nil {
			err = f(&i)
		}
		if err != nil {
			return in.error(err)
		}
	}
}

// oneOf reads a required key that has one of some values.
func (in *input) oneOf(key, valid string) (string, error) {
	s, err := in.text(key, true)
	if err == nil && !slices.Contains(strings.Fields(valid), s) {
		err = keyed(key, fmt.Errorf("unknown value %q (valid: %s)", s, valid))
	}
	return s, err
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
