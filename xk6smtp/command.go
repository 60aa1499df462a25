package xk6smtp

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.k6.io/k6/v2/cmd/state"

	bench "github.com/smtpstorm/xk6-smtp/bench/cmd"
	sink "github.com/smtpstorm/xk6-smtp/sink/cmd"
)

// CommandName is the name of the subcommand of k6: k6 x smtp.
const CommandName = "smtp"

// sinkCommand is what smtpsink is called under k6 x smtp; every other word is a command of smtpbench.
const sinkCommand = "sink"

// exitUsage is the exit status for bad input, as smtpsink and smtpbench have it.
const exitUsage = 2

// NewCommand returns k6 x smtp, which has the commands of smtpsink and smtpbench. Their flags aren't k6's: some shorthands mean
// something else there, so k6 parses none of them.
func NewCommand(gs *state.GlobalState) *cobra.Command {
	return &cobra.Command{
		Use:                CommandName + " COMMAND [ARGUMENTS]",
		Short:              "SMTP storms: a fault-injecting sink, and benchmarks of mail pipelines",
		DisableFlagParsing: true,
		SilenceUsage:       true,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			var words []string
			for _, c := range subcommands() {
				words = append(words, c.name+"\t"+c.short)
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		Run: func(_ *cobra.Command, args []string) {
			// A status of its own ends the process here: k6 would print a second line about it.
			if status := runCommand(args); status != 0 {
				gs.OSExit(status)
			}
		},
	}
}

// subcommand is a word after k6 x smtp.
type subcommand struct{ name, short string }

// notHere are commands of smtpbench that k6 has itself.
var notHere = []string{"completion", "version"}

func subcommands() []subcommand {
	all := []subcommand{{sinkCommand, "smtpsink: " + sink.NewCommand(os.Stdout, os.Stderr).Short}}
	for _, c := range bench.NewCommand(bench.Host{}, os.Stdout).Commands() {
		if !c.Hidden && !slices.Contains(notHere, c.Name()) {
			all = append(all, subcommand{c.Name(), c.Short})
		}
	}
	return all
}

func runCommand(args []string) (status int) {
	if len(args) == 0 || slices.Contains([]string{"help", "--help", "-h"}, args[0]) {
		writeCommands()
		return 0
	}
	if args[0] == sinkCommand {
		return sink.Run(args[1:], os.Stdout, os.Stderr)
	}
	var host bench.Host
	if self, err := os.Executable(); err == nil {
		host = bench.Host{Self: []string{self, "x", CommandName}, K6: self}
	}
	if known := slices.ContainsFunc(subcommands(), func(c subcommand) bool { return c.name == args[0] }); !known && !host.Internal(args) {
		var names []string
		for _, c := range subcommands() {
			names = append(names, c.name)
		}
		hint := ""
		if slices.ContainsFunc(sink.NewCommand(os.Stdout, os.Stderr).Commands(), func(c *cobra.Command) bool { return c.Name() == args[0] }) {
			hint = "; did you mean " + sinkCommand + " " + args[0] + "?"
		}
		fmt.Fprintf(os.Stderr, "%s x %s: unknown command %q%s (valid: %s)\n", filepath.Base(os.Args[0]), CommandName, args[0], hint, strings.Join(names, " "))
		return exitUsage
	}
	return bench.Run(host, args, os.Stdout, os.Stderr)
}

func writeCommands() {
	fmt.Printf(`k6 x %s has the commands of smtpsink and of smtpbench, with the same flags and exit statuses; where they need a k6, they use this one.

  k6 x %[1]s sink --plan bounce-storm     is smtpsink --plan bounce-storm
  k6 x %[1]s run                          is smtpbench run
  k6 x %[1]s COMMAND --help               says more about a command

`, CommandName)
	all := subcommands()
	width := 0
	for _, c := range all {
		width = max(width, len(c.name))
	}
	for _, c := range all {
		fmt.Printf("  %-*s  %s\n", width, c.name, c.short)
	}
}

// quiet are the settings that keep k6 from calling other machines: it looks its subcommands up in a registry before one runs, and
// reports afterwards that it ran.
var quiet = []string{"K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false"}

// KeepQuiet has k6 call no other machine when its command line is one of k6 x smtp, unless the environment says otherwise. It has to be called
// before k6 reads its environment.
func KeepQuiet(commandLine []string) error {
	ours := false
	for i := 2; i < len(commandLine); i++ {
		ours = ours || commandLine[i-1] == "x" && commandLine[i] == CommandName
	}
	if !ours {
		return nil
	}
	for _, setting := range quiet {
		name, value, _ := strings.Cut(setting, "=")
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
