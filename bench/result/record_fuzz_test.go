package result

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord: a record that is read is written and read the same, and can be merged.
func FuzzRecord(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 1<<16 {
			f.Add(text)
		}
	}
	f.Add([]byte(`{"schema":"` + Schema + `","client":{"series":[{"metric":"smtp_messages","type":"counter","stats":{"sum":3}}],"windows":[{"series":[0]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Decode(bytes.NewReader(text))
		if err != nil {
			return
		}
		var written, twice bytes.Buffer
		if err := r.Encode(&written); err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := Decode(bytes.NewReader(written.Bytes()))
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, &written)
		}
		if err := again.Encode(&twice); err != nil || !bytes.Equal(written.Bytes(), twice.Bytes()) {
			t.Errorf("%v: written as\n%s\nand then as\n%s", err, &written, &twice)
		}
		if r.Client != nil {
			if merged, err := Merge(r, again); err == nil && merged == nil {
				t.Error("merged to nothing")
			}
		}
	})
}
