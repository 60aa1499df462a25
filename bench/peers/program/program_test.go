package program

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

func TestWriteRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	err := WriteRecord(dir, "x", map[string]int{"n": 1}, func(w io.Writer) { _, _ = io.WriteString(w, "# One\n") })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x.json": "{\n \"n\": 1\n}\n", "x.md": "# One\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), expected %q", name, got, err, want)
		}
	}
}

func TestHeading(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := result.Provenance{Started: start, Ended: start.Add(time.Hour), OS: "Debian", Kernel: "6.1", CPUModel: "EPYC", Cores: 2}
	if got, want := Heading(&p), "2026-01-02 03:04 to 04:04 UTC, Debian, Linux 6.1, EPYC (2 logical CPUs), commit unknown."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.Commit, p.Dirty = "abc", true
	if got, want := Heading(&p), "2026-01-02 03:04 to 04:04 UTC, Debian, Linux 6.1, EPYC (2 logical CPUs), commit abc with local changes."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUsageErrorKeepsItsCause(t *testing.T) {
	cause := errors.New("--rounds 0 (want 1 to 1000)")
	if err := error(UsageError{cause}); !errors.Is(err, cause) || err.Error() != cause.Error() {
		t.Errorf("%v", err)
	}
}
