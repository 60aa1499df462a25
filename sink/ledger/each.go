package ledger

import (
	"errors"
	"io"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Input is a file to read, and what errors call it.
type Input struct {
	Name string
	R    io.Reader // nil: there is none
}

// Scanned says what Each found beside the rows.
type Scanned struct {
	Torn    int64  // octets of a torn last row, which was not passed on
	Amended uint64 // rows that a later one took the place of, which were not passed on either
}

// Each passes on the rows that count, in order: of an attempt that was amended only the amended row. A row is valid during the call
// only. An error of f ends it; a *jsonl.InputError names file, line and key of what is wrong in the file.
func Each(in Input, f func(*event.Row) error) (Scanned, error) {
	reader := NewReader(in.R, in.Name)
	finals := finalRows{emit: f}
	var row event.Row
	for {
		err := reader.Read(&row)
		if errors.Is(err, io.EOF) {
			err = finals.end()
			return Scanned{Torn: reader.Torn(), Amended: finals.amended}, err
		}
		if err == nil {
			err = finals.take(&row)
		}
		if err != nil {
			return Scanned{}, err
		}
	}
}
