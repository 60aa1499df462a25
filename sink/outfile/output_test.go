package outfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func say(what string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, what)
		return err
	}
}

func TestOnlyOnesOwnFilesAreReplaced(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "thesis.txt", "mine")
	put(t, "ours.x", "format x, old")
	put(t, "input.x", "format x, input")
	put(t, "empty.x", "")
	put(t, "target.x", "format x, target")
	put(t, "late.x", strings.Repeat(" ", 5000)+"format x, but far from the begin")
	if err := errors.Join(os.Mkdir("dir", 0o755), os.Symlink("target.x", "link.x"), os.Symlink("nowhere", "dangling"),
		os.Symlink("input.x", "input-link.x"), os.Symlink("thesis.txt", "thesis-link"), os.Link("input.x", "input-hard.x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"new.x": "", "ours.x": "", "empty.x": "", "link.x": "", os.DevNull: "",
		"thesis.txt":   "thesis.txt can't be written: it exists and is not a file of x: remove it, or name another file",
		"late.x":       "not a file of x",
		"dir":          "dir can't be written: it is a directory",
		"dangling":     "symbolic link to a file that does not exist",
		"thesis-link":  "not a file of x",
		"input.x":      "the same file as input.x, which is an input",
		"input-link.x": "the same file as input.x, which is an input",
		"input-hard.x": "the same file as input.x, which is an input",
		"nowhere/a.x":  "no such file or directory",
		"thesis.txt/a": "not a directory",
		"":             "can't be written",
	} {
		f := &File{Path: path, Kind: "a file of x", Marks: []string{"format x"}, Inputs: []string{"input.x"}}
		check, err := f.Check(), f.Write(say("format x, new"))
		if fmt.Sprint(check) != fmt.Sprint(err) {
			t.Errorf("%s: Check says %v, Write %v", path, check, err)
		}
		var wrong *Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: got %v, want one line with %q", path, err, want)
		}
	}
	for path, want := range map[string]string{
		"new.x": "format x, new", "ours.x": "format x, new", "target.x": "format x, new", "thesis.txt": "mine", "input.x": "format x, input",
	} {
		if got := text(t, path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	if target, err := os.Readlink("link.x"); err != nil || target != "target.x" {
		t.Errorf("link.x is no link any more: %v", err)
	}
	if info, err := os.Stat("ours.x"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ours.x has mode %v, %v; want it kept", info.Mode(), err)
	}
	if temps, _ := filepath.Glob(".*"); len(temps) > 0 {
		t.Errorf("left: %v", temps)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Errorf("%s was replaced", os.DevNull)
	}
}

// A file that is open already is written to and not replaced.
func TestAnOpenFileIsWrittenTo(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("needs /proc: ", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f := &File{Path: fmt.Sprintf("/proc/self/fd/%d", w.Fd()), Kind: "x", Marks: []string{"x"}}
	if err := errors.Join(f.Check(), f.Write(say("through the pipe")), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "through the pipe" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAFailedWriteLeavesWhatWasThere(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "a.x", "x old")
	put(t, "a.x.partial", "mine") // the name that temporary files had
	full := errors.New("no space left")
	f := &File{Path: "a.x", Kind: "x", Marks: []string{"x"}}
	err := f.Write(func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "a.x") {
		t.Errorf("got %v", err)
	}
	if text(t, "a.x") != "x old" || text(t, "a.x.partial") != "mine" {
		t.Error("something was changed")
	}
	if temps, _ := filepath.Glob(".*"); len(temps) > 0 {
		t.Errorf("left: %v", temps)
	}
}
