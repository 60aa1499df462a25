package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// said runs events, one a line, through a printer.
func said(verbose bool, events ...string) (*printer, string) {
	var out strings.Builder
	p := newPrinter(&out, "example.test/m", verbose)
	for _, e := range events {
		p.line([]byte(e + "\n"))
	}
	return p, out.String()
}

func output(pkg, test, text string) string {
	e, err := json.Marshal(event{Action: "output", Package: "example.test/m/" + pkg, Test: test, Output: text})
	if err != nil {
		panic(err)
	}
	return string(e)
}

func action(name, pkg, test string) string {
	e, err := json.Marshal(event{Action: name, Package: "example.test/m/" + pkg, Test: test})
	if err != nil {
		panic(err)
	}
	return string(e)
}

func TestLines(t *testing.T) {
	passing := []string{
		action("start", "a", ""), action("run", "a", "TestX"), output("a", "TestX", "=== RUN   TestX\n"), output("a", "TestX", "    x_test.go:1: chatter\n"),
		output("a", "TestX", "--- PASS: TestX (0.10s)\n"), action("pass", "a", "TestX"),
		action("run", "a", "TestY"), output("a", "TestY", "=== RUN   TestY\n"),
		output("a", "TestY", "    y_test.go:9: swaks is not installed: apt-get install swaks\n"), output("a", "TestY", "--- SKIP: TestY (0.00s)\n"), action("skip", "a", "TestY"),
		output("a", "", "PASS\n"), output("a", "", "ok  \texample.test/m/a\t0.2s\n"), action("pass", "a", ""),
	}
	for name, tt := range map[string]struct {
		verbose bool
		events  []string
		want    string
		passed  bool
	}{
		"a package that passes, with a test that is skipped": {false, passing,
			"run   a\nok  \texample.test/m/a\t0.2s\nskip  a: TestY: swaks is not installed: apt-get install swaks\n", true},
		"a package without tests": {false, []string{
			action("start", "n", ""), output("n", "", "?   \texample.test/m/n\t[no test files]\n"), action("skip", "n", ""),
		}, "", true},
		"a test that fails, between one that passes and another package": {false, []string{
			action("run", "a", "TestX"), output("a", "TestX", "    x_test.go:1: chatter\n"), action("run", "b", "TestB"), action("pass", "a", "TestX"),
			action("run", "a", "TestF"), action("run", "a", "TestF/in"), output("a", "TestF/in", "    f_test.go:3: wrong\n"),
			output("a", "TestF", "--- FAIL: TestF (0.00s)\n"), output("a", "TestF/in", "    --- FAIL: TestF/in (0.00s)\n"), action("fail", "a", "TestF/in"), action("fail", "a", "TestF"),
			output("a", "", "FAIL\n"), output("a", "", "FAIL\texample.test/m/a\t0.2s\n"), action("fail", "a", ""),
			output("b", "", "ok  \texample.test/m/b\t(cached)\n"), action("pass", "b", ""),
		}, "run   a\nrun   b\n--- FAIL: TestF (0.00s)\n    f_test.go:3: wrong\n    --- FAIL: TestF/in (0.00s)\nFAIL\texample.test/m/a\t0.2s\nok  \texample.test/m/b\t(cached)\n", false},
		"a package that panics": {false, []string{
			action("run", "a", "TestX"), output("a", "TestX", "panic: boom\n"), output("a", "", "exit status 2\n"), output("a", "", "FAIL\texample.test/m/a\t0.2s\n"), action("fail", "a", ""),
		}, "run   a\npanic: boom\nexit status 2\nFAIL\texample.test/m/a\t0.2s\n", false},
		"a package that doesn't compile": {false, []string{
			`{"ImportPath":"example.test/m/a","Action":"build-output","Output":"a.go:1: no\n"}`, `{"ImportPath":"example.test/m/a","Action":"build-fail"}`,
			action("start", "a", ""), output("a", "", "FAIL\texample.test/m/a [build failed]\n"), action("fail", "a", ""),
		}, "a.go:1: no\nFAIL\texample.test/m/a [build failed]\n", false},
		"everything":        {true, []string{action("run", "a", "TestX"), output("a", "TestX", "=== RUN   TestX\n"), output("a", "", "PASS\n"), action("pass", "a", "")}, "run   a\n=== RUN   TestX\nPASS\n", true},
		"words of go's own": {false, []string{"go: no such package"}, "go: no such package\n", false},
		"nothing":           {false, nil, "", false},
		"an end too early":  {false, []string{action("run", "a", "TestX")}, "run   a\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, got := said(tt.verbose, tt.events...)
			if got != tt.want || p.passed() != tt.passed {
				t.Errorf("passed %v, want %v; said\n%swant\n%s", p.passed(), tt.passed, got, tt.want)
			}
		})
	}
}

func TestUnderWay(t *testing.T) {
	var out strings.Builder
	p := newPrinter(&out, "example.test/m", false)
	for _, e := range []string{
		action("run", "a", "TestX"), action("run", "a", "TestX/one"), action("pass", "a", "TestX/one"), action("run", "a", "TestX/two"), action("run", "b", "TestP"), action("pause", "b", "TestP"),
		action("run", "b", "TestQ"), action("run", "c", "TestC"), action("pass", "c", "TestC"),
	} {
		p.line([]byte(e + "\n"))
	}
	out.Reset()
	p.underWay()
	if want := "...   a: TestX/two\n...   b: TestQ\n"; out.String() != want {
		t.Errorf("said\n%swant\n%s", out.String(), want)
	}
}
