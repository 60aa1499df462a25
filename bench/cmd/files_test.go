package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOutputsReplaceOnlyTheirOwnKind(t *testing.T) {
	dir := t.TempDir()
	writeRecord(t, filepath.Join(dir, "a.json"), "a", 10)
	writeRecord(t, filepath.Join(dir, "b.json"), "b", 20)
	for name, text := range map[string]string{"thesis.html": "<html>mine", "b.json.partial": "mine", "page.html.partial": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	for args, want := range map[string]string{
		"compare a.json b.json --html thesis.html":            "thesis.html can't be written: it exists and is not a report of smtpbench",
		"compare a.json b.json --html a.json":                 "a.json can't be written: it is the same file as a.json, which is an input",
		"report a.json --html ./a.json":                       "which is an input",
		"report a.json --html no/where.html":                  "no such file or directory",
		"join a.json b.json --out a.json":                     "--out: a.json can't be written: it is the same file as a.json",
		"join a.json b.json --out thesis.html":                "is not a run record",
		"join a.json b.json --out new.json --html ./new.json": "--out and --html name the same file",
	} {
		stdout, stderr, status := smtpbench(t, dir, strings.Fields(args)...)
		if status != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %q", args, status, stdout, stderr, want)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("something was touched:\nbefore\n%s\nafter\n%s", before, after)
	}
	for range 2 { // the second one replaces the first one's page
		if _, stderr, status := smtpbench(t, dir, "compare", "a.json", "b.json", "--html", "page.html"); status != 0 || stderr != "" {
			t.Errorf("status %d, stderr %q", status, stderr)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "page.html.partial")); err != nil || string(text) != "mine" {
		t.Errorf("a file beside the page: %q, %v", text, err)
	}
}
