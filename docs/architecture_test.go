// Package docs_test holds the documents to the code: the import arrows of architecture.md, the reasons in dependencies.md, and
// the commands that the documents promise. It builds nothing; it asks the go command and reads files.
package docs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/smtpstorm/xk6-smtp"

// listedPackage is what the go command says of a package. Only code that is not a test counts.
type listedPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// short returns the package's path below the module, "." for the root.
func (p listedPackage) short() string {
	return shortPath(p.ImportPath)
}

func shortPath(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func goList(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,GoFiles", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("output of go list: %v", err)
		}
		if len(p.GoFiles) > 0 { // a folder of tests alone is no part of the product
			packages = append(packages, p)
		}
	}
}

// fenced returns the lines of the first code block of that language in a document.
func fenced(t *testing.T, file, language string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```"+language+"\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("%s has no ```%s block", file, language)
	}
	return strings.Split(strings.TrimSpace(block), "\n")
}

// TestArrows holds every import between our packages to the list in architecture.md, both ways: an import that isn't listed fails,
// and so does a listed arrow that no code has.
func TestArrows(t *testing.T) {
	allowed := map[string][]string{}
	for _, line := range fenced(t, "architecture.md", "arrows") {
		name, targets, ok := strings.Cut(line, "->")
		if !ok {
			t.Fatalf("architecture.md: arrow without '->': %q", line)
		}
		allowed[strings.TrimSpace(name)] = strings.Fields(targets)
	}
	for _, p := range goList(t) {
		targets, listed := allowed[p.short()]
		if !listed {
			t.Errorf("package %s is not in the arrows of docs/architecture.md", p.short())
			continue
		}
		delete(allowed, p.short())
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			if !slices.Contains(targets, shortPath(imported)) {
				t.Errorf("%s imports %s, which docs/architecture.md does not allow (allowed: %s)", p.short(), shortPath(imported), strings.Join(targets, " "))
			}
		}
		for _, target := range targets {
			if path := module + "/" + target; !slices.Contains(p.Imports, path) && (target != "." || !slices.Contains(p.Imports, module)) {
				t.Errorf("docs/architecture.md lists %s -> %s, but no such import exists", p.short(), target)
			}
		}
	}
	for name := range allowed {
		t.Errorf("docs/architecture.md lists package %s, which does not exist", name)
	}
}

// TestReach holds what packages reach through any import: the core has no sockets, no TLS and no operating system; the reactor
// knows no SMTP; k6 stays behind the extension.
func TestReach(t *testing.T) {
	const k6 = "go.k6.io/k6/v2"
	under := func(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
	for _, p := range goList(t) {
		switch p.short() {
		case "sink/smtp", "sink/fault", "sink/event", "sink/decide", "sink/session", "sink/reconcile", "bench/queue":
			for _, dep := range p.Deps {
				if dep == "net" || dep == "crypto/tls" || under(dep, k6) {
					t.Errorf("%s reaches %s: the core does no I/O", p.short(), dep)
				}
			}
			if slices.Contains(p.Imports, "os") {
				t.Errorf("%s imports os: the core knows no operating system", p.short())
			}
		case "sink/reactor":
			if slices.Contains(p.Deps, module+"/sink/smtp") {
				t.Errorf("%s reaches sink/smtp: the reactor knows no SMTP", p.short())
			}
		case ".", "xk6smtp", "xk6smtp/cmd/k6":
			continue
		}
		for _, dep := range p.Deps {
			if under(dep, k6) {
				t.Errorf("%s reaches %s: only xk6smtp knows k6", p.short(), dep)
			}
		}
	}
}
