package ledger

import (
	"bytes"
	"io"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// skimRows looks at the first row, and for the end of the last one. It returns the length of the whole rows.
func skimRows(f io.ReaderAt, name string, size int64) (int64, Recovery, error) {
	start := io.NewSectionReader(f, 0, min(size, jsonl.MaxLine+1))
	first, found, err := recoverRows(&firstLine{r: start}, name, nil, NeedRows)
	if err != nil || found.Rows == 0 {
		return first, found, err // not a ledger, or one without a whole row: then found tells all
	}
	found = Recovery{Skimmed: true}
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, found, &jsonl.InputError{File: name, Err: err}
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			whole := end - n + int64(i) + 1
			found.Torn = size - whole
			return whole, found, nil
		}
		end -= n
	}
	return 0, found, &jsonl.InputError{File: name, Err: errNoHeader} // it was changed meanwhile
}

// firstLine is a reader that ends behind the first line feed.
type firstLine struct {
	r    io.Reader
	done bool
}

func (f *firstLine) Read(p []byte) (int, error) {
	if f.done {
		return 0, io.EOF
	}
	n, err := f.r.Read(p)
	if i := bytes.IndexByte(p[:n], '\n'); i >= 0 {
		f.done = true
		return i + 1, nil
	}
	return n, err
}

// progressReader tells how much was read.
type progressReader struct {
	r                io.Reader
	read, told, size int64
	tell             func(read, size int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.read += int64(n); p.read-p.told >= ProgressEvery {
		p.told = p.read
		p.tell(p.read, p.size)
	}
	return n, err
}
