package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// printer keeps what tests say until it is known whether anybody wants to read it.
type printer struct {
	w       io.Writer
	module  string // prefix of package names, with the slash
	verbose bool
	running []*pkg // in the order of their beginning
	events  int
	failed  bool
}

// pkg is a package whose tests run.
type pkg struct {
	name    string
	told    bool                // that its tests run
	said    strings.Builder     // by no test: what TestMain prints, a panic
	tests   map[string]*testLog // not yet passed
	order   []string            // keys of tests, in the order of their beginning
	result  string              // go test's own line: ok, FAIL or ?
	skipped []string
}

// testLog is what a test said.
type testLog struct {
	text  strings.Builder
	state string // "", "fail", "pause"
}

func newPrinter(w io.Writer, module string, verbose bool) *printer {
	if module != "" {
		module += "/"
	}
	return &printer{w: w, module: module, verbose: verbose}
}

// passed tells whether there were tests, and none failed.
func (p *printer) passed() bool { return p.events > 0 && !p.failed && len(p.running) == 0 }

func (p *printer) line(line []byte) {
	e, ok := parse(line)
	if !ok {
		_, _ = p.w.Write(line)
		return
	}
	p.events++
	switch {
	case e.Action == "build-output":
		_, _ = io.WriteString(p.w, e.Output)
	case e.Action == "build-fail":
		p.failed = true
	case e.Package == "":
	case e.Test == "":
		p.packageEvent(e)
	default:
		p.testEvent(p.pkg(e.Package), e)
	}
}

// pkg returns a package that runs, which it does from its first event on.
func (p *printer) pkg(name string) *pkg {
	for _, k := range p.running {
		if k.name == name {
			return k
		}
	}
	k := &pkg{name: name, tests: map[string]*testLog{}}
	p.running = append(p.running, k)
	return k
}

func (p *printer) short(name string) string { return strings.TrimPrefix(name, p.module) }

func (p *printer) packageEvent(e event) {
	switch e.Action {
	case "output":
		k := p.pkg(e.Package)
		switch {
		case e.Output == "PASS\n" || e.Output == "FAIL\n": // the line with the package's name says it again
			if p.verbose {
				_, _ = io.WriteString(p.w, e.Output)
			}
		case strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t") || strings.HasPrefix(e.Output, "?   \t"):
			k.result = e.Output
		case p.verbose:
			_, _ = io.WriteString(p.w, e.Output)
		default:
			k.said.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		p.end(p.pkg(e.Package), e.Action)
	}
}

// end prints a package's result, and before it what there is to read.
func (p *printer) end(k *pkg, action string) {
	p.running = slices.DeleteFunc(p.running, func(r *pkg) bool { return r == k })
	if action == "fail" {
		p.failed = true
		if !p.verbose {
			for _, name := range k.order {
				// One that neither passed nor failed was under way when the package died.
				if test := k.tests[name]; test != nil {
					_, _ = io.WriteString(p.w, test.text.String())
				}
			}
			_, _ = io.WriteString(p.w, k.said.String())
		}
	}
	if strings.HasPrefix(k.result, "?") { // no test files: go test says so at once, and nobody wants to know
		k.result = ""
	}
	_, _ = io.WriteString(p.w, k.result)
	for _, line := range k.skipped {
		fmt.Fprintf(p.w, "skip  %s: %s\n", p.short(k.name), line)
	}
}

func (p *printer) testEvent(k *pkg, e event) {
	test := k.tests[e.Test]
	if test == nil {
		test = &testLog{}
		k.tests[e.Test] = test
		k.order = append(k.order, e.Test)
	}
	switch e.Action {
	case "run":
		if !k.told { // not at the package's own start: there may be no tests
			k.told = true
			fmt.Fprintf(p.w, "run   %s\n", p.short(k.name))
		}
	case "output":
		if p.verbose {
			_, _ = io.WriteString(p.w, e.Output)
			return
		}
		for _, noise := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
			if strings.HasPrefix(e.Output, noise) {
				return
			}
		}
		test.text.WriteString(e.Output)
	case "skip":
		k.skipped = append(k.skipped, e.Test+": "+reason(test.text.String()))
		k.drop(e.Test)
	case "pass":
		k.drop(e.Test)
	case "fail":
		test.state = "fail"
	case "pause":
		test.state = "pause"
	case "cont":
		test.state = ""
	}
}

// drop forgets a test that nobody needs to read of.
func (k *pkg) drop(test string) {
	delete(k.tests, test)
	k.order = slices.DeleteFunc(k.order, func(name string) bool { return name == test })
}

// reason is what a skipped test gave to Skip: its words without file, line and the result's own line.
func reason(said string) string {
	var words []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- SKIP") {
			continue
		}
		if at, text, ok := strings.Cut(line, ": "); ok && strings.Contains(at, ".go:") && !strings.Contains(at, " ") {
			line = text
		}
		words = append(words, line)
	}
	return strings.Join(words, " ")
}

// underWay names the tests that run: of a test with subtests those.
func (p *printer) underWay() {
	for _, k := range p.running {
		var names []string
		for i, name := range k.order {
			inner := i+1 < len(k.order) && slices.ContainsFunc(k.order[i+1:], func(other string) bool { return strings.HasPrefix(other, name+"/") && k.tests[other].state == "" })
			if k.tests[name].state == "" && !inner {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(p.w, "...   %s: %s\n", p.short(k.name), strings.Join(names, ", "))
		}
	}
}
