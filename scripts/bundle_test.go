package scripts

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEveryFileIsListed holds the tables to the folder, both ways, and their lines to 80 columns.
func TestEveryFileIsListed(t *testing.T) {
	for _, kind := range []struct {
		pattern string
		all     []File
	}{{"*.js", Scripts()}, {"plans/*.yaml", Plans()[:len(Plans())-len(Providers())]}, {"plans/providers/*.yaml", Providers()}, {"plans/storms/*.yaml", Storms()}} {
		found, err := fs.Glob(Files(), kind.pattern)
		if err != nil || len(found) != len(kind.all) {
			t.Errorf("%s: %d files, %v, and %d are listed", kind.pattern, len(found), err, len(kind.all))
		}
		for _, path := range found {
			base := filepath.Base(path)
			f, ok := Find(kind.all, base)
			byName, _ := Find(kind.all, strings.TrimSuffix(base, filepath.Ext(base)))
			disk, err := os.ReadFile(path)
			if !ok || byName != f || err != nil || !bytes.Equal(f.Text(), disk) || len(disk) == 0 {
				t.Errorf("%s: listed: %v; what is built in has %d octets, the file %d, %v", path, ok, len(f.Text()), len(disk), err)
			}
		}
		for line := range strings.Lines(List(kind.all)) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("%q has more than 80 characters", line)
			}
		}
		if got := strings.Count(List(kind.all), "\n"); got != len(kind.all) {
			t.Errorf("%s: the list has %d lines for %d files", kind.pattern, got, len(kind.all))
		}
	}
}

func TestWriteNeverOverwrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "plans")
	written, err := Write(dir, Plans())
	if err != nil || len(written) != len(Plans()) {
		t.Fatalf("%d written, %v", len(written), err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "calm.yaml"))
	if calm, _ := Find(Plans(), "calm"); err != nil || !bytes.Equal(text, calm.Text()) {
		t.Errorf("calm.yaml: %v, %d octets", err, len(text))
	}

	other := t.TempDir()
	mine := filepath.Join(other, "flapping.yaml")
	for name, put := range map[string]func() error{
		"a file":             func() error { return os.WriteFile(mine, []byte("mine"), 0o600) },
		"a dangling symlink": func() error { return os.Symlink(filepath.Join(other, "nowhere"), mine) },
		"a directory":        func() error { return os.Mkdir(mine, 0o700) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		_, err = Write(other, Plans())
		if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), mine) {
			t.Errorf("%s: error %v, want %v and the path", name, err, ErrExists)
		}
		entries, err := os.ReadDir(other)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %d files after the refusal, %v; want the one of the user", name, len(entries), err)
		}
		if err := os.Remove(mine); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(mine, Plans()); err == nil || !strings.Contains(err.Error(), mine) {
		t.Errorf("a directory that is a file: %v", err)
	}
}

func TestLoadPlan(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"bounce-storm", "bounce-storm.yaml"} {
		f, err := LoadPlan(name)
		if err != nil || f.Plan.Name() != "bounce-storm" || !strings.Contains(f.Name, "built in") {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	if err := os.Mkdir("calm", 0o700); err != nil {
		t.Fatal(err)
	}
	if f, err := LoadPlan("calm"); err != nil || f.Plan.Name() != "calm" {
		t.Errorf("a directory of that name: %v, %v", f, err)
	}
	// A file of the user's goes before ours.
	if err := os.WriteFile("bounce-storm", []byte("version: 1\nname: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := LoadPlan("bounce-storm"); err != nil || f.Plan.Name() != "mine" {
		t.Errorf("a file of that name: %v, %v", f, err)
	}
	for name, want := range map[string]string{
		"bounce-strom":      "no such file, and no built-in plan has that name (there are: as-in-the-wild bounce-storm",
		"none/bounce-storm": "none/bounce-storm: no such file",
		".":                 "it is a directory",
	} {
		if _, err := LoadPlan(name); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
