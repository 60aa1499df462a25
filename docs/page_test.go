package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A block is a fenced part of a page. The words behind the fence say what a test does with it:
//
//	```sh                     commands: run as they stand, one failure fails the page
//	```sh not run: REASON     commands that no test can run, and why; their number is limited
//	```console                what a terminal shows: lines after '$ ' are commands (those after '> ' continue them), the others their output
//	```console figures vary   likewise, but numbers and runs of blanks in the output may be others
//	```console keeps running  likewise; the command goes on when its output is there, until a later block begins with ^C
//	```yaml NAME              a file that the reader saves under this name (any language)
//
// In outputs a line of '...' stands for any number of lines, and '...' within a line for any text. A command of a console block fails the
// page unless its status is 0 or the next command is 'echo $?'.
type block struct {
	line     int // of the page
	language string
	words    string // behind the language
	text     string
}

var opening = regexp.MustCompile("^( *)(```+)([a-z]*)[ ]*(.*)$")

// blocks returns the fenced blocks of a page.
func blocks(t *testing.T, page string) (found []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	var indent, fence string
	for i, line := range strings.Split(string(text), "\n") {
		at := opening.FindStringSubmatch(line)
		switch {
		case open == nil && at != nil:
			open = &block{line: i + 1, language: at[3], words: at[4]}
			indent, fence = at[1], at[2]
		case open != nil && strings.TrimSpace(line) == fence:
			found, open = append(found, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a block has no end", page, open.line)
	}
	return found
}

// reason is why a block is not run.
func (b block) reason() (string, bool) { return strings.CutPrefix(b.words, "not run: ") }

var fileName = regexp.MustCompile(`^[\w-]+\.[a-z]+$`)

// file is the name under which the reader saves a block.
func (b block) file() string {
	return fileName.FindString(b.words)
}

// step is a command of a console block and what it says.
type step struct {
	interrupt bool // ^C, to what keeps running, instead of a command
	command   string
	output    []string
}

// steps takes a console block apart.
func (b block) steps() (list []step, err error) {
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "$ "):
			list = append(list, step{command: line[2:]})
		case line == "^C":
			list = append(list, step{interrupt: true})
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: output before any command", b.line+1+i)
		case strings.HasPrefix(line, "> ") && len(list[len(list)-1].output) == 0:
			list[len(list)-1].command += "\n" + line[2:]
		default:
			list[len(list)-1].output = append(list[len(list)-1].output, line)
		}
	}
	return list, nil
}

var (
	figures = regexp.MustCompile(`[0-9][0-9.,]*(?:e[+-][0-9]+)?`)
	blanks  = regexp.MustCompile(`[ \t]+`)
	// Of two times one may be in another unit.
	units = regexp.MustCompile(`<n> ?(?:ns|us|µs|ms|s|m|h|min|KiB|MiB|B|k|M)\b`)
	runs  = regexp.MustCompile(`(?:<n>)+`)
	// The name of an instance of the sink.
	instance = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
)

// loosely is a line without its figures and names that were drawn.
func loosely(line string) string {
	line = instance.ReplaceAllString(line, "<instance>")
	line = figures.ReplaceAllString(line, "<n>")
	line = units.ReplaceAllString(line, "<n>")
	return runs.ReplaceAllString(line, "<n>")
}

// differs compares what a command said with what the page shows, and returns the first line of the page that is not there.
func differs(shown []string, said string, vary bool) (missing string) {
	tidy := func(line string) string {
		if vary {
			line = loosely(line)
		}
		return strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
	}
	var lines []string
	for line := range strings.Lines(said) {
		lines = append(lines, tidy(strings.TrimRight(line, "\r\n")))
	}
	gap, rest := false, lines
	for _, line := range shown {
		if strings.TrimSpace(line) == "..." {
			gap = true
			continue
		}
		parts := strings.Split(tidy(line), "...")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		for gap && len(rest) > 0 && !pattern.MatchString(rest[0]) {
			rest = rest[1:]
		}
		if len(rest) == 0 || !pattern.MatchString(rest[0]) {
			return line
		}
		gap, rest = false, rest[1:]
	}
	if !gap && len(rest) > 0 {
		return "(the end, instead of " + rest[0] + ")"
	}
	return ""
}

func TestOutputsAreCompared(t *testing.T) {
	for _, test := range []struct {
		shown, said string
		vary        bool
		missing     string
	}{
		{"a\nb", "a\nb\n", false, ""},
		{"a", "a\nb\n", false, "(the end, instead of b)"},
		{"a\n...", "a\nb\nc\n", false, ""},
		{"...\nb", "a\nb\n", false, ""},
		{"...\nd", "a\nb\n", false, "d"},
		{"took 3  ms", "took 3 ms\n", false, ""},
		{"took 3 ms", "took 4 ms\n", false, "took 3 ms"},
		{"took 3 ms", "took 1.4 s\n", true, ""},
		{"1,000 of 20", "7 of 2000\n", true, ""},
		{"took ... ms", "took 3.5 ms\n", false, ""},
		{"took ... ms", "took 3.5 s\n", false, "took ... ms"},
		{"", "", false, ""},
	} {
		var shown []string
		if test.shown != "" {
			shown = strings.Split(test.shown, "\n")
		}
		if got := differs(shown, test.said, test.vary); got != test.missing {
			t.Errorf("%q, %q: %q", test.shown, test.said, got)
		}
	}
}

// allPages are the pages whose commands are run, or not run for a reason.
func allPages(t *testing.T) (pages []string) {
	t.Helper()
	for _, pattern := range []string{"../README.md", "../scripts/README.md", "*.md", "guide/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	return pages
}
