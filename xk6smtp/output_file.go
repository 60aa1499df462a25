package xk6smtp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.k6.io/k6/v2/lib/fsext"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// recordFile writes a record as it comes: windows while the run lasts, everything else at its end. It is NAME.partial until it
// is complete.
type recordFile struct {
	fs      fsext.Fs
	name    string // empty: it is a stream, which no file takes the place of
	file    interface{ Close() error }
	out     *bufio.Writer
	windows int
}

// The order of a JSON object's members is free: windows come first, since they are known first.
const recordHead = `{"schema":"` + result.Schema + `","client":{"windows":[`

// createRecordFile opens what an existing record, an empty file or nothing stands at now. Anything else that is no stream is refused.
func createRecordFile(fs fsext.Fs, name string) (*recordFile, error) {
	target := outfile.File{Path: name, Kind: "a run record", Marks: []string{`"schema"`, "smtpstorm/run/"}}
	name, stream, err := target.Target()
	if err != nil {
		return nil, err
	}
	var file io.WriteCloser
	if stream {
		file, err = os.OpenFile(name, os.O_WRONLY, 0) // #nosec G304 -- the stream that the user names
		name = ""
	} else {
		file, err = fs.Create(name + ".partial")
	}
	if err != nil {
		return nil, err
	}
	r := &recordFile{fs: fs, name: name, file: file, out: bufio.NewWriter(file)}
	// It goes out at once: a disk that is full shall stop the run before it begins.
	_, err = r.out.WriteString(recordHead)
	if err = errors.Join(err, r.out.Flush()); err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	return r, nil
}

// window appends a window.
func (r *recordFile) window(w *result.Window) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if r.windows > 0 {
		text = append([]byte(",\n"), text...)
	}
	r.windows++
	if _, err := r.out.Write(text); err != nil {
		return err
	}
	return r.out.Flush()
}

// finish writes the rest of the record, whose client part has no windows, and gives the file its name.
func (r *recordFile) finish(record *result.Record) error {
	rest := []member{{"tool", record.Client.Tool}, {"series", record.Client.Series}, {"process", record.Client.Process}}
	if record.Client.Series == nil {
		rest[1].value = []result.Series{}
	}
	text, err := appendMembers([]byte("]"), rest)
	if err != nil {
		return errors.Join(err, r.abandon())
	}
	last := []member{
		{"provenance", record.Provenance}, {"load", record.Load}, {"notes", record.Notes}, {"warnings", record.Warnings},
	}
	if record.Sink != nil { // it ran in this process
		last = append(last, member{"sink", record.Sink})
	}
	text, err = appendMembers(append(text, '}'), last)
	if err != nil {
		return errors.Join(err, r.abandon())
	}
	if _, err = r.out.Write(append(text, '}', '\n')); err == nil {
		err = r.out.Flush()
	}
	if err := errors.Join(err, r.file.Close()); err != nil {
		return err
	}
	if r.name == "" {
		return nil
	}
	return r.fs.Rename(r.name+".partial", r.name)
}

// abandon leaves the partial file behind: what is in it may still tell something.
func (r *recordFile) abandon() error { return r.file.Close() }

type member struct {
	name  string
	value any
}

func appendMembers(text []byte, members []member) ([]byte, error) {
	for _, m := range members {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		text = fmt.Appendf(text, ",\n%q:%s", m.name, value)
	}
	return text, nil
}
