// Command typecheck tells whether packages and their tests would compile for other systems, without compiling anything for them: a cold build of the standard
// library and of what we depend on takes a minute for each, and leaves nothing that is used.
//
//	typecheck -C DIR darwin/arm64,windows/amd64 PACKAGE...
//
// The exit status is 1 when a package has errors, which are printed with the system.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	dir := flag.String("C", ".", "the module's `folder`")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "typecheck: want systems, such as darwin/arm64,windows/amd64, and packages")
		os.Exit(2)
	}
	failed := false
	for system := range strings.SplitSeq(flag.Arg(0), ",") {
		faults, err := check(*dir, system, flag.Args()[1:])
		if err != nil {
			fmt.Fprintf(os.Stderr, "typecheck: %v\n", err)
			os.Exit(2)
		}
		for _, fault := range faults {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %v\n", system, fault)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check returns the errors that packages of the module in dir have on a system, GOOS/GOARCH.
func check(dir, system string, patterns []string) ([]error, error) {
	goos, goarch, ok := strings.Cut(system, "/")
	if !ok || goos == "" || goarch == "" {
		return nil, fmt.Errorf("system %q: want GOOS/GOARCH, such as darwin/arm64", system)
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	loaded, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax | packages.NeedModule,
		Dir:   root,
		Tests: true,
		Env:   append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
		ParseFile: func(fset *token.FileSet, name string, text []byte) (*ast.File, error) {
			file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
			if file != nil && !strings.HasPrefix(name, root+string(filepath.Separator)) {
				dropBodies(file)
			}
			return file, err
		},
	}, patterns...)
	if err != nil {
		return nil, err
	}
	var faults []error
	known, told := 0, map[string]bool{}
	packages.Visit(loaded, nil, func(p *packages.Package) {
		if p.Module == nil || !p.Module.Main { // without bodies their imports are unused
			return
		}
		known++
		for _, e := range p.Errors {
			// A package and the same with its tests have their faults in common; the main package of the tests, which the go command writes
			// outside the module, has lost its bodies.
			if text := e.Error(); !strings.HasSuffix(p.ID, ".test") && !told[text] {
				told[text] = true
				faults = append(faults, e)
			}
		}
	})
	if known == 0 {
		return nil, errors.New("no package of the module matches")
	}
	return faults, nil
}

// dropBodies leaves of a package that others only import what these see of it.
func dropBodies(file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			f.Body = nil
		}
	}
}
