// Package cmd is the command line of smtpsink, an SMTP server that throws mail away very fast and injects faults on purpose: weighted reply
// codes, modes and delays, at any stage of the dialogue. It is a package of its own since more programs than one have it: smtpsink, and a
// k6 with the extension (k6 x smtp sink). A server takes the process's signals: one command line per process.
package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The exit statuses.
const (
	exitFailed = 1 // something went wrong at run time, or connections had to be cut off at the end
	exitUsage  = 2 // bad input: nothing was done
)

// usageError is bad input.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// printableLine keeps what a user or a peer wrote from breaking a line, or from ordering a terminal about.
func printableLine(said string) string {
	said = strings.ReplaceAll(said, "\n", "; ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, said)
}

// Run executes the command line, without the program's name, and returns the exit status. An error is one line on stderr.
func Run(args []string, stdout, stderr io.Writer) int {
	cmd := NewCommand(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s %s\n", text.PaletteFor(stderr).Bad("smtpsink:"), printableLine(err.Error()))
	switch e := err.(type) {
	case *usageError:
		return exitUsage
	case *verdictError:
		return e.Exit
	}
	return exitFailed
}

// NewCommand returns the tree of commands. Run is what executes one; the tree alone is for who writes manuals.
func NewCommand(stdout, stderr io.Writer) *cobra.Command {
	o := &options{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "smtpsink [flags] [host:port]",
		Short: "an SMTP server that throws mail away very fast and injects faults on purpose",
		Long: `smtpsink is an SMTP server that throws mail away very fast and injects faults on purpose.

Without a mode, a reply or a plan it accepts everything. What it is told to inject is drawn by a hash of the seed and of who asks
(sender, recipient, attempt), so that the same load meets the same faults again, whatever its concurrency.

It runs until SIGINT (Ctrl-C) or SIGTERM; then it lets transactions in flight end and prints what it did. SIGHUP reads the plan again.
Sockets that systemd hands over (LISTEN_FDS) are listeners by their names, and take the place of the default of --listen.`,
		Example: `  # accept everything
  smtpsink --listen 127.0.0.1:2525

  # refuse or defer each recipient with one of the bounce codes
  smtpsink --mode bounce --at rcpt --seed 7

  # 90% of the recipients are accepted, 7% deferred, 3% refused; 1% of the
  # messages are deferred after the final dot
  smtpsink --reply 'rcpt=250:90,450:7,550/5.1.1:3' \
    --reply 'message=250:99,451:1'

  # a slow server
  smtpsink --delay 'data=uniform(5ms,50ms)' \
    --delay 'message=lognormal(200ms,0.5)'

  # two listeners that a plan can tell apart, and the final counters as JSON
  smtpsink --listen one=127.0.0.1:2525 --listen 'two=[::1]:2526' \
    --plan bounce-storm --json

  # a storm from a plan that is built in: first explained, then run with a
  # ledger that survives kill -9
  smtpsink plans
  smtpsink check flapping
  smtpsink --plan flapping --ledger ledger.jsonl

  # STARTTLS by a certificate that clients may trust, submission with AUTH, and
  # a listener with implicit TLS
  smtpsink --tls always --tls-ca ca.pem --auth-user alice:secret \
    --auth-required --listen 127.0.0.1:2587 \
    --listen tls=127.0.0.1:2465 --tls-implicit tls

  # one that can be steered while it runs: the next mail to one recipient fails
  smtpsink --control 127.0.0.1:2580
  smtpsink ctl next add --reply 450 --recipient user@example.org

  # the codes, stages and modes there are
  smtpsink catalogue`,
		Args:              func(cmd *cobra.Command, args []string) error { return o.arguments(cmd, args) },
		Version:           sink.Version("smtpsink"),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			o.seedGiven, o.oddsGiven = flags.Changed("seed"), flags.Changed("random-accept")
			o.listenGiven, o.durable = flags.Changed("listen") || o.argument, flags.Changed("durability")
			o.timeoutGiven, o.intervalGiven = flags.Changed("ledger-timeout"), flags.Changed("stats-interval")
			o.keeping.sizeGiven, o.keeping.countGiven = flags.Changed("capture-size"), flags.Changed("capture-count")
			return serve(o)
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	cli.CheckFlags(root, func(err error) error { return &usageError{err} })
	o.addFlags(root.Flags())
	completeValues(root)
	root.AddCommand(newPlansCommand(stdout), newCheckCommand(stdout), newCatalogueCommand(stdout), newLedgerCommand(stdout), newLearnCommand(stdout, stderr), newCtlCommand(stdout, stderr),
		cli.NewCompletionCommand("smtpsink", stdout, usageErrorf), newVersionCommand(stdout))
	cli.SetHelp(root)
	return cli.SetExits(root, cli.Exit{Status: 0, Meaning: "ended by a signal, in good order"},
		cli.Exit{Status: exitFailed, Meaning: "connections had to be cut off at the end, or something went wrong on the way"},
		cli.Exit{Status: exitUsage, Meaning: "bad input, or a port or file that can't be had: it has served nobody"})
}

// newPlansCommand lists the plans that are built in.
func newPlansCommand(stdout io.Writer) *cobra.Command {
	return scripts.NewCommand(&cobra.Command{
		Use:   "plans [NAME...] [--write DIR]",
		Short: "list the storm plans that are built in, print one, or write them out",
		Long: `plans lists the storm plans that are built in. With a NAME it prints that plan; with --write it writes all plans, or the named ones, into a
directory, for you to change.

--plan, and check, take such a name in place of a file.`,
		Example: `  smtpsink plans
  smtpsink plans bounce-storm
  smtpsink plans bounce-storm greylist --write my-plans`,
	}, "plan", scripts.Plans(), stdout, usageErrorf)
}

// noArguments refuses arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return &usageError{cli.UnknownCommand(cmd, args[0], "")}
	}
	return usageErrorf("%s: unexpected argument %q (it takes none)", cmd.Name(), args[0])
}
