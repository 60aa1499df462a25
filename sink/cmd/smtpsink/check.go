package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

func newCheckCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "explain a plan in words, or say what is wrong with it",
		Long: `check reads a plan and explains it: the probabilities per stage and phase, the chance that a message with 1, 5 or 50 recipients is
accepted, deferred or bounced, each rule that breaks replay, and what looks like a mistake. It serves nothing.

The exit status is 2 when the plan is bad; the error names file, line and key.`,
		Example: "  smtpsink check scripts/plans/bounce-storm.yaml",
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
			return plan.Explain(stdout, file)
		},
	}
}
