package run

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
)

// The names of the legs, in the order in which they run.
const (
	legCalm  = "calm"
	legStorm = "storm"
	legMTA   = "mta"
)

// evidence returns where that of a leg goes: into the directory of the results, or, where a run has several legs, one for each.
func (r *runner) evidence(leg string) (pipeline.Evidence, error) {
	if r.onlyLeg() {
		return pipeline.Evidence{Dir: r.out.Temp.Dir}, result.WriteUnfinished(r.out.Path(legMTA+".json"), leg, result.Killed)
	}
	e := pipeline.Evidence{Dir: r.out.Path(leg)}
	if err := os.Mkdir(e.Dir, 0o755); err != nil { // #nosec G301 -- results are for others to read
		return e, err
	}
	return e, result.WriteUnfinished(e.Path(result.UnfinishedFile), leg, result.Killed)
}

// onlyLeg reports whether the run has one leg, whose evidence lies among the results.
func (r *runner) onlyLeg() bool { return r.o.Target != "" && r.o.Runs == 0 && r.o.Capacity == nil }

// Files are what a run's directory holds to be judged.
type Files struct{ Legs []LegFiles }

// LegFiles are the files of one leg.
type LegFiles struct {
	Name   string // empty: of the only leg
	Files  runfiles.Files
	Record *result.Record // nil: there is none, as in a directory that no run of this program left
}

// Dir is where the files of the leg lie.
func (l *LegFiles) Dir() string { return filepath.Dir(l.Files.Claims) }

// FindFiles finds the files of all legs of a run in its directory, or those of one leg in its own. The error is a *jsonl.InputError, which
// names what is missing or bad. ledgers, if any, take the place of the directory's own.
func FindFiles(dir string, ledgers ...string) (*Files, error) {
	b := &Files{}
	names := []string{legCalm, legStorm, legMTA}
	for _, trials := range []string{"[0-9][0-9][0-9]-[AB]", "[0-9][0-9]-*-per-s"} { // of an experiment, and of a search for the capacity
		found, _ := filepath.Glob(filepath.Join(dir, trials))
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	for _, name := range names {
		at := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(at, runfiles.ClaimsFile)); err != nil {
			continue
		}
		if err := b.add(name, at, at+".json", ledgers); err != nil {
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
	if err := b.add("", dir, record, ledgers); err != nil {
		return nil, err
	}
	if leg := &b.Legs[0]; leg.Record == nil {
		var err error
		if leg.Record, record, err = readParts(dir); err != nil {
			return nil, &jsonl.InputError{File: record, Err: input.Reason(err)}
		}
	}
	return b, nil
}

func (b *Files) add(name, dir, record string, ledgers []string) error {
	files, err := runfiles.Find(dir, ledgers...)
	if err != nil {
		return err
	}
	leg := LegFiles{Name: name, Files: files}
	leg.Record, err = result.Read(record)
	if errors.Is(err, fs.ErrNotExist) {
		record = filepath.Join(dir, result.UnfinishedFile)
		leg.Record, err = result.Read(record)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &jsonl.InputError{File: record, Err: input.Reason(err)}
	}
	b.Legs = append(b.Legs, leg)
	return nil
}

// Judge judges all legs again and says what they come to. units, if not nil, gets a JSON line for each unit.
func (b *Files) Judge(units io.Writer, o reconcile.Options) (*reconcile.Result, error) {
	var records []*result.Record
	for i := range b.Legs {
		leg := &b.Legs[i]
		record := result.New(leg.Name)
		if leg.Record != nil {
			*record = *leg.Record
		}
		var err error
		if record.Judgement, err = pipeline.JudgeFiles(&leg.Files, leg.Record, units, o); err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return report.Judge(records, o), nil
}
