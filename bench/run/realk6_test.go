package run

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// built is where the real k6 is built, once for all tests that need it.
var built struct {
	once   sync.Once
	dir    string
	failed error
}

// realK6 returns the path of a k6 with the extension of this work tree.
func realK6(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and runs the real k6")
	}
	built.once.Do(func() {
		if built.dir, built.failed = os.MkdirTemp("", "smtpstorm-k6-"); built.failed != nil {
			return
		}
		build := exec.Command("go", "build", "-o", filepath.Join(built.dir, "k6"), "../../xk6smtp/cmd/k6")
		if out, err := build.CombinedOutput(); err != nil {
			built.failed = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if built.failed != nil {
		t.Fatal(built.failed)
	}
	return filepath.Join(built.dir, "k6")
}

// leaveNothing ends the test binary: no goroutine and no built program stays.
var leaveNothing = goleak.Cleanup(func(status int) {
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			panic(err)
		}
	}
	os.Exit(status)
})
