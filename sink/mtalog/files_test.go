package mtalog

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGuess(t *testing.T) {
	for _, format := range Formats() {
		log, err := os.ReadFile(filepath.Join("testdata", format+".log"))
		if err != nil {
			t.Fatal(err)
		}
		if got := Guess(string(log)); got != format {
			t.Errorf("a log of %s looks like one of %q", format, got)
		}
	}
	if got := Guess("GET / HTTP/1.1\nHost: x\n"); got != "" {
		t.Errorf("a request looks like a log of %s", got)
	}
}

// TestRotatedLogs: a log in three parts, one of them packed and one from standard input, is read as the whole is, whatever the order of their names.
func TestRotatedLogs(t *testing.T) {
	log, err := os.ReadFile("testdata/exim.log")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lines := bytes.SplitAfter(log, []byte("\n"))
	part := func(name string, from, to int) string {
		text := bytes.Join(lines[from:to], nil)
		if strings.HasSuffix(name, ".gz") {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, err := w.Write(text)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			text = packed.Bytes()
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	third := len(lines) / 3
	oldest, old := part("main.log.2.gz", 0, third), part("main.log.1", third, 2*third)
	var whole, parts []byte
	if err := Read("exim", bytes.NewReader(log), "log", newYear, func(e *Event) error { whole = e.Append(whole); return nil }); err != nil {
		t.Fatal(err)
	}
	files := &Files{Names: []string{"-", old, oldest}, Location: time.UTC, Stdin: bytes.NewReader(bytes.Join(lines[2*third:], nil))}
	format, n, err := files.Read(func(e *Event) error { parts = e.Append(parts); return nil })
	if err != nil || format != "exim" || n != bytes.Count(log, []byte("\n")) || !bytes.Equal(whole, parts) {
		t.Errorf("%v, %s, %d lines of %d; the events are\n%s\nnot\n%s", err, format, n, len(lines)-1, parts, whole)
	}

	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{old, filepath.Join(dir, "..", filepath.Base(dir), "main.log.1")}, "are the same file"},
		{[]string{"-", "-"}, "only once"},
		{[]string{dir}, "it is a directory"},
		{[]string{filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"-"}, "looks like no log of a known MTA"},
	} {
		_, _, err := (&Files{Names: test.names, Location: time.UTC, Stdin: strings.NewReader("hello\n")}).Read(nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.names, err, test.want)
		}
	}
}
