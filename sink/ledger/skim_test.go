package ledger

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// Who needs no rows looks at the beginning and the end only: a torn end is cut off, and a file that is no ledger left alone.
func TestOpenSkims(t *testing.T) {
	start := string(AppendStart(nil, &event.Start{Time: epoch}))
	row := goldenRows[6].line + "\n"
	for _, test := range []struct {
		name, text string
		torn       int64
		err        string
	}{
		{name: "new file"},
		{name: "one row", text: start},
		{name: "rows", text: start + strings.Repeat(row, 1000)},
		{name: "torn first row", text: start[:40], torn: 40},
		{name: "torn last row", text: start + row + row[:77], torn: 77},
		{name: "zeros, as after a power failure", text: start + row + strings.Repeat("\x00", 3<<20), torn: 3 << 20},
		{name: "a corrupt row in between", text: start + "{\"kind\n" + row},
		{name: "text", text: "hello\nworld\n", err: ":1: not a ledger"},
		{name: "text without a line feed", text: strings.Repeat("hello", jsonl.MaxLine), err: ":1: not a ledger"},
		{name: "rows without a header", text: row + row, err: ":1: not a ledger"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := t.TempDir() + "/ledger"
			if test.text != "" {
				if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w, found, err := Open(path, OpenConfig{Start: event.Start{Time: epoch, Durability: event.Batch}, Skim: true})
			if test.err != "" {
				if now, _ := os.ReadFile(path); err == nil || !strings.HasPrefix(err.Error(), path+test.err) || string(now) != test.text {
					t.Errorf("got %v, want %s; changed: %v", err, test.err, string(now) != test.text)
				}
				return
			}
			if err != nil || found.Torn != test.torn || (found.Warning() != "") != (test.torn > 0) {
				t.Fatalf("found %+v, %v; want %d octets torn", found, err, test.torn)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := []byte(test.text[:len(test.text)-int(test.torn)])
			if want := append(whole, AppendStart(nil, &event.Start{Time: epoch, Durability: event.Batch})...); !bytes.Equal(now, want) {
				t.Errorf("the file has %d octets, want %d, the last row a new header", len(now), len(want))
			}
		})
	}
}

// countingFile counts what is read of it.
type countingFile struct {
	*os.File
	read int64
}

func (f *countingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.read += int64(n)
	return n, err
}

// However long a ledger is, skimming reads a few blocks of it.
func TestSkimmingReadsNoRows(t *testing.T) {
	path := t.TempDir() + "/ledger"
	text := string(AppendStart(nil, &event.Start{Time: epoch})) + strings.Repeat(goldenRows[6].line+"\n", 40_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := &countingFile{File: file}
	size, found, err := skimRows(f, path, int64(len(text)))
	if err != nil || size != int64(len(text)) || !found.Skimmed || f.read > 200<<10 {
		t.Errorf("%d octets read, of %d; found %+v, %v", f.read, len(text), found, err)
	}
}

func TestProgress(t *testing.T) {
	const size = 5*ProgressEvery/2 + 1
	var told []int64
	p := progressReader{r: bytes.NewReader(make([]byte, size)), size: size, tell: func(read, of int64) {
		if of != size {
			t.Errorf("the size is %d", of)
		}
		told = append(told, read)
	}}
	buf := make([]byte, 1<<20)
	for {
		if _, err := p.Read(buf); err != nil {
			break
		}
	}
	if len(told) != 2 || told[0] != ProgressEvery || told[1] != 2*ProgressEvery {
		t.Errorf("told %v", told)
	}
}
