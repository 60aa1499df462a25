package docs_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// notRunAtMost bounds the blocks that no test runs. More want a better reason than that it is difficult.
const notRunAtMost = 23

// elsewhere are pages whose commands another test runs.
var elsewhere = map[string]string{
	"install.md": "make package-check runs them where a release is",
}

// tools are programs of the system that pages use, and the packages that hold them.
var tools = map[string]string{"swaks": "swaks", "curl": "curl", "promtool": "prometheus", "postfix": "postfix", "smtp-source": "postfix", "node": "nodejs"}

// TestCommandsOfPages does what the reader of each page does, and sees what he is shown.
func TestCommandsOfPages(t *testing.T) {
	excused := 0
	for _, page := range allPages(t) {
		list := blocks(t, page)
		run, text := 0, ""
		for _, b := range list {
			if why, is := b.reason(); is {
				excused++
				t.Logf("%s:%d is not run: %s", page, b.line, why)
				if out, err := exec.Command("bash", "-nc", b.text).CombinedOutput(); err != nil {
					t.Errorf("%s:%d: %s", page, b.line, out)
				}
			} else if b.file() == "" && b.language == "sh" || b.language == "console" {
				run++
				text += b.text
			}
		}
		if why, is := elsewhere[filepath.Base(page)]; is || run == 0 {
			t.Logf("%s: %d blocks here: %s", page, run, why)
			continue
		}
		t.Run(strings.TrimSuffix(strings.TrimPrefix(page, "../"), ".md"), func(t *testing.T) {
			t.Parallel()
			if strings.Contains(text, "--mta postfix") {
				sinktest.RequireRoot(t, "a private Postfix")
			}
			words := regexp.MustCompile(`[\w-]+`).FindAllString(text, -1)
			for tool, debianPackage := range tools {
				if slices.Contains(words, tool) {
					sinktest.RequireTool(t, tool, debianPackage)
				}
			}
			open(t, page).read(list)
		})
	}
	if excused > notRunAtMost {
		t.Errorf("%d blocks are not run, more than %d", excused, notRunAtMost)
	}
}
