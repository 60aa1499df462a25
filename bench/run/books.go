package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// The names of the legs, in the order in which they run.
const (
	legCalm  = "calm"
	legStorm = "storm"
	legMTA   = "mta"
)

// claimsVariable tells k6 where to write what it sends, a claim a line.
const claimsVariable = "K6_SMTPSTORM_SENT"

// books are the files by which a leg is judged. They lie in the directory of the results, or, where a run has several legs, in one for each.
type books struct{ dir string }

// books returns those of a leg.
func (r *runner) books(leg string) (books, error) {
	if r.o.Target != "" { // the only leg
		return books{r.out.temp.Dir}, nil
	}
	b := books{r.out.path(leg)}
	return b, os.Mkdir(b.dir, 0o755) // #nosec G301 -- results are for others to read
}

func (b books) path(name string) string { return filepath.Join(b.dir, name) }

// write writes a small file of the books.
func (b books) write(name string, text []byte) error {
	return os.WriteFile(b.path(name), text, 0o644) // #nosec G306 -- results are for others to read
}

// ended sees that there are claims, even if there are none. What stands there when k6 has ended is complete.
func (b books) ended() error {
	f, err := os.OpenFile(b.path(bookfiles.ClaimsFile), os.O_CREATE|os.O_WRONLY, 0o644) // #nosec G302 G304 -- results are for others to read
	if err != nil {
		return err
	}
	return f.Close()
}

// nobody says that nothing was held back: clients that speak to the sink itself have no queue, and notify nobody.
func (b books) nobody() error {
	return errors.Join(b.write(bookfiles.QueueFile, nil), b.write(bookfiles.DSNFile, nil))
}

// keepLog writes what the MTA's own log tells.
func (b books) keepLog(log func(f func(*reconcile.LogEvent) error) error) error {
	var text []byte
	if err := log(func(e *reconcile.LogEvent) error {
		text = e.Append(text)
		return nil
	}); err != nil {
		return err
	}
	return b.write(bookfiles.LogFile, text)
}

// judge judges a leg, whose sink has stopped, by its books: its record gets what became of the messages, and units.jsonl each of them.
func (r *runner) judge(b books, leg *Leg) error {
	files, err := bookfiles.Find(b.dir)
	if err != nil {
		return err
	}
	units, err := os.Create(b.path(unitsFile))
	if err != nil {
		return err
	}
	delivery := newDelivery(leg.Record.Delivery)
	files.Each = delivery.unit
	leg.Record.Books, err = judgeBooks(&files, leg.Record, units, r.o.Judge)
	if err := errors.Join(err, units.Close()); err != nil {
		return fmt.Errorf("leg %s: %w", leg.Name, err)
	}
	delivery.finish()
	if b := leg.Record.Books; b != nil {
		for _, p := range b.Phases {
			leg.Record.Phases = append(leg.Record.Phases, result.PhaseBegin{Time: p.Time, Phase: p.Phase})
		}
		leg.Record.Recovery = delivery.recovery(leg.Record.Phases)
	}
	return nil
}

const unitsFile = "units.jsonl"

// judgeBooks judges the books of a leg; its record, which may be nil, says whether they can be: a script that spoke to another server than
// the sink of the leg claims messages of which that sink knows nothing.
func judgeBooks(files *bookfiles.Files, record *result.Record, units io.Writer, o reconcile.Options) (*reconcile.Result, error) {
	if record != nil && record.Sink != nil && record.Provenance.MTA == nil && (record.Sink.Connections == 0 || record.Provenance.SinkMode == result.SinkInProcess) {
		return nil, nil
	}
	if record != nil && record.Provenance.MTA != nil && o.MinimalBackoff == 0 {
		o.MinimalBackoff = time.Duration(record.Provenance.MTA.RetryAfterSeconds * float64(time.Second))
	}
	return files.Judge(units, o)
}

// Books are what a run's directory holds to be judged.
type Books struct{ Legs []LegBooks }

// LegBooks are the books of one leg.
type LegBooks struct {
	Name   string // empty: of the only leg
	Files  bookfiles.Files
	Record *result.Record // nil: there is none, as in a directory that no run of this program left
}

// Dir is where the books of the leg lie.
func (l *LegBooks) Dir() string { return filepath.Dir(l.Files.Claims) }

// FindBooks finds the books of all legs of a run in its directory, or those of one leg in its own. The error is a *jsonl.InputError, which
// names what is missing or bad.
func FindBooks(dir string) (*Books, error) {
	b := &Books{}
	for _, name := range []string{legCalm, legStorm, legMTA} {
		at := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(at, bookfiles.ClaimsFile)); err != nil {
			continue
		}
		if err := b.add(name, at, at+".json"); err != nil {
			return nil, err
		}
	}
	if len(b.Legs) > 0 {
		return b, nil
	}
	record := filepath.Join(dir, legMTA+".json")
	if _, err := os.Stat(record); err != nil {
		record = filepath.Clean(dir) + ".json"
	}
	return b, b.add("", dir, record)
}

func (b *Books) add(name, dir, record string) error {
	files, err := bookfiles.Find(dir)
	if err != nil {
		return err
	}
	leg := LegBooks{Name: name, Files: files}
	leg.Record, err = result.Read(record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &jsonl.InputError{File: record, Err: reason(err)}
	}
	b.Legs = append(b.Legs, leg)
	return nil
}

// Judge judges all legs again and says what they come to. units, if not nil, gets a JSON line for each unit.
func (b *Books) Judge(units io.Writer, o reconcile.Options) (*reconcile.Result, error) {
	var records []*result.Record
	for i := range b.Legs {
		leg := &b.Legs[i]
		record := result.New(leg.Name)
		if leg.Record != nil {
			*record = *leg.Record
		}
		var err error
		if record.Books, err = judgeBooks(&leg.Files, leg.Record, units, o); err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return report.Judge(records, o), nil
}
