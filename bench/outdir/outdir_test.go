package outdir

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// lay writes files below dir; a name that ends in a slash is a directory, a text that begins with "-> " a symbolic link.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// files lists a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// snapshot is all that lies below a directory, with contents and inodes' times of change.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", path, info.Mode())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x %v", sha256.Sum256(text), info.ModTime())
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(path)
			b.WriteString(" -> " + target)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// published puts results with these files into a directory, as a run does.
func published(t *testing.T, out string, files map[string]string) {
	t.Helper()
	o, err := New(out)
	if err != nil {
		t.Fatal(err)
	}
	lay(t, o.Temp.Dir, files)
	if err := o.Publish(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyResultsOfARunAreReplaced(t *testing.T) {
	results := map[string]string{"summary.json": "{}", "plots/a.svg": "<svg/>", "dsn/": ""} // no notification came
	for _, tt := range []struct {
		name  string
		files map[string]string // laid out below the working directory
		ours  string            // directory in which a run left results before that
		out   string
		want  string // in the error; empty: it is replaced
	}{
		{name: "new", out: "new"},
		{name: "new with parents", out: "a/b/c"},
		{name: "empty", files: map[string]string{"empty/": ""}, out: "empty"},
		{name: "an earlier run's", ours: "results", out: "results"},
		{name: "an earlier run's with a file less", ours: "results", files: map[string]string{"x": ""}, out: "results/"},
		{name: "a file named summary.json", files: map[string]string{"d/summary.json": "{}"}, out: "d", want: "no .smtpstorm-results"},
		{name: "a repository", files: map[string]string{"d/summary.json": "{}", "d/.git/HEAD": "ref"}, out: "d", want: "holds something else than results"},
		{name: "a thesis among results", ours: "d", files: map[string]string{"d/thesis.txt": "mine"}, out: "d", want: "holds thesis.txt, which no run left there"},
		{name: "a repository among results", ours: "d", files: map[string]string{"d/.git/HEAD": "ref"}, out: "d", want: "which no run left there"},
		{name: "an empty directory among results", ours: "d", files: map[string]string{"d/mine/": ""}, out: "d", want: "holds mine"},
		{name: "a link among results", ours: "d", files: map[string]string{"d/link": "-> ../x"}, out: "d", want: "holds link"},
		{name: "notes in a result", ours: "d", files: map[string]string{"d/summary.json": "{} and what I think of it"}, out: "d", want: "summary.json, which was changed"},
		{name: "a plot of the user's", ours: "d", files: map[string]string{"d/plots/mine.svg": "<svg/>"}, out: "d", want: "mine.svg"},
		{name: "a marker of another format", files: map[string]string{"d/.smtpstorm-results": `{"format":"x","id":"0123456789abcdef0123456789abcdef"}`}, out: "d", want: "none of this program's"},
		{name: "a marker without an id", files: map[string]string{"d/.smtpstorm-results": `{"format":"smtpstorm/results/1"}`}, out: "d", want: "none of this program's"},
		{name: "a marker that is a link", files: map[string]string{"d/.smtpstorm-results": "-> ../m", "m": "{}"}, out: "d", want: "none of this program's"},
		{name: "a torn marker", files: map[string]string{"d/.smtpstorm-results": `{"form`}, out: "d", want: "none of this program's"},
		{name: "the working directory", out: ".", want: "working directory"},
		{name: "what holds the working directory", out: "..", want: "working directory, or holds it"},
		{name: "the root", out: "/", want: "root"},
		{name: "a mount point", out: "/proc", want: "mount point"},
		{name: "home", files: map[string]string{"home/": ""}, out: "home", want: "home directory"},
		{name: "what holds home", files: map[string]string{"users/me/": ""}, out: "users", want: "home directory, or holds it"},
		{name: "a file", files: map[string]string{"f": "mine"}, out: "f", want: "not a directory"},
		{name: "below a file", files: map[string]string{"f": "mine"}, out: "f/x", want: "not a directory"},
		{name: "a link that dangles", files: map[string]string{"l": "-> nowhere"}, out: "l", want: "symbolic link to nowhere, which does not exist"},
		{name: "a link to a file", files: map[string]string{"l": "-> f", "f": "mine"}, out: "l", want: "not a directory"},
		{name: "a link to something else", files: map[string]string{"l": "-> d", "d/thesis.txt": "mine"}, out: "l", want: "something else than results"},
		{name: "a link that goes round", files: map[string]string{"l": "-> l"}, out: "l", want: "--out l"},
		{name: "a parent that can't be written", out: "/proc/self/x/y", want: "--out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			wd := filepath.Join(dir, "wd")
			lay(t, wd, map[string]string{"stays": "mine"})
			t.Chdir(wd)
			t.Setenv("HOME", filepath.Join(wd, "home"))
			if strings.Contains(tt.name, "holds home") {
				t.Setenv("HOME", filepath.Join(wd, "users", "me"))
			}
			if tt.ours != "" {
				published(t, tt.ours, results)
			}
			lay(t, wd, tt.files)
			before := snapshot(t, dir)
			o, err := New(tt.out)
			if tt.want != "" {
				var input *input.Error
				if !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "--out") {
					t.Errorf("got %v, want one line about --out with %q", err, tt.want)
				}
				if after := snapshot(t, dir); after != before {
					t.Errorf("something was touched:\nbefore\n%s\nafter\n%s", before, after)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.ours != "" && !strings.Contains(snapshot(t, dir), "plots/a.svg") {
				t.Error("the old results are gone before the new ones are complete")
			}
			lay(t, o.Temp.Dir, map[string]string{"calm.json": "new"})
			if err := o.Publish(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(files(t, tt.out)); got != "[.smtpstorm-results calm.json]" {
				t.Errorf("results hold %s", got)
			}
			if text, err := os.ReadFile("stays"); err != nil || string(text) != "mine" {
				t.Errorf("beside it: %q, %v", text, err)
			}
			if hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Final), ".*-*")); len(hidden) > 0 {
				t.Errorf("left: %v", hidden)
			}
		})
	}
}

