package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

func openTest(t *testing.T, path string, replay func(*event.Row) error) (*Writer, Recovery, error) {
	t.Helper()
	return Open(path, OpenConfig{Start: event.Start{Time: epoch, Plan: "p", Durability: event.Batch}, Replay: replay})
}

// fill writes a ledger with these attempts and returns its path.
func fill(t *testing.T, tokens ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	w, found, err := openTest(t, path, nil)
	if err != nil || found != (Recovery{}) {
		t.Fatalf("Open() of a new file: %+v, %v", found, err)
	}
	s := w.Shard(nil)
	for _, token := range tokens {
		s.Attempt(attemptOf(token))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenGoesOn(t *testing.T) {
	tests := []struct {
		name, tail string
		want       Recovery
	}{
		{"as it was closed", "", Recovery{Rows: 3, Runs: 1}},
		{"torn last row", `{"kind":"attempt","conn":1,"li`, Recovery{Rows: 3, Runs: 1, Torn: 30}},
		{"whole last row but for its line feed", strings.TrimSuffix(goldenRows[6].line, "\n"), Recovery{Rows: 3, Runs: 1, Torn: int64(len(goldenRows[6].line))}},
		{"zeros, as after a power failure", strings.Repeat("\x00", 3<<20), Recovery{Rows: 3, Runs: 1, Torn: 3 << 20}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := fill(t, "1", "2")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, path, test.tail)
			var replayed []string
			w, found, err := openTest(t, path, func(r *event.Row) error {
				replayed = append(replayed, r.Kind.String()+string(r.Attempt.Token))
				return nil
			})
			if err != nil || found != test.want {
				t.Fatalf("Open() found %+v, %v; want %+v", found, err, test.want)
			}
			if (found.Warning() != "") != (test.tail != "") {
				t.Errorf("Warning() = %q", found.Warning())
			}
			if got := strings.Join(replayed, " "); got != "start attempt1 attempt2" {
				t.Errorf("replayed %q", got)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			header := AppendStart(nil, &event.Start{Time: epoch, Plan: "p", Durability: event.Batch})
			if want := append(whole, header...); !bytes.Equal(now, want) {
				t.Errorf("the file is\n%s\nwant\n%s", now, want)
			}
		})
	}
}

func TestOpenLeavesOtherFilesAlone(t *testing.T) {
	good := string(AppendStart(nil, &event.Start{Time: epoch}))
	tests := []struct{ name, text, want string }{
		{"text without a line feed", "hello", `:1: not a ledger: it does not begin with a start row of smtpstorm/ledger/2, but with "hello"`},
		{"text", "hello\nworld\n", `:1: not a ledger`},
		{"rows without a start", goldenRows[2].line + "\n", `:1: not a ledger`},
		{"corrupt row in the middle", good + "{\"kind\":\"attempt\",\"co\n" + good, `:2: a string does not end`},
		{"corrupt last row with its line feed", good + "\x00\x00\n", `:2: not a JSON object`},
		{"line too long", good + strings.Repeat("x", jsonl.MaxLine+1) + "\n", `:2: a line of more than 1048576 octets`},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := openTest(t, path, nil)
		var input *jsonl.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), path+test.want) {
			t.Errorf("%s:\n got %v\nwant %s", test.name, err, path+test.want)
		}
		if now, _ := os.ReadFile(path); string(now) != test.text {
			t.Errorf("%s: the file was changed", test.name)
		}
	}
}

func TestOpenAfterDeathInTheFirstRow(t *testing.T) {
	header := string(AppendStart(nil, &event.Start{Time: epoch}))
	for n := range len(header) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(header[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		w, found, err := openTest(t, path, nil)
		if err != nil || found.Torn != int64(n) {
			t.Fatalf("after %d octets: %+v, %v", n, found, err)
		}
		_ = w.Close()
	}
}

func TestOpenErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such", "folder", "ledger")
	if _, _, err := openTest(t, missing, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing folder: %v", err)
	}
	if _, _, err := openTest(t, t.TempDir(), nil); err == nil {
		t.Error("a folder was opened")
	}
	stop := errors.New("stop")
	path := fill(t, "1")
	if _, _, err := openTest(t, path, func(*event.Row) error { return stop }); !errors.Is(err, stop) || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("an error of Replay: %v", err)
	}
	if runtime.GOOS != "windows" {
		w, _, err := openTest(t, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := openTest(t, path, nil); err == nil || !strings.Contains(err.Error(), "another process writes to it") {
			t.Errorf("opened twice: %v", err)
		}
		_ = w.Close()
	}
}

func TestReplayInBoundedMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var text bytes.Buffer
	text.Write(AppendStart(nil, &event.Start{Time: epoch}))
	row := goldenRows[6].line + "\n"
	const rows = 20000
	for range rows {
		text.WriteString(row)
	}
	var got event.Row
	n := 0
	allocs := testing.AllocsPerRun(3, func() {
		n = 0
		for r := NewReader(bytes.NewReader(text.Bytes()), "file"); r.Read(&got) == nil; n++ {
		}
	})
	if n != rows+1 || allocs > 200+rows { // a row's one is that of netip.AddrPort.UnmarshalText
		t.Errorf("%d rows read with %v allocations", n, allocs)
	}
}
