// Package cmd is the command line of smtpbench, which runs mail load against the fault-injecting sink, in calm and in a storm, and compares the
// runs. It is a package of its own since more programs than one have it: smtpbench, and a k6 with the extension (k6 x smtp). Its commands write
// to the process's standard error, read its standard input and take its signals: one command line per process.
package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/text"
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

// Host is the program that has the command line.
type Host struct {
	// Self is how the host runs a command of this package as a process of its own, such as [/usr/bin/k6 x smtp]. Empty: such a process, the
	// watchdog of a run, is done without.
	Self []string
	// K6 is the k6 that runs scripts when no flag names one; empty: the first that is found beside the program, or in ./bin.
	K6 string
}

// watchdog is the command line that clears away after a run; nil if there can be none.
func (h *Host) watchdog() []string {
	if len(h.Self) == 0 {
		return nil
	}
	return append(slices.Clone(h.Self), watchdogArgument)
}

// Internal reports whether a command line is none of a user's: the host calls itself by it.
func (*Host) Internal(args []string) bool { return len(args) == 1 && args[0] == watchdogArgument }

// Run runs a command line, without the program's name, and returns the exit status. An error is one line on stderr. It registers for
// signals as long as a command runs.
func Run(host Host, args []string, stdout, stderr *os.File) int {
	if host.Internal(args) {
		if supervise.Watch(os.Stdin) != nil {
			return exitFailed // there is nobody left to tell
		}
		return 0
	}
	return execute(host, args, stdout, stderr)
}

// execute runs the command line and returns the exit status.
func execute(host Host, args []string, stdout, stderr *os.File) int {
	cmd := NewCommand(host, stdout)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	var status statusError
	var usage *usageError
	var input *input.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), errors.As(err, &input):
		fmt.Fprintf(stderr, "%s %s\n", name(stderr), strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s %v\n", name(stderr), err)
	return exitFailed
}

// name is what an error begins with.
func name(stderr io.Writer) string { return text.PaletteFor(stderr).Bad("smtpbench:") }

// NewCommand returns the tree of commands. Run is what executes one; the tree alone is for who writes manuals.
func NewCommand(host Host, stdout *os.File) *cobra.Command {
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

  # a sink and a k6 that ran as processes of their own: was every injected
  # reply observed?
  smtpbench join run.json sink.json

  # two runs side by side
  smtpbench compare results/monday/calm.json results/tuesday/calm.json \
    --html diff.html`,
		Version:           sink.Version("smtpbench"),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              knownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	cli.CheckFlags(root, func(err error) error { return &usageError{err} })
	root.AddCommand(newRunCommand(host, stdout), newScriptsCommand(stdout), newJoinCommand(stdout), newJudgeCommand(stdout), newMTACommand(stdout), newRelayCommand(stdout), newStormCommand(host, stdout), newCapacityCommand(host, stdout), newCompareCommand(stdout), newMergeCommand(stdout), newHistoryCommand(stdout), newExportCommand(stdout), newReportCommand(stdout), newPlotCommand(stdout),
		cli.NewCompletionCommand("smtpbench", stdout, usageErrorf), newVersionCommand(stdout))
	cli.SetHelp(root)
	return cli.SetExits(root, cli.Exit{Status: 0, Meaning: "done"}, cli.Exit{Status: exitFailed, Meaning: "something can't be explained, or went wrong on the way"},
		cli.Exit{Status: exitUsage, Meaning: "bad input: nothing was done"}, cli.Exit{Status: exitInterrupted, Meaning: "ended early by a signal"})
}

// newScriptsCommand lists the k6 scripts that are built in.
func newScriptsCommand(stdout io.Writer) *cobra.Command {
	return scripts.NewCommand(&cobra.Command{
		Use:   "scripts [NAME...] [--write DIR]",
		Short: "list the k6 scripts that are built in, print one, or write them out",
		Long: `scripts lists the k6 scripts that are built in. With a NAME it prints that script; with --write it writes all scripts, or the named ones, into a
directory, for you to change. The first lines of each say how it runs, and which environment variables change it.

smtpbench run takes such a name in place of a file. smtpsink plans has the storms.`,
		Example: `  smtpbench scripts
  smtpbench scripts spike
  smtpbench scripts spike soak --write my-scripts`,
	}, "script", scripts.Scripts(), stdout, usageErrorf)
}

// knownCommand refuses what cobra would take for an argument of the root command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{cli.UnknownCommand(cmd, args[0], "")}
}

// arguments wants between least and most arguments.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageErrorf("%s: got %d %s, want %s", cmd.Name(), len(args), text.Plural(len(args), "argument"), what)
		}
		return nil
	}
}
