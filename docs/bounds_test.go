package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBoundsAreNamed: each test that bounds.md names is there, and each flag is one of smtpsink's.
func TestBoundsAreNamed(t *testing.T) {
	page, err := os.ReadFile("bounds.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, root := range []string{"../sink", "."} {
		if err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range declared.FindAllSubmatch(text, -1) {
				tests[string(found[1])] = true
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	flags, err := os.ReadFile("reference/smtpsink.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 4 || cells[0] == "|---|---|---|---|" || strings.HasPrefix(cells[0], "| what a peer") {
			continue
		}
		rows++
		named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, name := range named {
			if !tests[name[1]] {
				t.Errorf("no such test: %s", name[1])
			}
		}
		given := regexp.MustCompile("`(--[a-z-]+)`").FindAllStringSubmatch(cells[2], -1)
		if len(given) == 0 && cells[2] != "fixed" {
			t.Errorf("neither a flag nor fixed: %s", line)
		}
		for _, flag := range given {
			if !strings.Contains(string(flags), "`"+flag[1]+"`") {
				t.Errorf("no such flag: %s", flag[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows", rows)
	}
}
