// Command smtpbench runs mail load against the fault-injecting sink, in calm and in a storm, and compares the runs. Try
// smtpbench --help.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/bench/run"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink"
)

// The exit statuses.
const (
	exitFailed      = 1   // something can't be explained, or went wrong at run time
	exitUsage       = 2   // bad input: nothing was done
	exitInterrupted = 130 // ended by Ctrl-C, as shells count it
)

// usageError is bad input on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// statusError ends the program with a status; what there is to say was printed.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// watchdogArgument alone makes this program the watchdog of a run: it is for the program itself.
const watchdogArgument = "__watchdog"

func main() {
	if len(os.Args) == 2 && os.Args[1] == watchdogArgument {
		if supervise.Watch(os.Stdin) != nil {
			os.Exit(exitFailed) // there is nobody left to tell
		}
		return
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit status.
func execute(args []string, stdout, stderr *os.File) int {
	cmd := newRootCommand(stdout)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	var status statusError
	var usage *usageError
	var input *run.InputError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), errors.As(err, &input):
		fmt.Fprintf(stderr, "smtpbench: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitUsage
	}
	fmt.Fprintf(stderr, "smtpbench: %v\n", err)
	return exitFailed
}

func newRootCommand(stdout *os.File) *cobra.Command {
	root := &cobra.Command{
		Use:   "smtpbench",
		Short: "measure what a mail pipeline does when the other side turns bad",
		Long: `smtpbench drives SMTP clients (k6) against a fault-injecting sink, in calm and in a storm, checks that every injected reply was
observed, and compares latencies and replies. It can put a real mail transfer agent in between and follow every message.`,
		Example: `  # the main job: calm against bounce storm; writes results/latest/report.html
  smtpbench run

  # a script of your own, against a sink that bounces recipients
  smtpbench run my-test.js --mode bounce --at rcpt

  # your own MTA, whose next hop is the sink at port 2526
  smtpbench run --target 127.0.0.1:25 --sink-listen 127.0.0.1:2526

  # a sink and a k6 that ran as processes of their own: was every injected reply observed?
  smtpbench join run.json sink.json

  # two runs side by side
  smtpbench compare results/monday/calm.json results/tuesday/calm.json --html diff.html`,
		Version:           sink.Version("smtpbench"),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              knownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if text := err.Error(); strings.HasPrefix(text, "unknown") {
			return usageErrorf("%s (valid: %s)", text, strings.Join(flagNames(cmd), " "))
		}
		return &usageError{err}
	})
	root.AddCommand(newRunCommand(stdout), newJoinCommand(stdout), newCompareCommand(stdout), newReportCommand(stdout), newVersionCommand(stdout))
	return root
}

// knownCommand refuses what cobra would take for an argument of the root command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usageErrorf("unknown command %q (valid: %s)", args[0], strings.Join(names, " "))
}

// arguments wants between least and most arguments.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageErrorf("%s: got %d arguments, want %s", cmd.Name(), len(args), what)
		}
		return nil
	}
}

func flagNames(cmd *cobra.Command) []string {
	names := []string{"--help"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			names = append(names, "--"+f.Name)
		}
	})
	slices.Sort(names)
	return names
}
