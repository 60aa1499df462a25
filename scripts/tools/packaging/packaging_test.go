// Package packaging_test holds what users install to what it promises: make package-check.
package packaging_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

const (
	modulePath = "github.com/smtpstorm/xk6-smtp"
	root       = "../../.."
)

// command runs a program in a directory and returns what it said.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// clone makes a checkout of the last commit in a directory of that name.
func clone(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "", nil, "git", "clone", "--quiet", root, dir)
	return dir
}

// full says whether all platforms and programs are built anew, which takes a quarter of an hour on two cores.
func full() bool { return os.Getenv("RELEASE_FULL") != "" }

// TestReleaseIsReproducible builds a release of the last commit twice: in different directories, the second time with nothing in the go command's
// cache.
func TestReleaseIsReproducible(t *testing.T) {
	var sums [2]string
	for i, name := range []string{"a", "some/where/else"} {
		dir := clone(t, name)
		release := filepath.Join(t.TempDir(), "release")
		command(t, filepath.Join(dir, "scripts/tools/packaging"), nil, "go", "build", "-o", release, "./release")
		flags := []string{"-out", filepath.Join(dir, "dist")}
		if i == 1 {
			flags = append(flags, "-cache", t.TempDir())
		}
		if !full() {
			flags = append(flags, "-platforms", "linux/"+runtime.GOARCH, "-programs", "smtpsink,smtpbench")
		}
		command(t, dir, nil, release, flags...)
		text, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
		command(t, filepath.Join(dir, "dist"), nil, "sha256sum", "--check", "--quiet", "SHA256SUMS")
		if i == 0 {
			checkArchive(t, filepath.Join(dir, "dist"))
			runInstallPage(t, filepath.Join(dir, "dist"))
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds of one commit differ:\n%s\n%s", sums[0], sums[1])
	}
	t.Log(sums[0])
}

// checkArchive unpacks the archive for this machine: its programs say which commit they are, and its bills of materials name what is in them.
func checkArchive(t *testing.T, dist string) {
	t.Helper()
	archives, _ := filepath.Glob(filepath.Join(dist, "*_linux_"+runtime.GOARCH+".tar.gz"))
	if len(archives) != 1 {
		t.Fatalf("%d archives for this machine", len(archives))
	}
	file, err := os.Open(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	seen := map[string]string{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, inside, _ := strings.Cut(header.Name, "/")
		path := filepath.Join(into, strings.ReplaceAll(inside, "/", "_"))
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, os.FileMode(header.Mode)); err != nil {
			t.Fatal(err)
		}
		seen[inside] = path
	}
	for _, name := range []string{"LICENSE", "man/smtpsink.1", "man/smtpbench-run.1", "completions/_smtpbench", "completions/smtpsink.bash"} {
		if seen[name] == "" {
			t.Errorf("the archive has no %s", name)
		}
	}
	commit := strings.TrimSpace(command(t, root, nil, "git", "rev-parse", "HEAD"))
	for _, program := range []string{"smtpsink", "smtpbench"} {
		if said := command(t, into, nil, seen[program], "--version"); !strings.Contains(said, "commit "+commit) || strings.Contains(said, "modified") {
			t.Errorf("%s --version says %q, want commit %s", program, said, commit)
		}
		text, err := os.ReadFile(seen["sbom/"+program+".cdx.json"])
		if err != nil {
			t.Fatal(err)
		}
		var bill struct {
			BOMFormat  string
			Components []struct{ Name, Version string }
		}
		if err := json.Unmarshal(text, &bill); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range bill.Components {
			found = found || c.Name == "github.com/spf13/cobra" && c.Version != ""
		}
		if bill.BOMFormat != "CycloneDX" || !found {
			t.Errorf("the bill of %s is of %q, and names cobra: %v", program, bill.BOMFormat, found)
		}
	}
	for name, path := range seen {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if home := filepath.Dir(dist); bytes.Contains(text, []byte(home)) {
			t.Errorf("%s has the path of the checkout in it", name)
		}
	}
}

// runInstallPage runs the commands of docs/install.md where a release is.
func runInstallPage(t *testing.T, dist string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/install.md"))
	if err != nil {
		t.Fatal(err)
	}
	sinktest.RequireTool(t, "systemd-socket-activate", "systemd")
	sinktest.RequireTool(t, "curl", "curl")
	sinktest.RequireTool(t, "man", "man-db")
	script := "set -eu\n"
	for _, block := range strings.Split("\n"+string(page), "\n```sh\n")[1:] {
		commands, _, _ := strings.Cut(block, "\n```")
		script += commands + "\n"
	}
	script = strings.ReplaceAll(script, "linux_amd64", "linux_"+runtime.GOARCH)
	if strings.Count(script, "\n") < 8 {
		t.Fatalf("the page has few commands: %s", script)
	}
	t.Logf("docs/install.md: %s", command(t, dist, nil, "bash", "-c", script))
}

// debian builds a package with stand-ins for the programs but smtpsink: what dpkg does with it depends on neither.
func debian(t *testing.T) (file string) {
	t.Helper()
	stage, version := t.TempDir(), "1.2.3"
	command(t, root, []string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(stage, "smtpsink"), "./sink/cmd/smtpsink")
	command(t, root, []string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(stage, "smtpbench"), "./bench/cmd/smtpbench")
	command(t, ".", nil, "go", "run", "./manuals", stage)
	if err := os.MkdirAll(filepath.Join(stage, "sbom"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"k6", "LICENSE", "README.md", "sbom/k6.cdx.json"} {
		if err := os.WriteFile(filepath.Join(stage, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(t.TempDir(), "smtpstorm.deb")
	command(t, ".", []string{"STAGE=" + stage, "ARCH=" + runtime.GOARCH, "VERSION=" + version, "SOURCE_DATE_EPOCH=1790000000"},
		"go", "tool", "nfpm", "package", "--packager", "deb", "--config", "nfpm.yaml", "--target", file)
	return file
}

// TestDebianPackage installs, removes and purges the package in a root of its own, and has systemd's own tools look at the installed units.
func TestDebianPackage(t *testing.T) {
	dpkg := sinktest.RequireTool(t, "dpkg", "dpkg")
	analyze := sinktest.RequireTool(t, "systemd-analyze", "systemd")
	if os.Geteuid() != 0 {
		sinktest.Missing(t, "dpkg installs as root only")
	}
	deb, dir := debian(t), t.TempDir()
	for _, folder := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		command(t, "", nil, dpkg, append([]string{"--root=" + dir, "--force-script-chrootless", "--force-not-root", "--force-depends", "--log=/dev/null"}, args...)...)
	}
	exists := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	run("--install", deb)
	for _, name := range []string{"usr/bin/smtpsink", "usr/bin/smtpbench", "usr/lib/smtpstorm/k6", "usr/share/man/man1/smtpsink.1", "etc/smtpstorm/plan.yaml", "usr/lib/systemd/system/smtpsink.socket"} {
		if !exists(name) {
			t.Errorf("the package has no %s", name)
		}
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if info, e := os.Stat(path); err == nil && e == nil && d.IsDir() && info.Mode().Perm()&0o055 != 0o055 && !strings.Contains(path, "/var/") && path != dir {
			t.Errorf("nobody may enter %s (%v)", path, info.Mode())
		}
		return err
	})
	if target, err := filepath.EvalSymlinks(filepath.Join(dir, "usr/bin/smtpbench")); err != nil || target != filepath.Join(dir, "usr/lib/smtpstorm/smtpbench") {
		t.Errorf("smtpbench is %s, %v: not beside its k6", target, err)
	}
	sink := filepath.Join(dir, "usr/bin/smtpsink")
	if said := command(t, dir, nil, sink, "check", filepath.Join(dir, "etc/smtpstorm/plan.yaml")); !strings.Contains(said, "calm") {
		t.Errorf("the plan that comes with it: %s", said)
	}
	checkUnits(t, analyze, dir)
	checkCalls(t, analyze, sink)

	ledger := filepath.Join(dir, "var/lib/private/smtpsink/ledger.jsonl")
	if err := os.MkdirAll(filepath.Dir(ledger), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ledger, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/smtpstorm/plan.yaml"), []byte("version: 1\nname: mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run("--install", deb) // an upgrade leaves what the user has written
	if text, _ := os.ReadFile(filepath.Join(dir, "etc/smtpstorm/plan.yaml")); !strings.Contains(string(text), "mine") {
		t.Errorf("an upgrade has changed the plan: %s", text)
	}
	run("--remove", "smtpstorm")
	if exists("usr/bin/smtpsink") || !exists("etc/smtpstorm/plan.yaml") || !exists("var/lib/private/smtpsink/ledger.jsonl") {
		t.Error("removed: the program is to go, plan and ledger are to stay")
	}
	run("--purge", "smtpstorm")
	for _, name := range []string{"etc/smtpstorm", "etc/default/smtpsink", "var/lib/private/smtpsink"} {
		if exists(name) {
			t.Errorf("purged, and %s is still there", name)
		}
	}
}

// checkUnits has systemd read the units as installed. verify's exit status is 0 for keys that it doesn't know: it must say nothing.
func checkUnits(t *testing.T, analyze, dir string) {
	t.Helper()
	units := filepath.Join(dir, "usr/lib/systemd/system")
	// It looks for the programs of a unit on this system, not below the root.
	there := t.TempDir()
	for _, name := range []string{"smtpsink.service", "smtpsink.socket"} {
		text, err := os.ReadFile(filepath.Join(units, name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("ExecStart=/usr/bin/"), []byte("ExecStart="+dir+"/usr/bin/"))
		if err := os.WriteFile(filepath.Join(there, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if said := command(t, there, nil, analyze, "verify", "--man=no", "./smtpsink.socket", "./smtpsink.service"); said != "" {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	said := command(t, there, nil, analyze, "security", "--offline=true", "--threshold=20", "./smtpsink.service") // fails above 2.0
	t.Log(strings.TrimSpace(said[strings.LastIndex(strings.TrimSpace(said), "\n"):]))
}

// checkCalls runs smtpsink as the unit does, but under strace, and holds the system calls that it makes to those that the unit allows.
func checkCalls(t *testing.T, analyze, sink string) {
	t.Helper()
	strace := sinktest.RequireTool(t, "strace", "strace")
	swaks := sinktest.RequireTool(t, "swaks", "swaks")
	activate := sinktest.RequireTool(t, "systemd-socket-activate", "systemd")
	allowed := map[string]bool{}
	text, err := os.ReadFile("smtpsink.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		filter, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		filter, denied := strings.CutPrefix(filter, "~")
		for _, group := range strings.Fields(filter) {
			for _, call := range callsOf(t, analyze, group) {
				allowed[call] = !denied
			}
		}
	}
	dir := t.TempDir()
	trace, port := filepath.Join(dir, "trace"), freePort(t)
	// The sockets are for the process that systemd-socket-activate becomes; under strace the sink is another.
	cmd := exec.Command(activate, "--listen=127.0.0.1:"+port, "--fdname=smtp", strace, "-f", "-qq", "-o", trace,
		"sh", "-c", `LISTEN_PID=$$ exec "$0" --loops 2 --ledger ledger.jsonl --tls always`, sink)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	var said []byte
	testkit.Await(t, "systemd-socket-activate listens", func() bool {
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	}, out.String)
	said, err = exec.Command(swaks, "--server", "127.0.0.1", "--port", port, "--to", "b@dst.test", "--from", "a@src.test", "--tls").CombinedOutput()
	if err != nil {
		t.Errorf("mail to the activated sink: %v\n%s", err, said)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscan(string(children), &child); err != nil {
		t.Fatalf("strace has no child: %q", children)
	}
	if err := syscall.Kill(child, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	whole, err := os.ReadFile(trace)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	_, data, found := strings.Cut(string(whole), "execve(\""+sink+"\"")
	if !found || !strings.Contains(out.String(), "listening on smtp=127.0.0.1:"+port+" (driver epoll, 2 loops, inherited)") {
		t.Fatalf("the sink was not activated: %s", out.String())
	}
	seen := map[string]bool{}
	for line := range strings.Lines(data) {
		_, rest, _ := strings.Cut(line, " ")
		name, _, ok := strings.Cut(strings.TrimSpace(rest), "(")
		if !ok || strings.HasPrefix(name, "<") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "+") || seen[name] {
			continue
		}
		seen[name] = true
		if !allowed[name] && !refusedInVain[name] {
			t.Errorf("smtpsink calls %s, which the unit doesn't allow", name)
		}
	}
	if !seen["epoll_pwait"] && !seen["epoll_pwait2"] || !seen["accept4"] {
		t.Errorf("the trace shows no sink at work: %v\n%s", seen, out.String())
	}
}

// refusedInVain are calls that fail under the unit, and whose failure nobody minds.
var refusedInVain = map[string]bool{
	"prlimit64": true, // Go raises the limit of open files to what the unit's LimitNOFILE has set already
	"setrlimit": true,
}

// callsOf returns the system calls of a group, such as @system-service, or a call itself.
func callsOf(t *testing.T, analyze, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	for line := range strings.Lines(command(t, "", nil, analyze, "syscall-filter", "--no-pager", name)) {
		member := strings.TrimSpace(line)
		if member == name || member == "" || strings.HasPrefix(member, "#") {
			continue
		}
		calls = append(calls, callsOf(t, analyze, member)...)
	}
	return calls
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestContainerRecipes has BuildKit's parser and linter read the recipes; and a bad one, so that silence means something.
func TestContainerRecipes(t *testing.T) {
	recipes, _ := filepath.Glob(filepath.Join(root, "scripts/containers/*.Containerfile"))
	if len(recipes) < 2 {
		t.Fatalf("%d recipes", len(recipes))
	}
	lint := filepath.Join(t.TempDir(), "containerlint")
	command(t, ".", nil, "go", "build", "-o", lint, "./containerlint")
	command(t, ".", nil, lint, recipes...)
	bad := filepath.Join(t.TempDir(), "Containerfile")
	if err := os.WriteFile(bad, []byte("FROM alpine\nMAINTAINER me\nRUN true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(lint, bad).CombinedOutput()
	for _, want := range []string{"MaintainerDeprecated", "one stage", "runs as root", "no health check"} {
		if err == nil || !bytes.Contains(said, []byte(want)) {
			t.Errorf("a bad recipe: %v, no %q in %q", err, want, said)
		}
	}
}

// TestGoInstall installs the programs as the module is published: from a zip of it in a module proxy, with its go.sum and without a checkout.
func TestGoInstall(t *testing.T) {
	checkout, proxy := clone(t, "module"), t.TempDir()
	version := module.Version{Path: modulePath, Version: "v0.9.9"}
	at := filepath.Join(proxy, modulePath, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(at, version.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := modzip.CreateFromDir(file, version, checkout); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{".mod": mod, ".info": []byte(`{"Version":"v0.9.9","Time":"2026-11-27T00:00:00Z"}`)} {
		if err := os.WriteFile(filepath.Join(at, version.Version+name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(at, "list"), []byte(version.Version+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cache := strings.TrimSpace(command(t, ".", nil, "go", "env", "GOMODCACHE"))
	fresh, bin := t.TempDir(), t.TempDir()
	// What is already in the module cache stands in for a proxy: the modules that this one needs are there.
	env := []string{"GOPROXY=file://" + proxy + ",file://" + cache + "/cache/download", "GONOSUMDB=*", "GOFLAGS=-modcacherw", "GONOSUMCHECK=1", "GOSUMDB=off", "GOMODCACHE=" + fresh, "GOBIN=" + bin}
	for _, program := range []string{"sink/cmd/smtpsink", "bench/cmd/smtpbench"} {
		command(t, t.TempDir(), env, "go", "install", modulePath+"/"+program+"@latest")
		if said := command(t, "", nil, filepath.Join(bin, filepath.Base(program)), "--version"); !strings.Contains(said, version.Version) {
			t.Errorf("%s --version says %q", program, said)
		}
	}
}
