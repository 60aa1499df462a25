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

// recorded lets f end on a goroutine of its own, as it may.
func recorded(t *testing.T, f func(testing.TB)) *recordedTB {
	t.Helper()
	tb := &recordedTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	return tb
}

func requireTool(t *testing.T, binary string) (path string, tb *recordedTB) {
	t.Helper()
	tb = recorded(t, func(tb testing.TB) { path = RequireTool(tb, binary, "some-package") })
	return path, tb
}

func TestRequirePerlModule(t *testing.T) {
	for _, test := range []struct{ requireAll, module, skipped, failed string }{
		{"", "strict", "", ""}, {"1", "strict", "", ""},
		{"", "No::Such::Module", "the Perl module No::Such::Module is not installed", ""},
		{"1", "No::Such::Module", "", "the Perl module No::Such::Module is not installed"},
	} {
		t.Setenv("REQUIRE_ALL", test.requireAll)
		RequireTool(t, "perl", "perl")
		tb := recorded(t, func(tb testing.TB) { RequirePerlModule(tb, test.module, "some-package") })
		if !begins(tb.skipped, test.skipped) || !begins(tb.failed, test.failed) {
			t.Errorf("RequirePerlModule(%s) with REQUIRE_ALL=%q: skipped %q, failed %q; want %q, %q", test.module, test.requireAll, tb.skipped, tb.failed, test.skipped, test.failed)
		}
	}
}

// begins reports whether text begins with start, or both are empty.
func begins(text, start string) bool {
	return strings.HasPrefix(text, start) && (text == "") == (start == "")
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
