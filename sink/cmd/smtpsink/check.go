package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

func newCheckCommand(stdout io.Writer) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "explain a plan in words, or say what is wrong with it",
		Long: `check reads a plan and explains it: the probabilities per stage and phase, the chance that a message with 1, 5 or 50 recipients is
accepted, deferred or bounced, each rule that breaks replay, and what looks like a mistake. It serves nothing.

The exit status is 2 when the plan is bad; the error names file, line and key.`,
		Example: `  smtpsink check scripts/plans/bounce-storm.yaml

  # the chance that a message with 50 recipients is accepted for all of them
  smtpsink check --json scripts/plans/bounce-storm.yaml | jq '.periods[0].mail[0].chances[] | select(.recipients == 50).accepted'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("check: %d files given (want one: the plan)", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := plan.Load(args[0])
			if err != nil {
				return &usageError{err}
			}
			return render(stdout, asJSON, plan.NewOutlook(file), func(w io.Writer) error { return plan.Explain(w, file) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the probabilities and chances as JSON (shares from 0 to 1)")
	return cmd
}
