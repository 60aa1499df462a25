package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// communityChecks are those of xk6's preset of that name. strictChecks is what the preset "strict" asks for beyond them.
var (
	communityChecks = []string{"security", "vulnerability", "module", "readme", "license", "git", "versions", "build"}
	strictChecks    = []string{"replace", "smoke", "examples", "types"}
)

// TestXK6Lint runs xk6 lint over a clone of HEAD that has a release tag. The community preset passes; what the strict one misses is what
// CONTRIBUTING.md says. gosec, govulncheck and xk6 are those of scripts/tools/go.mod.
func TestXK6Lint(t *testing.T) {
	if os.Getenv("XK6_LINT") != "1" {
		t.Skip("gosec, and a build of k6 by xk6, take minutes: run make xk6-lint")
	}
	sinktest.RequireTool(t, "git", "git")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l := newLinter(ctx, t)
	checks := l.run("--preset", "community")
	if got := slices.Sorted(maps.Keys(checks)); !slices.Equal(got, slices.Sorted(slices.Values(communityChecks))) {
		t.Errorf("the community preset has the checks %v, want %v", got, communityChecks)
	}
	for name, check := range checks {
		switch {
		case check.Passed:
			t.Logf("%s: %s", name, check.Details)
		case name == "vulnerability":
			l.explainVulnerability()
		case name == "security":
			t.Errorf("security: %s\n%s", check.Details, l.gosec())
		default:
			t.Errorf("%s: %s", name, check.Details)
		}
	}
	missing := strictMisses(t)
	for name, check := range l.run("--enable-only", strings.Join(strictChecks, ",")) {
		if listed := slices.Contains(missing, name); check.Passed == listed {
			t.Errorf("%s: passed is %v (%s), and CONTRIBUTING.md lists what the strict preset misses as %v\n%s", name, check.Passed, check.Details, missing, l.stderr)
		}
	}
}

// linter is xk6 with the tools that it calls, and a clone to call it for.
type linter struct {
	t          *testing.T
	ctx        context.Context
	bin, clone string
	env        []string
	stderr     string // of the last run
}

func newLinter(ctx context.Context, t *testing.T) *linter {
	l := &linter{t: t, ctx: ctx, bin: t.TempDir(), clone: filepath.Join(t.TempDir(), "clone")}
	l.env = append(os.Environ(), "PATH="+l.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir(),
		"K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
	for _, args := range [][]string{
		{"go", "build", "-modfile=scripts/tools/go.mod", "-o", l.bin + string(filepath.Separator),
			"github.com/securego/gosec/v2/cmd/gosec", "golang.org/x/vuln/cmd/govulncheck", "go.k6.io/xk6"},
		{"git", "clone", "--quiet", ".", l.clone},
		{"git", "-C", l.clone, "tag", "v0.1.0"}, // the check "versions" wants a release
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return l
}

// command prepares a call of one of the tools in the clone.
func (l *linter) command(name string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.CommandContext(l.ctx, filepath.Join(l.bin, name), args...)
	cmd.Dir, cmd.Env = l.clone, l.env
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

type lintCheck struct {
	ID      string
	Passed  bool
	Details string
}

// run lints, and returns the checks by name.
func (l *linter) run(args ...string) map[string]lintCheck {
	l.t.Helper()
	cmd, stdout, stderr := l.command("xk6", append([]string{"lint", "--json"}, args...)...)
	runErr := cmd.Run() // status 2 when a check failed
	l.stderr = stderr.String()
	var report struct{ Checks []lintCheck }
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || len(report.Checks) == 0 {
		l.t.Fatalf("xk6 lint: %v, %v: %s%s", runErr, err, stdout, stderr)
	}
	checks := make(map[string]lintCheck, len(report.Checks))
	for _, check := range report.Checks {
		checks[check.ID] = check
	}
	return checks
}

// gosec returns the findings, which xk6 only counts.
func (l *linter) gosec() string {
	cmd, stdout, stderr := l.command("gosec", "-quiet", "-color=false", "-exclude-generated", "-r", l.clone+"/...")
	if err := cmd.Run(); err != nil && stdout.Len() == 0 {
		return err.Error() + stderr.String()
	}
	return stdout.String()
}

// explainVulnerability tells a database that is out of reach, which xk6 takes for a failure, from a vulnerability.
func (l *linter) explainVulnerability() {
	l.t.Helper()
	cmd, stdout, stderr := l.command("govulncheck", "./...")
	switch err := cmd.Run(); {
	case err == nil:
		l.t.Log("vulnerability: nothing was found at the second try")
	case strings.Contains(stderr.String(), "govulncheck: fetching vulnerabilities: "):
		l.t.Logf("vulnerability: NOT CHECKED, the database of vulnerabilities is out of reach: %s", strings.TrimSpace(stderr.String()))
	default:
		l.t.Errorf("vulnerability: %v\n%s%s", err, stdout, stderr)
	}
}

// strictMisses returns the checks that CONTRIBUTING.md lists, with a reason, as what the strict preset misses.
func strictMisses(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "What `--preset strict` still misses:\n")
	if !ok {
		t.Fatal("CONTRIBUTING.md doesn't say what the strict preset misses")
	}
	list, _, _ = strings.Cut(strings.TrimSpace(list), "\n\n")
	for _, m := range regexp.MustCompile("(?m)^- `([a-z]+)`: .{20}").FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	return names
}

// exception is how gosec is told of one: it begins the comment, and names rules and a reason.
var exception = regexp.MustCompile(`^#nosec G\d{3}( G\d{3})* -- \S+ \S`)

// badException returns a line of a comment that makes an exception from a linter in another way than this project does, or nothing.
func badException(comment string) string {
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "/* "))
		if strings.Contains(line, "#nosec") && !exception.MatchString(line) || strings.HasPrefix(line, "gosec:disable") || strings.HasPrefix(line, "nolint") {
			return line
		}
	}
	return ""
}

// TestExceptionsHaveReasons: gosec takes a bare exception for one from all of its rules, and nobody knows later why it stands there.
func TestExceptionsHaveReasons(t *testing.T) {
	exceptions := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && name != ".." && (strings.HasPrefix(name, ".") || name == "bin" || name == "results" || name == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			for _, comment := range group.List {
				if strings.Contains(comment.Text, "#nosec") {
					exceptions++
				}
				if bad := badException(comment.Text); bad != "" {
					t.Errorf("%s: %q, want: #nosec RULE [RULE ...] -- reason", fset.Position(comment.Pos()), bad)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if exceptions < 50 {
		t.Errorf("%d exceptions were seen: the test looks in the wrong place", exceptions)
	}
}

func TestBadExceptionsAreSeen(t *testing.T) {
	for _, c := range []struct {
		comment string
		ok      bool
	}{
		{"// #nosec G115 -- a descriptor is a C int", true},
		{"// #nosec G103 G115 -- the memory outlives the call", true},
		{"/* #nosec G304 -- the file that the user names */", true},
		{"// nothing of the kind", true},
		{"// #nosec", false},
		{"//#nosec G115", false},
		{"// #nosec -- a reason without a rule", false},
		{"// #nosec G115 --", false},
		{"// #nosec G115, G304 -- gosec would take it, the project has one way", false},
		{"// fine #nosec G115 -- gosec doesn't look behind the beginning", false},
		{"//gosec:disable G115 -- the other way", false},
		{"//nolint:gosec // of another program", false},
	} {
		if bad := badException(c.comment); (bad == "") != c.ok {
			t.Errorf("%q: %q was found, ok should be %v", c.comment, bad, c.ok)
		}
	}
}
