package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// OpenConfig says how a ledger file is opened.
type OpenConfig struct {
	Start   event.Start   // starts the new run; names the durability
	Every   time.Duration // as in WriterConfig
	Failing func(error)   // as in WriterConfig
	// Replay, if not nil, is given every row of an existing ledger, in order and without those that were amended, before anything is
	// written. The row and its slices are valid during the call only. An error ends Open.
	Replay func(*event.Row) error
	// Needs says what Replay looks at. A corrupt row is not found where nobody looks.
	Needs Needs
	// Skim, without Replay, looks at the beginning and the end of the file only: nobody needs its rows. A corrupt row in between is not
	// found, and Recovery does not tell how many there are.
	Skim bool
	// Progress, if not nil, is called now and then while the rows are read, with octets; never for a file of less than ProgressEvery.
	Progress func(read, size int64)
}

// ProgressEvery is how many octets are read between two calls of OpenConfig.Progress.
const ProgressEvery = 64 << 20

// Recovery says what Open found in the file.
type Recovery struct {
	Rows uint64 // whole rows
	Runs uint64 // header rows among them
	Torn int64  // octets of a torn last row, which were cut off
	// Skimmed says that the rows were not read: Rows and Runs are 0.
	Skimmed bool
}

// Warning returns one line when a torn row was cut off, else the empty string.
func (r Recovery) Warning() string {
	if r.Torn == 0 {
		return ""
	}
	if r.Skimmed {
		return fmt.Sprintf("the last row was torn: %d octets at the end were cut off", r.Torn)
	}
	return fmt.Sprintf("the last row was torn: %d octets after row %d were cut off", r.Torn, r.Rows)
}

// Open opens the ledger at path, or creates it, and appends the header of a new run. A torn last row, as a killed process leaves it,
// is cut off; a corrupt row before it is an *jsonl.InputError that names file and line, and the file stays as it is. So does a file that is
// no ledger. While the writer is open no other Open of the same file succeeds (on systems with flock).
//
// #nosec G302 G304 -- the user names the file; a sink that root started writes what its user is to read
func Open(path string, cfg OpenConfig) (*Writer, Recovery, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("ledger: %w", err)
	}
	w, found, err := open(f, path, cfg)
	if err != nil {
		_ = f.Close() // the error that matters is known
		return nil, found, err
	}
	return w, found, nil
}

func open(f *os.File, path string, cfg OpenConfig) (*Writer, Recovery, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("ledger: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, Recovery{}, fmt.Errorf("ledger %s: not a regular file", path)
	}
	if err := outfile.Lock(f); err != nil {
		return nil, Recovery{}, fmt.Errorf("ledger %s: another process writes to it: %w", path, err)
	}
	var size int64
	var found Recovery
	if cfg.Skim && cfg.Replay == nil {
		size, found, err = skimRows(f, path, info.Size())
	} else {
		var r io.Reader = f
		if cfg.Progress != nil {
			r = &progressReader{r: f, size: info.Size(), tell: cfg.Progress}
		}
		size, found, err = recoverRows(r, path, cfg.Replay, cfg.Needs)
	}
	if err != nil {
		return nil, found, err
	}
	if found.Torn > 0 {
		if err := f.Truncate(size); err != nil {
			return nil, found, fmt.Errorf("ledger: cutting off a torn row: %w", err)
		}
	}
	w, err := NewWriter(WriterConfig{File: dataFile{f}, Size: size, Start: cfg.Start, Every: cfg.Every, Failing: cfg.Failing})
	if err != nil {
		return nil, found, fmt.Errorf("ledger %s: %w", path, err)
	}
	if size == 0 && cfg.Start.Durability != event.None {
		syncFolder(filepath.Dir(path))
	}
	return w, found, nil
}

// recoverRows reads the whole file and returns the length of its whole rows.
func recoverRows(f io.Reader, name string, replay func(*event.Row) error, needs Needs) (int64, Recovery, error) {
	r := NewReader(f, name)
	finals := finalRows{emit: replay}
	var found Recovery
	var row event.Row
	for {
		err := r.Read(&row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if r.lines.Number == 0 && startsLedger(r.lines.Tail) { // nothing, or a torn first row
				break
			}
			return 0, found, err
		}
		found.Rows++
		if row.Kind == event.KindStart {
			found.Runs++
			r.dec.projections = projectionsFor(needs, row.Start.Durability)
		}
		if replay != nil {
			if err := finals.take(&row); err != nil {
				return 0, found, jsonl.At(name, r.Line(), err)
			}
		}
	}
	if err := finals.end(); err != nil {
		return 0, found, jsonl.At(name, r.Line(), err)
	}
	found.Torn = r.Torn()
	return r.lines.Offset, found, nil
}

// startsLedger reports whether text may be the beginning of a first row: only then is a file without any row a ledger of ours.
func startsLedger(text []byte) bool {
	for _, start := range []string{`{"kind":"start","format":"` + Format + `"`, `{"kind":"header","format":"` + format1 + `"`} {
		n := min(len(text), len(start))
		if string(text[:n]) == start[:n] {
			return true
		}
	}
	return false
}

// dataFile syncs data alone where the system can.
type dataFile struct{ *os.File }

// Sync implements File.
func (f dataFile) Sync() error { return syncData(f.File) }
