// Command release builds the archives and Debian packages of a commit, their bills of materials and their checksums. It is run in the root of a
// checkout. Two runs over one commit by one Go give the same octets, wherever the checkouts lie: times are the commit's, paths are trimmed, and no
// name of a user or a machine gets in.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is what is built, and of what.
type release struct {
	root, out, work string
	cache           string // the go command's for the programs; empty: its own
	version         string // v1.2.3, or a pseudo-version as Go makes them
	commit          string
	time            time.Time // of the commit
	programs        []program
}

// program is a main package of the module.
type program struct{ name, folder string }

var allPrograms = []program{{"smtpsink", "sink/cmd/smtpsink"}, {"smtpbench", "bench/cmd/smtpbench"}, {"k6", "xk6smtp/cmd/k6"}}

const (
	allPlatforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64"
	allNames     = "smtpsink,smtpbench,k6"
)

func main() {
	out := flag.String("out", "dist", "directory for the results, which must not exist")
	platforms := flag.String("platforms", allPlatforms, "for which systems")
	programs := flag.String("programs", allNames, "which programs; Debian packages need all three")
	cache := flag.String("cache", "", "directory of compiled packages, as in GOCACHE (default: the go command's own); an empty one has all compiled anew")
	flag.Parse()
	if err := run(*out, *cache, strings.Split(*platforms, ","), strings.Split(*programs, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out, cache string, platforms, programs []string) (err error) {
	r := release{cache: cache}
	if r.root, err = os.Getwd(); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(out); err != nil {
		return err
	}
	for _, name := range programs {
		i := slices.IndexFunc(allPrograms, func(p program) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("unknown program %q (valid: %s)", name, allNames)
		}
		r.programs = append(r.programs, allPrograms[i])
	}
	for _, platform := range platforms {
		if !slices.Contains(strings.Split(allPlatforms, ","), platform) {
			return fmt.Errorf("unknown platform %q (valid: %s)", platform, allPlatforms)
		}
	}
	if err := r.identify(); err != nil {
		return err
	}
	if err := os.Mkdir(r.out, 0o755); err != nil { // #nosec G301 -- what is released is for everybody to read
		return err
	}
	if r.work, err = os.MkdirTemp("", "release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if err := r.command(nil, "go", "run", "-C", "scripts/tools/packaging", "./manuals", filepath.Join(r.work, "manuals")); err != nil {
		return err
	}
	for _, platform := range platforms {
		system, machine, _ := strings.Cut(platform, "/")
		fmt.Printf("release: %s %s\n", r.version, platform)
		if err := r.platform(system, machine); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	return r.checksums()
}

// identify finds out what the checkout is. A version is that of the tag at the commit, or the pseudo-version that go would make.
func (r *release) identify() error {
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", args...) // #nosec G204 -- fixed words of this program; no shell
		cmd.Dir, cmd.Stderr = r.root, os.Stderr
		text, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	head, err := git("log", "-1", "--format=%ct %H")
	if err != nil {
		return err
	}
	seconds, commit, _ := strings.Cut(head, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return err
	}
	r.commit = commit
	r.time = time.Unix(unix, 0).UTC()
	r.version = "v0.0.0-" + r.time.Format("20060102150405") + "-" + commit[:12]
	if tags, err := git("tag", "--points-at", "HEAD", "--list", "v*", "--sort=-version:refname"); err != nil {
		return err
	} else if tag, _, _ := strings.Cut(tags, "\n"); tag != "" {
		r.version = tag
	}
	changed, err := git("status", "--porcelain")
	if changed != "" {
		r.version += "+dirty"
	}
	return err
}

// command runs a program in the root of the checkout, with additions to its environment.
func (r *release) command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...) // #nosec G204 -- fixed words of this program; no shell
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10), "TZ=UTC")
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func (r *release) platform(system, machine string) error {
	name := fmt.Sprintf("smtpstorm_%s_%s_%s", strings.TrimPrefix(r.version, "v"), system, machine)
	stage := filepath.Join(r.work, name)
	suffix := ""
	if system == "windows" {
		suffix = ".exe"
	}
	for _, p := range r.programs {
		binary := filepath.Join(stage, p.name+suffix)
		// No cgo: the same program on every distribution, and nothing of this machine's compiler in it.
		env := []string{"GOOS=" + system, "GOARCH=" + machine, "CGO_ENABLED=0", "GOFLAGS="}
		if r.cache != "" {
			env = append(env, "GOCACHE="+r.cache)
		}
		if err := r.command(env, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", binary, "./"+p.folder); err != nil {
			return err
		}
		if err := r.knowsCommit(binary); err != nil {
			return err
		}
		bill := filepath.Join(stage, "sbom", p.name+".cdx.json")
		if err := os.MkdirAll(filepath.Dir(bill), 0o755); err != nil { // #nosec G301 -- what is released is for everybody to read
			return err
		}
		if err := r.command(nil, "go", "-C", "scripts/tools/packaging", "tool", "cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-notimestamp", "-version", r.version, "-output", bill, binary); err != nil {
			return err
		}
	}
	for _, file := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(r.root, file)) // #nosec G304 -- a file of the checkout
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(stage, file), text, 0o644); err != nil { // #nosec G306 G703 -- what is released is for everybody to read, and in a directory of its own
			return err
		}
	}
	if err := os.CopyFS(stage, os.DirFS(filepath.Join(r.work, "manuals"))); err != nil {
		return err
	}
	if system == "windows" {
		return writeZip(filepath.Join(r.out, name+".zip"), stage, name, r.time)
	}
	if err := writeTar(filepath.Join(r.out, name+".tar.gz"), stage, name, r.time); err != nil {
		return err
	}
	if system == "linux" && len(r.programs) == len(allPrograms) {
		return r.debian(stage, machine)
	}
	return nil
}

// knowsCommit sees that a program names the commit that it was built from: go build leaves it out where it finds no repository, as in a worktree.
func (r *release) knowsCommit(binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && s.Value == r.commit {
			return nil
		}
	}
	return fmt.Errorf("%s does not know its commit %s: build in a clone, not in a worktree", filepath.Base(binary), r.commit)
}

// debian makes a package of what was staged for an archive.
func (r *release) debian(stage, machine string) error {
	version := strings.TrimPrefix(r.version, "v")
	version = strings.Replace(version, "-", "~", 1) // what comes before a release sorts before it
	version = strings.ReplaceAll(version, "-", ".")
	file := filepath.Join(r.out, fmt.Sprintf("smtpstorm_%s_%s.deb", version, machine))
	if err := compressAll(filepath.Join(stage, "man")); err != nil { // Debian policy 12.1
		return err
	}
	// Times in the package are those of SOURCE_DATE_EPOCH.
	env := []string{"STAGE=" + stage, "ARCH=" + machine, "VERSION=" + version}
	return r.command(env, "go", "-C", "scripts/tools/packaging", "tool", "nfpm", "package", "--packager", "deb", "--config", "nfpm.yaml", "--target", file)
}

// checksums writes SHA256SUMS, for sha256sum --check.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(b.String()), 0o644) // #nosec G306 -- what is released is for everybody to read
}
