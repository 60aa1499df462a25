package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestResultsNameNobody: what is recorded says nothing of whose directories it was recorded in.
func TestResultsNameNobody(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../results", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.IsDir() && d.Name() == "latest" { // the last run, which is not kept
				return fs.SkipDir
			}
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, home := range []string{"/root/", "/home/", "/Users/"} {
			if bytes.Contains(text, []byte(home)) {
				t.Errorf("%s has a path in %s", path, home)
			}
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("%d files, %v", files, err)
	}
}
