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
	missing(t, binary, debianPackage)
	return ""
}

// RequirePerlModule returns when perl can load a module that a tool of the calling test, which is written in Perl, can't do without.
// Otherwise it does as RequireTool.
func RequirePerlModule(t testing.TB, module, debianPackage string) {
	t.Helper()
	perl := RequireTool(t, "perl", "perl")
	if err := exec.CommandContext(t.Context(), perl, "-M"+module, "-e", "1").Run(); err != nil { // #nosec G204 -- perl as RequireTool found it, and a module that a test names; no shell
		missing(t, "the Perl module "+module, debianPackage)
	}
}

func missing(t testing.TB, what, debianPackage string) {
	t.Helper()
	const format = "%s is not installed; install it with: apt-get install -y --no-install-recommends %s"
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatalf(format, what, debianPackage)
	}
	t.Skipf(format, what, debianPackage)
}
