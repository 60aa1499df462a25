package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type goMod struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
}

// requirements returns module path -> version of a go.mod file.
func requirements(t *testing.T, file string, directOnly bool) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("go mod edit -json %s: %v", file, err)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		if !directOnly || !r.Indirect {
			versions[r.Path] = r.Version
		}
	}
	return versions
}

// table returns the first cells, without backquotes, of the rows of the table under a heading of dependencies.md; the last cell
// of every row, the reason, must not be empty.
func table(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## "+heading+"\n")
	if !ok {
		t.Fatalf("dependencies.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for _, line := range strings.Split(section, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if reason := strings.TrimSpace(cells[len(cells)-1]); len(cells) < 2 || reason == "" {
			t.Errorf("dependencies.md gives no reason in %q", line)
		}
		names = append(names, strings.Trim(strings.TrimSpace(cells[0]), "`"))
	}
	return names
}

// TestDirectDependenciesHaveReasons compares go.mod with dependencies.md, both ways.
func TestDirectDependenciesHaveReasons(t *testing.T) {
	direct := requirements(t, "../go.mod", true)
	listed := table(t, "Direct dependencies")
	for path := range direct {
		if !slices.Contains(listed, path) {
			t.Errorf("go.mod requires %s, and docs/dependencies.md gives no reason for it", path)
		}
	}
	for _, path := range listed {
		if direct[path] == "" {
			t.Errorf("docs/dependencies.md lists %s, which go.mod does not require directly", path)
		}
	}
}

// TestNothingAboveK6 compares our versions with those that k6 itself asks for: users build our extension into their k6, and a
// raised module is raised for all of it. k6 freezes cobra and pflag; those may never be raised.
func TestNothingAboveK6(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "go.k6.io/k6/v2").Output()
	if err != nil {
		t.Fatalf("go list -m go.k6.io/k6/v2: %v", err)
	}
	ours := requirements(t, "../go.mod", false)
	theirs := requirements(t, strings.TrimSpace(string(out)), false)
	excused := table(t, "Raised above k6's versions")
	var raised []string
	for path, version := range ours {
		if k6 := theirs[path]; k6 != "" && k6 != version {
			raised = append(raised, path)
			if !slices.Contains(excused, path) {
				t.Errorf("go.mod has %s %s, k6 asks for %s: go back, or give the reason in docs/dependencies.md", path, version, k6)
			}
		}
	}
	for _, path := range excused {
		if !slices.Contains(raised, path) {
			t.Errorf("docs/dependencies.md excuses %s, which is not raised", path)
		}
	}
	for _, frozen := range []string{"github.com/spf13/cobra", "github.com/spf13/pflag"} {
		if slices.Contains(raised, frozen) {
			t.Errorf("%s is frozen by k6 and must not be raised", frozen)
		}
	}
}
