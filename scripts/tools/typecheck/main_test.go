package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module example.test/m\n\ngo 1.26\n",
		"good.go":           "package m\n\nimport \"os\"\n\nfunc Name() string { return os.DevNull }\n",
		"sub/linux.go":      "//go:build linux\n\npackage sub\n\nimport \"syscall\"\n\nvar Create = syscall.EpollCreate\n",
		"sub/sub.go":        "package sub\n\nfunc Open() (int, error) { return Create(1) }\n",
		"good_test.go":      "package m_test\n\nimport (\n\t\"testing\"\n\n\t\"example.test/m\"\n)\n\nfunc TestName(t *testing.T) { t.Log(m.Name()) }\n",
		"test/t.go":         "package test\n",
		"test/t_test.go":    "package test\n\nimport \"testing\"\n\nfunc TestHelped(t *testing.T) { help(t) }\n",
		"test/help_test.go": "//go:build !darwin\n\npackage test\n\nimport \"testing\"\n\nfunc help(t *testing.T) { t.Helper() }\n",
		"sub/sub_other.go":  "//go:build darwin\n\npackage sub\n\nfunc Create(n int) (int, error) { return n, nil }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for system, want := range map[string]string{"linux/amd64": "", "darwin/arm64": "undefined: help", "windows/amd64": "undefined: Create"} {
		faults, err := check(dir, system, []string{"./..."})
		if err != nil || len(faults) > 1 || (want == "") != (len(faults) == 0) || want != "" && !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%s: %v, %v; want %q", system, faults, err, want)
		}
	}
	for _, system := range []string{"linux", "linux/", "/amd64"} {
		if _, err := check(dir, system, []string{"./..."}); err == nil || !strings.Contains(err.Error(), "GOOS/GOARCH") {
			t.Errorf("system %q: %v", system, err)
		}
	}
	// An unknown system is no pass, nor are no packages.
	if faults, err := check(dir, "plan10/amd64", []string{"./..."}); err == nil && len(faults) == 0 {
		t.Error("an unknown system passes")
	}
	if _, err := check(dir, "linux/amd64", []string{"./nowhere/..."}); err == nil {
		t.Error("no packages pass")
	}
}
