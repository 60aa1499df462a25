package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func newLedgerCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "count what a ledger holds, or reconcile it with what a sender sent",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("ledger: no command given (valid: summarize reconcile)")}
		},
		Long: "ledger works on the files that smtpsink --ledger writes. docs/ledger.md describes them.",
		Example: `  smtpsink ledger summarize ledger.jsonl
  smtpsink ledger reconcile ledger.jsonl --sent sent.jsonl`,
	}
	cmd.AddCommand(newSummarizeCommand(stdout), newReconcileCommand(stdout))
	return cli.SetExits(cmd, cli.Exit{Status: exitUsage, Meaning: "no command was given, or an unknown one"})
}

func newSummarizeCommand(stdout io.Writer) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "summarize FILE",
		Short:   "count a ledger's rows, replies, deliveries and attempts",
		Example: "  smtpsink ledger summarize ledger.jsonl",
		Args:    oneLedger,
		RunE: func(_ *cobra.Command, args []string) error {
			return withFile(args[0], func(in ledger.Input) error {
				summary, err := ledger.Summarize(in)
				if err != nil {
					return badInput(err)
				}
				return render(stdout, asJSON, summary, summary.WriteText)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the summary as JSON")
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed"}, cli.Exit{Status: exitUsage, Meaning: "the ledger is missing or bad"})
	return cmd
}

func newReconcileCommand(stdout io.Writer) *cobra.Command {
	var r runfiles.Request
	cmd := &cobra.Command{
		Use:   "reconcile FILE... --sent FILE [--queue FILE] [--dsn FILE] [--incidents FILE]",
		Short: "say what became of every recipient of every message that a sender claims to have sent",
		Long: `reconcile compares ledgers with what a sender says it sent, still holds (--queue) and notified (--dsn). Every (message, recipient) of
--sent gets exactly one fate, and what is wrong is listed as findings. docs/reconciliation.md describes fates, findings and files.

Give --queue and --dsn even if the files are empty: without them nobody can tell lost from undetermined.`,
		Example: `  smtpsink ledger reconcile ledger.jsonl --sent sent.jsonl \
    --queue queue.jsonl --dsn dsn.jsonl --units units.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("reconcile: no file given (want a ledger, or several)")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if r.Files.Claims == "" {
				return &usageError{errors.New("reconcile: --sent FILE is missing: without it nobody knows what should have arrived")}
			}
			r.Files.Ledgers = args
			return judge(stdout, &r)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "the verdict is sound"}, cli.Exit{Status: exitFailed, Meaning: "there are faults"},
		cli.Exit{Status: exitUsage, Meaning: "an input is missing or bad"}, cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "units are undetermined: not enough is known"})
	flags := cmd.Flags()
	flags.StringVar(&r.Files.Claims, "sent", "", "`file` of what was sent: one {\"token\", \"recipient\", ...} a line")
	r.Flags(flags)
	return cmd
}

func judge(stdout io.Writer, r *runfiles.Request) error {
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	result, err := r.Judge(stdout, r.Files.Names(), func(units io.Writer) (*reconcile.Result, error) { return r.Files.Judge(units, r.Options) })
	var unwritable *outfile.Error
	switch {
	case errors.As(err, &unwritable):
		return &usageError{err}
	case err != nil:
		return badInput(err)
	case result.Verdict.Exit != reconcile.ExitSound:
		return &verdictError{result.Verdict}
	}
	return nil
}

// verdictError carries a verdict that is not sound.
type verdictError struct{ reconcile.Verdict }

// Error returns the sentence.
func (e *verdictError) Error() string { return e.Sentence }

func oneLedger(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageErrorf("%s: got %d files, want one: what smtpsink --ledger FILE wrote", cmd.Name(), len(args))
	}
	return nil
}

func withFile(name string, f func(ledger.Input) error) error {
	file, err := open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(ledger.Input{Name: name, R: file})
}

// open opens a file to read. The error is one of usage, and names the file.
func open(name string) (*os.File, error) {
	file, err := os.Open(name) // #nosec G304 -- the file that the user names on the command line
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, usageErrorf("%s: %v", name, err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, usageErrorf("%s: it is a directory", name)
	}
	return file, nil
}

// badInput makes an error in a file one of usage.
func badInput(err error) error {
	var input *jsonl.InputError
	if errors.As(err, &input) {
		return &usageError{err}
	}
	return err
}

func render(stdout io.Writer, asJSON bool, value any, asText func(io.Writer) error) error {
	if !asJSON {
		var b strings.Builder
		if err := asText(&b); err != nil {
			return err
		}
		_, err := io.WriteString(stdout, text.PaletteFor(stdout).Lines(b.String()))
		return err
	}
	encoded, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", encoded)
	}
	return err
}
