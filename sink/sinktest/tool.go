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
	notInstalled(t, binary, debianPackage)
	return ""
}

// RequirePerlModule returns when perl can load a module that a tool of the calling test, which is written in Perl, can't do without.
// Otherwise it does as RequireTool.
func RequirePerlModule(t testing.TB, module, debianPackage string) {
	t.Helper()
	perl := RequireTool(t, "perl", "perl")
	if err := exec.CommandContext(t.Context(), perl, "-M"+module, "-e", "1").Run(); err != nil { // #nosec G204 -- perl as RequireTool found it, and a module that a test names; no shell
		notInstalled(t, "the Perl module "+module, debianPackage)
	}
}

// RequireRoot returns when the test runs as root, which what needs; otherwise it does as Missing.
func RequireRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "%s needs root: run the tests as root", what)
	}
}

// Missing skips a test for which the machine lacks something, which the arguments tell as in fmt.Sprintf, or fails it when the
// environment says REQUIRE_ALL=1. It doesn't return.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func notInstalled(t testing.TB, what, debianPackage string) {
	t.Helper()
	Missing(t, "%s is not installed; install it with: apt-get install -y --no-install-recommends %s", what, debianPackage)
}
