package runfiles

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A run's directory may have any name, several ledgers, and notifications as they came.
func TestFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run [1]*")
	write(t, dir, ClaimsFile, `{"token":"s+1@x","recipient":"r@y"}`+"\n")
	start := `{"kind":"start","format":"smtpstorm/ledger/2","time":"2026-01-31T10:20:30Z","plan":"","plan_hash":"","seed":0,"durability":"batch"}` + "\n"
	write(t, dir, "ledger-1.jsonl", start)
	write(t, dir, "ledger-2.jsonl", start)
	write(t, dir, "dsn/1.eml", "Subject: x\r\n\r\nhello\r\n")
	f, err := Find(dir)
	if err != nil || len(f.Ledgers) != 2 || len(f.DSNs) != 1 || f.Queue != "" {
		t.Fatalf("%+v, %v", f, err)
	}
	var input *jsonl.InputError
	if _, err := f.Judge(nil, reconcile.Options{}); !errors.As(err, &input) || !strings.HasSuffix(input.File, "1.eml") {
		t.Errorf("error %v, want one that names the .eml", err)
	}
	write(t, dir, DSNFile, "")
	if f, err = Find(dir); err != nil || !slices.Equal(f.DSNs, []string{filepath.Join(dir, DSNFile)}) {
		t.Errorf("%+v, %v; want %s alone", f, err, DSNFile)
	}
	got, err := f.Judge(nil, reconcile.Options{})
	if err != nil || got.Fates[reconcile.Undetermined] != 1 || got.Runs != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The rows of a ledger that is given twice, by whatever name, would count twice.
func TestALedgerIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ClaimsFile, `{"token":"s+1@x","recipient":"r@y"}`+"\n")
	write(t, dir, LedgerFile, `{"kind":"start","format":"smtpstorm/ledger/2","time":"2026-01-31T10:20:30Z","plan":"","plan_hash":"","seed":0,"durability":"batch"}`+"\n")
	again := filepath.Join(dir, "again.jsonl")
	if err := os.Link(filepath.Join(dir, LedgerFile), again); err != nil {
		t.Fatal(err)
	}
	f := Files{Claims: filepath.Join(dir, ClaimsFile), Ledgers: []string{filepath.Join(dir, LedgerFile), again}}
	var input *jsonl.InputError
	if _, err := f.Judge(nil, reconcile.Options{}); !errors.As(err, &input) || input.File != again || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("error %v, want one that names the second ledger", err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{ClaimsFile, LedgerFile} {
		if _, err := Find(dir); err == nil || err.Error() != filepath.Join(dir, want)+": no such file or directory" {
			t.Errorf("error %v, want one that names %s", err, want)
		}
		write(t, dir, want, "")
	}
	if f, err := Find(dir); err != nil {
		t.Error(err)
	} else if _, err := f.Judge(nil, reconcile.Options{}); err == nil || !strings.Contains(err.Error(), "an empty file is no ledger") {
		t.Errorf("error %v", err)
	}
	f := Files{Claims: dir}
	if _, err := f.Judge(nil, reconcile.Options{}); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Errorf("error %v", err)
	}
}
