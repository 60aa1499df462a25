package mta

import (
	"go/format"
	"io/fs"
	"strings"
	"testing"
)

// TestProgramsAreFormatted: gofmt doesn't see the programs in Go, which are none of this module.
func TestProgramsAreFormatted(t *testing.T) {
	n := 0
	err := fs.WalkDir(programs, "apps", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go.txt") {
			return err
		}
		n++
		text, err := programs.ReadFile(path)
		if err != nil {
			return err
		}
		if formatted, err := format.Source(text); err != nil || string(formatted) != string(text) {
			t.Errorf("%s is not formatted (%v)", path, err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d programs, %v", n, err)
	}
}
