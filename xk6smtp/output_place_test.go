//go:build unix

package xk6smtp

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.k6.io/k6/v2/lib/fsext"
	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// TestRecordsTakeNobodysPlace has records named after what is there already.
func TestRecordsTakeNobodysPlace(t *testing.T) {
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const old = `{"schema":"smtpstorm/run/1","client":{}}`
	for _, test := range []struct {
		name    string
		place   func(dir string) string // what the record is named
		problem string
		text    string // what stands there afterwards if the record is refused
	}{
		{"nothing", func(dir string) string { return filepath.Join(dir, "new.json") }, "", ""},
		{"an empty file", func(dir string) string { return write(filepath.Join(dir, "a"), "") }, "", ""},
		{"a record", func(dir string) string { return write(filepath.Join(dir, "a"), old) }, "", ""},
		{"another file", func(dir string) string { return write(filepath.Join(dir, "thesis.txt"), "chapter 1") }, "it exists and is not a run record", "chapter 1"},
		{"a directory", func(dir string) string { return dir }, "it is a directory", ""},
		{"no directory", func(dir string) string { return filepath.Join(dir, "no", "a") }, "no such file or directory", ""},
		{"a link to nothing", func(dir string) string {
			if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "link")
		}, "it is a symbolic link to a file that does not exist", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := test.place(dir)
			file, err := createRecordFile(fsext.NewOsFs(), path)
			if test.problem != "" {
				var wrong *outfile.Error
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("error %v, expected %q", err, test.problem)
				}
				if text, _ := os.ReadFile(path); string(text) != test.text {
					t.Errorf("%q stands there", text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			finishRecord(t, file)
			if _, err := result.Read(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func finishRecord(t *testing.T, file *recordFile) {
	t.Helper()
	record := result.New("")
	record.Client = &result.Client{Tool: "k6"}
	if err := file.finish(record); err != nil {
		t.Fatal(err)
	}
}

// TestRecordsBehindLinksAndInPipes has a link stay a link, and a pipe a pipe.
func TestRecordsBehindLinksAndInPipes(t *testing.T) {
	dir := t.TempDir()
	link, real := filepath.Join(dir, "link"), filepath.Join(dir, "real.json")
	if err := errors.Join(os.WriteFile(real, nil, 0o600), os.Symlink("real.json", link)); err != nil {
		t.Fatal(err)
	}
	file, err := createRecordFile(fsext.NewOsFs(), link)
	if err != nil {
		t.Fatal(err)
	}
	finishRecord(t, file)
	if target, err := os.Readlink(link); err != nil || target != "real.json" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := result.Read(real); err != nil {
		t.Error(err)
	}

	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		from, err := os.Open(pipe)
		if err != nil {
			read <- err.Error()
			return
		}
		text, _ := io.ReadAll(from)
		read <- string(text)
	}()
	if file, err = createRecordFile(fsext.NewOsFs(), pipe); err != nil {
		t.Fatal(err)
	}
	finishRecord(t, file)
	if text := <-read; !strings.HasPrefix(text, `{"schema":"`+result.Schema) || !strings.HasSuffix(text, "}\n") {
		t.Errorf("the pipe gave %q", text)
	}
	info, err := os.Lstat(pipe)
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe was replaced: %v, %v", info, err)
	}
}
