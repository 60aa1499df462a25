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
	p := NewParts(f)
	scanned, err := p.Read(in)
	if err == nil {
		err = p.End()
	}
	return scanned, err
}

// Parts reads several files one after the other: ledgers, and the parts of rotated ones. A file that does not begin with a start row goes on
// with the one before it.
type Parts struct {
	finals finalRows
	open   bool   // a file that is read now may go on with the one before, which did not end by a stop row
	starts bool   // the file that is being read begins with a start row
	lines  uint64 // of the run that is being read
}

// NewParts returns Parts that pass the rows that count on to f, as Each does.
func NewParts(f func(*event.Row) error) *Parts { return &Parts{finals: finalRows{emit: f}} }

// Read reads the next file. Some of its rows may be passed on while the file after it is read, or by End.
func (p *Parts) Read(in Input) (Scanned, error) {
	reader := NewReader(in.R, in.Name)
	reader.later = p.open
	before := p.finals.amended
	p.starts = false
	var row event.Row
	for line := 0; ; {
		err := reader.Read(&row)
		p.lines += uint64(reader.Line() - line) // #nosec G115 -- lines count up; those of later versions count, too
		line = reader.Line()
		if errors.Is(err, io.EOF) {
			return Scanned{Torn: reader.Torn(), Amended: p.finals.amended - before}, nil
		}
		if err == nil {
			if reader.Line() == 1 {
				p.starts = row.Kind == event.KindStart
			}
			p.open = row.Kind != event.KindStop
			if err = p.missed(&row); err == nil {
				err = p.finals.take(&row)
			}
		}
		if err != nil {
			return Scanned{}, err
		}
	}
}

// missed passes on a gap row before a stop row that knows of more rows than there are: a part of the ledger was not given, or lost lines.
func (p *Parts) missed(row *event.Row) error {
	switch row.Kind {
	case event.KindStart:
		p.lines = 1
	case event.KindStop:
		if have := p.lines - 1; row.Stop.Rows > have {
			return p.finals.take(&event.Row{Kind: event.KindGap, Gap: event.Gap{Rows: row.Stop.Rows - have, Error: "they are not in the files that were given"}})
		}
	}
	return nil
}

// Starts reports whether the file that is being read begins with a start row.
func (p *Parts) Starts() bool { return p.starts }

// End passes on what is left: no other file goes on with the last.
func (p *Parts) End() error { return p.finals.end() }