func TestALinkToResultsStaysALink(t *testing.T) {
	t.Chdir(t.TempDir())
	published(t, "real", map[string]string{"old.json": "old"})
	lay(t, ".", map[string]string{"latest": "-> real"})
	published(t, "latest", map[string]string{"new.json": "new"})
	if target, err := os.Readlink("latest"); err != nil || target != "real" {
		t.Errorf("latest points to %q, %v", target, err)
	}
	if got := fmt.Sprint(files(t, "real")); got != "[.smtpstorm-results new.json]" {
		t.Errorf("results hold %s", got)
	}
}

// TestWhatComesInDuringARunIsNotReplaced adds to the directory after the run has begun: the new results are kept beside it.
func TestWhatComesInDuringARunIsNotReplaced(t *testing.T) {
	for name, had := range map[string]bool{"results of an earlier run": true, "nothing": false} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if had {
				published(t, "out", map[string]string{"old.json": "old"})
			}
			o, err := New("out")
			if err != nil {
				t.Fatal(err)
			}
			lay(t, o.Temp.Dir, map[string]string{"new.json": "new"})
			lay(t, ".", map[string]string{"out/thesis.txt": "mine"})
			err = o.Publish()
			if err == nil || !strings.Contains(err.Error(), "the results are in out-") {
				t.Fatalf("got %v, want an error that says where the results are", err)
			}
			if err := o.Discard(); err != nil {
				t.Error(err)
			}
			kept, _ := filepath.Glob("out-*")
			if len(kept) != 1 || fmt.Sprint(files(t, kept[0])) != "[.smtpstorm-results new.json]" {
				t.Errorf("kept %v", kept)
			}
			if text, err := os.ReadFile("out/thesis.txt"); err != nil || string(text) != "mine" {
				t.Errorf("the thesis: %q, %v", text, err)
			}
			if _, err := os.Stat("out/old.json"); had && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTwoRunsIntoOneDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	first, err := New("out")
	if err != nil {
		t.Fatal(err)
	}
	lay(t, ".", map[string]string{"real/": "", "link": "-> real"})
	var input *input.Error
	for _, out := range []string{"out", "./x/../out", "real/../out"} {
		if _, err := New(out); !errors.As(err, &input) || !strings.Contains(err.Error(), "another run is writing there") {
			t.Errorf("a second run into %s: %v", out, err)
		}
	}
	lay(t, first.Temp.Dir, map[string]string{"a": "a"})
	if err := first.Publish(); err != nil {
		t.Fatal(err)
	}
	published(t, "out", map[string]string{"b": "b"})
	byLink, err := New("link")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New("real"); !errors.As(err, &input) {
		t.Errorf("a second run into a link's target: %v", err)
	}
	if err := byLink.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(files(t, ".")); got != "[link out real]" {
		t.Errorf("left: %s", got)
	}
}

// TestAFailedRunLeavesNoDirectories holds that what was created on the way goes with the rest.
func TestAFailedRunLeavesNoDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	o, err := New("a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, "."); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// TestKilledAtTheVeryEnd starts from what a kill between the exchange and the removal leaves: the next run tidies up.
func TestKilledAtTheVeryEnd(t *testing.T) {
	t.Chdir(t.TempDir())
	published(t, "out", map[string]string{"a": "a"})
	published(t, ".out-123", map[string]string{"old": "old"})
	published(t, ".out-456", map[string]string{"old": "old"})
	lay(t, ".", map[string]string{".out-456/thesis.txt": "mine", "out/" + supervise.OwnerFile: "{}"})
	published(t, "out", map[string]string{"b": "b"})
	if got := fmt.Sprint(files(t, "."), files(t, "out")); got != "[.out-456 out] [.smtpstorm-results b]" {
		t.Errorf("left: %s", got)
	}
}

// TestWhatKilledRunsHaveKept: only what a killed run has left is told of, not what was put aside complete, or is somebody else's.
func TestWhatKilledRunsHaveKept(t *testing.T) {
	t.Chdir(t.TempDir())
	published(t, "out-0123abcd", map[string]string{"a": "a"})
	lay(t, ".", map[string]string{"out-89abcdef/sent.jsonl": "{}", "out-thesis0/a": "mine", "out-01234567": "a file", "other-01234567/sent.jsonl": "{}"})
	o, err := New("out")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(o.Kept()); got != "[out-89abcdef]" {
		t.Errorf("kept: %s", got)
	}
	if err := o.Discard(); err != nil {
		t.Error(err)
	}
}
