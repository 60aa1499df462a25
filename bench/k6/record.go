package k6

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// clockSlack is how far a clock may be set while k6 runs.
const clockSlack = time.Minute

// ReadRecord reads the record that the job has left, which ended as e says. k6 may end with status 0 and have written none, or half of one,
// where a disk is full: the error names the file. So it does for a record of another run, and for what a k6 that was killed left behind.
func (j *Job) ReadRecord(e Exit) (*result.Record, error) {
	path, name := j.Record, filepath.Base(j.Record)
	wrong := func(why string) error {
		if e.Broke != "" || e.Interrupted {
			return fmt.Errorf("k6's record %s %s", name, why)
		}
		return fmt.Errorf("k6 ended with status %d, but its record %s %s: is the disk full?", e.Status, name, why)
	}
	record, err := result.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(path + ".partial"); err == nil {
			return nil, wrong(fmt.Sprintf("is incomplete (%d octets in %s.partial)", info.Size(), name))
		}
		return nil, wrong("is missing")
	case err != nil:
		return nil, wrong(fmt.Sprintf("is no usable record: %v", err))
	case record.Client == nil:
		return nil, wrong("has no client part")
	}
	if p := record.Provenance; p.Started.IsZero() || p.Started.Before(e.Started.Add(-clockSlack)) || p.Started.After(e.Started.Add(e.Wall+clockSlack)) {
		return nil, fmt.Errorf("k6's record %s is one of another run: it began at %s, and k6 ran for %v from %s on", name,
			p.Started.UTC().Format("2006-01-02 15:04:05.000"), e.Wall, e.Started.UTC().Format("2006-01-02 15:04:05.000"))
	}
	return record, nil
}
