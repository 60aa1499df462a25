package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func program() *cobra.Command {
	root := &cobra.Command{Use: "program", Short: "does things", Args: cobra.ArbitraryArgs, RunE: func(*cobra.Command, []string) error { return nil }, SilenceErrors: true, SilenceUsage: true}
	f := root.Flags()
	f.StringP("listen", "l", "", "where to listen: `host:port`")
	f.StringArray("env", nil, "`NAME=VALUE`")
	f.Uint64("seed", 0, "seed")
	f.Duration("limit", 0, "limit")
	f.Int("loops", 0, "loops")
	f.Float64("odds", 0, "odds")
	f.Bool("quiet", false, "quiet")
	root.AddCommand(NewCompletionCommand("program", io.Discard, func(format string, args ...any) error { return fmt.Errorf(format, args...) }))
	SetExits(root, Exit{0, "all is well"}, Exit{2, strings.Repeat("a long reason, ", 9)})
	SetHelp(root)
	CheckFlags(root, func(err error) error { return err })
	return root
}

func TestErrorsSayWhatToChange(t *testing.T) {
	for line, want := range map[string]string{
		"--seed -1":                          `--seed: invalid value "-1" (want a whole number from 0 to 18446744073709551615)`,
		"--seed 18446744073709551616":        `--seed: invalid value "18446744073709551616" (want a whole number from 0 to 18446744073709551615)`,
		"--limit 5":                          `--limit: invalid value "5" (want a duration such as 500ms, 30s or 10m)`,
		"--loops many":                       `--loops: invalid value "many" (want a whole number)`,
		"--odds half":                        `--odds: invalid value "half" (want a number such as 0.5)`,
		"--quiet=perhaps":                    `--quiet: invalid value "perhaps" (want true or false, or nothing at all)`,
		"--listen":                           `--listen: its value is missing (want --listen host:port)`,
		"-l":                                 `--listen: its value is missing (want --listen host:port)`,
		"--seed":                             `--seed: its value is missing (want --seed a whole number from 0 to 18446744073709551615)`,
		"--listn x":                          `unknown flag: --listn; did you mean --listen? (valid: --env --help --limit --listen --loops --odds --quiet --seed)`,
		"-x":                                 `unknown flag: 'x' in -x (valid: --env`,
		"--listen=":                          `--listen: its value is empty (is a variable of your shell not set?)`,
		"--env A=B --env=":                   `--env: its value is empty`,
		"completion":                         `got 0 arguments, want the name of a shell`,
		"completion tcsh":                    `unknown shell "tcsh" (valid: bash zsh fish)`,
		"--seed \"a\\ for\\ --listen\\ flag": `--seed: invalid value`,
	} {
		root := program()
		root.SetArgs(strings.Fields(strings.ReplaceAll(line, "\\ ", "\u00a0")))
		root.SetOut(io.Discard)
		err := root.Execute()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	root := program()
	if err := UnknownCommand(root, "complet", "or else"); err.Error() != `unknown command "complet"; did you mean completion? (valid: completion; or else)` {
		t.Error(err)
	}
	root.SetArgs([]string{"--quiet", "--listen", "x"})
	if err := root.Execute(); err != nil {
		t.Error(err)
	}
}

func TestHelp(t *testing.T) {
	root := program()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"does things.\n", "\nUsage:\n  program [flags]\n", "\nExit status:\n  0  all is well\n  2  a long reason", "-l, --listen host:port"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("%q is too long", line)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"--mode", "--max-size", "--plan", "--reply"}
	for word, want := range map[string]string{"--mod": "--mode", "--max": "--max-size", "--plam": "--plan", "--x": "", "--rpely": "--reply", "--target": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

var errWrite = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errWrite }

// Each shell's completion is there, and a failed write is no success.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		for _, test := range []struct {
			to   io.Writer
			want error
		}{{&out, nil}, {failing{}, errWrite}} {
			root := &cobra.Command{Use: "program", SilenceErrors: true, SilenceUsage: true}
			root.AddCommand(NewCompletionCommand("program", test.to, func(format string, args ...any) error { return fmt.Errorf(format, args...) }))
			root.SetArgs([]string{"completion", shell})
			if err := root.Execute(); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", shell, err, test.want)
			}
		}
		if !strings.Contains(out.String(), "program __complete") && !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: %d octets without the call that completes", shell, out.Len())
		}
	}
}
