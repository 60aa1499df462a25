// Command testlines turns the events of go test -json into the lines of plain go test, and tells what go test doesn't before it is over:
//
//	run   bench/run                      when the tests of a package begin
//	...   bench/run: TestPostfixLeg      every half a minute: the tests under way
//	skip  bench/run: TestPostfixLeg: postfix is not installed; install it with: ...
//
// What a failed test said comes when its package ends, as with go test. The exit status is 1 when anything failed, or no event came; a
// pipeline with pipefail has go test's own, too.
//
//	go test -json ./... | testlines [-v] [MODULE]
//
// MODULE is the prefix that is left out of a package's name in lines that go test doesn't write. -v shows everything that a test says.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// every is how often the tests under way are named.
const every = 30 * time.Second

func main() {
	verbose, module := false, ""
	for _, arg := range os.Args[1:] {
		if arg == "-v" {
			verbose = true
		} else {
			module = arg
		}
	}
	p := newPrinter(os.Stdout, module, verbose)
	tick := time.NewTicker(every)
	defer tick.Stop()
	lines := make(chan []byte)
	read := make(chan error, 1)
	go func() { read <- readLines(os.Stdin, lines) }()
	for more := true; more; {
		select {
		case line, ok := <-lines:
			if more = ok; ok {
				p.line(line)
			}
		case <-tick.C:
			p.underWay()
		}
	}
	if err := <-read; err != nil {
		fmt.Fprintf(os.Stderr, "testlines: %v\n", err)
		os.Exit(1)
	}
	if !p.passed() {
		os.Exit(1)
	}
}

// readLines sends every line, however long, and closes lines at the end.
func readLines(r io.Reader, lines chan<- []byte) error {
	defer close(lines)
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			lines <- line
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// event is a line of go test -json; see go doc test2json and go help buildjson.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// parse reads an event. What isn't one (go's own complaints) is no error: it is shown as it stands.
func parse(line []byte) (event, bool) {
	var e event
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
		return e, false
	}
	return e, true
}
