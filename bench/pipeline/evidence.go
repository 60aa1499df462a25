package pipeline

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
)

// Evidence is the directory of the files by which a leg is judged, by their names in sink/runfiles.
type Evidence struct{ Dir string }

// Path returns the path of a file of the evidence.
func (e Evidence) Path(name string) string { return filepath.Join(e.Dir, name) }

// write writes a small file of the evidence.
func (e Evidence) write(name string, text []byte) error {
	return os.WriteFile(e.Path(name), text, 0o644) // #nosec G306 -- results are for others to read
}

// Claimed sees that there are claims, even if there are none. What stands there when k6 has ended is complete.
func (e Evidence) Claimed() error {
	f, err := os.OpenFile(e.Path(runfiles.ClaimsFile), os.O_CREATE|os.O_WRONLY, 0o644) // #nosec G302 G304 -- results are for others to read
	if err != nil {
		return err
	}
	return f.Close()
}

// NoQueue says that nothing was held back: clients that speak to the sink itself have no queue, and notify nobody.
func (e Evidence) NoQueue() error {
	return errors.Join(e.write(runfiles.QueueFile, nil), e.write(runfiles.DSNFile, nil))
}

// KeepLog writes what the MTA's own log tells.
func (e Evidence) KeepLog(log func(f func(*reconcile.LogEvent) error) error) error {
	var text []byte
	if err := log(func(event *reconcile.LogEvent) error {
		text = event.Append(text)
		return nil
	}); err != nil {
		return err
	}
	return e.write(runfiles.LogFile, text)
}

// Judge judges a leg, whose sink has stopped: its record gets what became of the messages, and units.jsonl each of them.
func (e Evidence) Judge(record *result.Record, o reconcile.Options) error {
	files, err := runfiles.Find(e.Dir)
	if err != nil {
		return err
	}
	units, err := os.Create(e.Path(UnitsFile))
	if err != nil {
		return err
	}
	delivery := newDelivery(record.Delivery)
	files.Each = delivery.unit
	record.Judgement, err = JudgeFiles(&files, record, units, o)
	if err := errors.Join(err, units.Close()); err != nil {
		return err
	}
	delivery.finish()
	if b := record.Judgement; b != nil {
		for _, p := range b.Phases {
			record.Phases = append(record.Phases, result.PhaseBegin{Time: p.Time, Phase: p.Phase})
		}
		record.Recovery = delivery.recovery(record.Phases)
	}
	return nil
}

// UnitsFile gets a line for each unit.
const UnitsFile = "units.jsonl"

// JudgeFiles judges the evidence of a leg; its record, which may be nil, says whether they can be: a script that spoke to another server than
// the sink of the leg claims messages of which that sink knows nothing.
func JudgeFiles(files *runfiles.Files, record *result.Record, units io.Writer, o reconcile.Options) (*reconcile.Result, error) {
	if record != nil && record.Sink != nil && record.Provenance.MTA == nil && (record.Sink.Connections == 0 || record.Provenance.SinkMode == result.SinkInProcess) {
		return nil, nil
	}
	if record != nil && record.Provenance.MTA != nil && o.MinimalBackoff == 0 {
		o.MinimalBackoff = time.Duration(record.Provenance.MTA.RetryAfterSeconds * float64(time.Second))
	}
	return files.Judge(units, o)
}
