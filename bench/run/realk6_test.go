package run

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// realK6 returns the path of a k6 with the extension of this work tree.
func realK6(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and runs the real k6")
	}
	k6, err := testkit.Program("xk6smtp/cmd/k6")
	if err != nil {
		t.Fatal(err)
	}
	return k6
}
