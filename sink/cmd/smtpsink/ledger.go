package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

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
	}
	cmd.AddCommand(newSummarizeCommand(stdout), newReconcileCommand(stdout))
	return cmd
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

The exit status is 0 when nothing is lost and every duplicate is explained by the sink, 1 when not, 2 when an input is bad.`,
		Example: "  smtpsink ledger reconcile ledger.jsonl --sent sent.jsonl --queue queue.jsonl --dsn dsn.jsonl",
		Args:    oneLedger,
		RunE: func(_ *cobra.Command, args []string) error {
			if sent == "" {
				return &usageError{errors.New("reconcile: --sent FILE is missing: without it nobody knows what should have arrived")}
			}
			return reconcile(stdout, asJSON, args[0], sent, queue, dsn)
		},
	}
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
		opened, err := os.Open(f.name)
		if err != nil {
			return &usageError{err}
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
		return &usageError{fmt.Errorf("%s: %d files given (want one: the ledger)", cmd.Name(), len(args))}
	}
	return nil
}

func withFile(name string, f func(ledger.Input) error) error {
	file, err := os.Open(name) // #nosec G304 -- the file that the user names on the command line
	if err != nil {
		return &usageError{err}
	}
	defer file.Close()
	return f(ledger.Input{Name: name, R: file})
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
		return asText(stdout)
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
	}
	return err
}
