// Command smtpsink is an SMTP server that throws mail away very fast and injects faults on purpose: weighted reply codes, modes
// and delays, at any stage of the dialogue. Try smtpsink --help.
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink"
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

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit status. An error is one line on stderr.
func run(args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "smtpsink: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if _, usage := err.(*usageError); usage {
		return exitUsage
	}
	return exitFailed
}

func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	o := &options{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "smtpsink",
		Short: "an SMTP server that throws mail away very fast and injects faults on purpose",
		Long: `smtpsink is an SMTP server that throws mail away very fast and injects faults on purpose.

Without a mode, a reply or a plan it accepts everything. What it is told to inject is drawn by a hash of the seed and of who asks
(sender, recipient, attempt), so that the same load meets the same faults again, whatever its concurrency.`,
		Example: `  # accept everything
  smtpsink --listen 127.0.0.1:2525

  # refuse or defer each recipient with one of the bounce codes
  smtpsink --mode bounce --at rcpt --seed 7

  # 90% of the recipients are accepted, 7% deferred, 3% refused; 1% of the messages are deferred after the final dot
  smtpsink --reply 'rcpt=250:90,450:7,550/5.1.1:3' --reply 'message=250:99,451:1'

  # a slow server
  smtpsink --delay 'data=uniform(5ms,50ms)' --delay 'message=lognormal(200ms,0.5)'

  # two listeners that a plan can tell apart, and the final counters as JSON
  smtpsink --listen one=127.0.0.1:2525 --listen 'two=[::1]:2526' --plan storm.yaml --json

  # a storm from a plan: first explained, then run with a ledger that survives kill -9; SIGHUP reads the plan again
  smtpsink check scripts/plans/flapping.yaml
  smtpsink --plan scripts/plans/flapping.yaml --ledger ledger.jsonl

  # STARTTLS by a certificate that clients may trust, submission with AUTH, and a listener with implicit TLS
  smtpsink --tls always --tls-ca ca.pem --auth-user alice:secret --auth-required --listen 127.0.0.1:2587 --listen tls=127.0.0.1:2465 --tls-implicit tls

  # the codes, stages and modes there are
  smtpsink catalogue`,
		Args:              noArguments,
		Version:           sink.Version("smtpsink"),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			o.seedGiven, o.oddsGiven = flags.Changed("seed"), flags.Changed("random-accept")
			o.listenGiven, o.durable = flags.Changed("listen"), flags.Changed("durability")
			return serve(o)
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if text := err.Error(); strings.HasPrefix(text, "unknown") {
			return &usageError{fmt.Errorf("%s (valid: %s)", text, strings.Join(flagNames(cmd), " "))}
		}
		return &usageError{err}
	})
	o.addFlags(root.Flags())
	root.AddCommand(newCatalogueCommand(stdout), newCheckCommand(stdout), newLedgerCommand(stdout), newVersionCommand(stdout))
	return root
}

// noArguments refuses arguments; those of the root command can only be mistaken for a subcommand.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return &usageError{fmt.Errorf("%s: unexpected argument %q (it takes none)", cmd.Name(), args[0])}
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return &usageError{fmt.Errorf("unknown command %q (valid: %s; or flags alone, see --help)", args[0], strings.Join(names, " "))}
}

func flagNames(cmd *cobra.Command) []string {
	names := []string{"--help"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			names = append(names, "--"+f.Name)
		}
	})
	sort.Strings(names)
	return names
}
