package docs_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestTheTopLevelIsFixed: whoever opens the repository sees its parts, and nothing else.
func TestTheTopLevelIsFixed(t *testing.T) {
	want := []string{"CHANGELOG.md", "LICENSE", "Makefile", "README.md", "bench", "docs", "go.mod", "go.sum", "register.go", "results", "scripts", "sink", "xk6smtp"}
	tracked, err := exec.Command("git", "-C", "..", "ls-tree", "--name-only", "HEAD").Output()
	if err != nil {
		sinktest.Missing(t, "no git checkout: %v", err)
	}
	for name := range strings.FieldsSeq(string(tracked)) {
		if !strings.HasPrefix(name, ".") && !slices.Contains(want, name) {
			t.Errorf("%s lies at the top level, want only %q and dot files", name, want)
		}
	}
}
