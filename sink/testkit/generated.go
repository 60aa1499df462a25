package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Generated holds a page of docs/reference to what the code gives, or writes it when the environment says SMTPSTORM_WRITE_DOCS=1, as
// make docs does. The name is the file's in that folder; the test runs in a folder of the module.
func Generated(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, "docs", "reference", name)
	if os.Getenv("SMTPSTORM_WRITE_DOCS") == "1" {
		err := os.MkdirAll(filepath.Dir(file), 0o755) // #nosec G301 -- a folder of the checkout, for everybody to read
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o644) // #nosec G306 -- a page of the checkout, for everybody to read
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(file) // #nosec G304 -- a page that a test names
	if err != nil {
		t.Fatalf("docs/reference/%s: %v; write it with: make docs", name, err)
	}
	if string(there) == text {
		return
	}
	old, want := strings.Split(string(there), "\n"), strings.Split(text, "\n")
	for i, line := range want {
		if i >= len(old) || old[i] != line {
			was := "(nothing)"
			if i < len(old) {
				was = old[i]
			}
			t.Fatalf("docs/reference/%s is older than the code; write it anew with: make docs\nline %d is  %s\nthe code says %s", name, i+1, was, line)
		}
	}
	t.Fatalf("docs/reference/%s is older than the code: it has %d lines too many; write it anew with: make docs", name, len(old)-len(want))
}
