// Command containerlint reads container recipes as a build would, by BuildKit's own parser, and prints what its linter has against them; it
// builds nothing. Exit status 1: there is something.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	status := 0
	for _, file := range os.Args[1:] {
		said, err := lint(file)
		if err != nil {
			said = append(said, err.Error())
		}
		for _, line := range said {
			fmt.Fprintf(os.Stderr, "%s: %s\n", file, line)
			status = 1
		}
	}
	os.Exit(status)
}

// lint returns what there is to say about a recipe.
func lint(file string) (said []string, err error) {
	text, err := os.ReadFile(file) // #nosec G304 G703 -- the user names the files
	if err != nil {
		return nil, err
	}
	ast, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, w := range ast.Warnings {
		said = append(said, w.Short)
	}
	warn := func(rule, _, _, message string, at []parser.Range) {
		line := 0
		if len(at) > 0 {
			line = at[0].Start.Line
		}
		said = append(said, fmt.Sprintf("line %d: %s: %s", line, rule, message))
	}
	stages, _, err := instructions.Parse(ast.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return said, err
	}
	last := stages[len(stages)-1]
	user, health := false, false
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User != "root" && c.User != "0"
		case *instructions.HealthCheckCommand:
			health = true
		}
	}
	if len(stages) < 2 {
		said = append(said, "one stage: what builds would be in the image")
	}
	if !user {
		said = append(said, "the last stage runs as root")
	}
	if !health {
		said = append(said, "the last stage has no health check")
	}
	return said, nil
}
