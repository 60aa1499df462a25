package sinktest

import (
	"os"
	"os/exec"
	"testing"
)

// RequireTool returns the path of a program of the system that the calling test can't do without. When it is missing, the test
// is skipped with the command that installs it, or fails when the environment says REQUIRE_ALL=1. debianPackage is the name of
// the package that holds it.
//
// Administrators' programs (/usr/sbin) are found although they are not in everybody's PATH.
func RequireTool(t testing.TB, binary, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(binary); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + binary); err == nil {
			return path
		}
	}
	const format = "%s is not installed; install it with: apt-get install -y --no-install-recommends %s"
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatalf(format, binary, debianPackage)
	}
	t.Skipf(format, binary, debianPackage)
	return ""
}
