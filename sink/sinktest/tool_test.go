package sinktest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// recordedTB records how a test ended instead of ending the real one.
type recordedTB struct {
	testing.TB
	skipped, failed string
}

func (r *recordedTB) Helper() {}

func (r *recordedTB) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recordedTB) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func requireTool(t *testing.T, binary string) (path string, tb *recordedTB) {
	t.Helper()
	tb = &recordedTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		path = RequireTool(tb, binary, "some-package")
	}()
	<-done
	return path, tb
}

func TestRequireTool(t *testing.T) {
	t.Setenv("REQUIRE_ALL", "")
	if path, tb := requireTool(t, "go"); path == "" || tb.skipped != "" || tb.failed != "" {
		t.Errorf("RequireTool(go) = %q, skipped %q, failed %q; want a path", path, tb.skipped, tb.failed)
	}
	const missing = "no-such-program-anywhere"
	if _, tb := requireTool(t, missing); !strings.Contains(tb.skipped, missing) || !strings.Contains(tb.skipped, "apt-get install -y --no-install-recommends some-package") {
		t.Errorf("RequireTool(%s) skipped with %q; want the program and the command that installs it", missing, tb.skipped)
	}
	t.Setenv("REQUIRE_ALL", "1")
	if _, tb := requireTool(t, missing); tb.failed == "" || tb.skipped != "" {
		t.Errorf("RequireTool(%s) with REQUIRE_ALL=1: skipped %q, failed %q; want a failure", missing, tb.skipped, tb.failed)
	}
}
