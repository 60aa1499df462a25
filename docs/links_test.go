package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted  = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```+$")
	// Of a heading GitHub's anchor keeps letters, digits, blanks and hyphens.
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	comment = regexp.MustCompile(`(?m)(^| )#.*$`)
	target  = regexp.MustCompile("(?:^|[\\s`;&])make (?:-s )?([a-z0-9-]+)")
)

// anchors are the names of a page's headings.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(h[1], "$1")
		names[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(title), ""), " ", "-")] = true
	}
	return names
}

// TestLinks follows every link of every page within the project, to the heading.
func TestLinks(t *testing.T) {
	pages := append(allPages(t), "../CHANGELOG.md", "../results/README.md", "../results/storms/README.md")
	reference, err := filepath.Glob("reference/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range append(pages, reference...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(quoted.ReplaceAllString(fence.ReplaceAllString(string(text), ""), ""), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(l[1], "#")
			there := page
			if file != "" {
				there = filepath.Join(filepath.Dir(page), file)
			}
			info, err := os.Stat(there)
			if err != nil {
				t.Errorf("%s links to %s: %v", page, l[1], err)
				continue
			}
			if anchor == "" || info.IsDir() {
				continue
			}
			linked, err := os.ReadFile(there)
			if err != nil {
				t.Fatal(err)
			}
			if !anchors(string(linked))[anchor] {
				t.Errorf("%s links to %s, which has no such heading", page, l[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were seen", links)
	}
}

// TestTargetsOfPages finds every make target that a page names in the Makefile.
func TestTargetsOfPages(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range allPages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var commands []string
		for _, b := range blocks(t, page) {
			commands = append(commands, comment.ReplaceAllString(b.text, ""))
		}
		commands = append(commands, regexp.MustCompile("`make [^`]*`").FindAllString(string(text), -1)...)
		for _, command := range commands {
			for _, m := range target.FindAllStringSubmatch(command, -1) {
				if n := strings.Count(string(makefile), "\n"+m[1]+":"); n != 1 {
					t.Errorf("%s names make %s, for which the Makefile has %d recipes", page, m[1], n)
				}
			}
		}
	}
}
