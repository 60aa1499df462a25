package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/internal/cli"
	"github.com/smtpstorm/xk6-smtp/internal/text"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
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
	var sent, queue, dsn string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "reconcile FILE --sent FILE [--queue FILE] [--dsn FILE]",
		Short: "put every recipient of every message that a sender claims to have sent into exactly one class",
		Long: `reconcile compares a ledger with what a sender says it sent, still holds (--queue) and was told (--dsn), each a file of JSON Lines. Every
(token, recipient) of --sent falls into exactly one class: accepted-once, duplicated-ambiguous, duplicated-unexplained, bounced, open,
expired, lost. Without --queue nobody can tell open from lost: the class is open-or-lost. docs/ledger.md describes classes and files.
`,
		Example: `  smtpsink ledger reconcile ledger.jsonl --sent sent.jsonl
  smtpsink ledger reconcile ledger.jsonl --sent sent.jsonl \
    --queue queue.jsonl --dsn dsn.jsonl`,
		Args: oneLedger,
		RunE: func(_ *cobra.Command, args []string) error {
			if sent == "" {
				return &usageError{errors.New("reconcile: --sent FILE is missing: without it nobody knows what should have arrived")}
			}
			return reconcile(stdout, asJSON, args[0], sent, queue, dsn)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "nothing is lost, and the sink explains every duplicate"},
		cli.Exit{Status: exitFailed, Meaning: "something is lost, or duplicated without explanation"}, cli.Exit{Status: exitUsage, Meaning: "an input is missing or bad"})
	flags := cmd.Flags()
	flags.StringVar(&sent, "sent", "", "what was sent: one {\"token\", \"recipient\", ...} a line")
	flags.StringVar(&queue, "queue", "", "what the sender's queue holds: one {\"token\" or \"sender\", \"recipient\"} a line")
	flags.StringVar(&dsn, "dsn", "", "which notifications the sender got: one {\"token\", \"recipient\", \"action\", \"status\"} a line")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func reconcile(stdout io.Writer, asJSON bool, file, sent, queue, dsn string) error {
	var in ledger.Inputs
	for _, f := range []struct {
		name string
		to   *ledger.Input
	}{{file, &in.Ledger}, {sent, &in.Sent}, {queue, &in.Queue}, {dsn, &in.Notifications}} {
		if f.name == "" {
			continue
		}
		opened, err := open(f.name)
		if err != nil {
			return err
		}
		defer opened.Close()
		*f.to = ledger.Input{Name: f.name, R: opened}
	}
	result, err := ledger.Reconcile(in)
	if err != nil {
		return badInput(err)
	}
	if err := render(stdout, asJSON, result, result.WriteText); err != nil {
		return err
	}
	if !result.Clean() {
		return fmt.Errorf("%d lost, %d duplicated without explanation", result.Classes.Lost, result.Classes.DuplicatedUnexplained)
	}
	return nil
}

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
	var input *ledger.InputError
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
