package xk6smtp

import (
	"errors"
	"io"
	"os"

	"go.k6.io/k6/v2/lib/fsext"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// recordFile writes a record as it comes: windows while the run lasts, everything else at its end. It is NAME.partial until it
// is complete.
type recordFile struct {
	fs   fsext.Fs
	name string // empty: it is a stream, which no file takes the place of
	file interface{ Close() error }
	*result.Writer
}

// createRecordFile opens what an existing record, an empty file or nothing stands at now. Anything else that is no stream is refused.
func createRecordFile(fs fsext.Fs, name string) (*recordFile, error) {
	target := outfile.File{Path: name, Kind: "a run record", Marks: []string{`"schema"`, result.SchemaPrefix}}
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
	r := &recordFile{fs: fs, name: name, file: file}
	if r.Writer, err = result.NewWriter(file); err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	return r, nil
}

// finish writes the rest of the record, whose client part has no windows, and gives the file its name.
func (r *recordFile) finish(record *result.Record) error {
	if err := errors.Join(r.Finish(record), r.file.Close()); err != nil {
		return err
	}
	if r.name == "" {
		return nil
	}
	return r.fs.Rename(r.name+".partial", r.name)
}

// abandon leaves the partial file behind: what is in it may still tell something.
func (r *recordFile) abandon() error { return r.file.Close() }
