package count

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzDecode: counts that are read are written and read the same, and can be added, taken off and checked.
func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"version":2,"replies":[{"stage":"rcpt","code":450,"decided":1}],"windows":[{"start":"2026-01-01T00:00:00Z","replies":[{}]}]}`))
	f.Add([]byte(`{"version":1,"replies":[{"stage":"rcpt","code":450,"count":1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Decode(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := Decode(written)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, written)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
			t.Errorf("%v: written as\n%s\nand then as\n%s", err, written, twice)
		}
		again.Merge(c)
		again.Minus(c).Check()
		again.Check()
	})
}
