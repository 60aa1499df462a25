package cmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

func newCheckCommand(stdout io.Writer) *cobra.Command {
	asJSON, canonical, serving := false, false, plan.Serving{}
	cmd := &cobra.Command{
		Use:   "check PLAN",
		Short: "explain a plan in words, or say what is wrong with it",
		Long: `check reads a plan, a file or a built-in one by its name, and explains it: the probabilities per stage and phase, the chance that a message with 1, 5 or 50 recipients is
accepted, deferred or bounced, each rule that breaks replay, and what looks like a mistake. It serves nothing. The error of a bad plan names file, line and key. With --canonical it prints the plan itself instead, as it was understood: in one
order of keys, with short forms, without comments.`,
		Example: `  smtpsink check bounce-storm
  smtpsink check my-plan.yaml

  # do two files say the same?
  diff <(smtpsink check --canonical a.yaml) <(smtpsink check --canonical b.yaml)

  # the chance that a message with 50 recipients is accepted for all of them
  smtpsink check --json bounce-storm |
    jq '.periods[0].mail[0].chances[] | select(.recipients == 50).accepted'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("check: got %d plans, want one: a file, or a built-in one by its name (there are: %s)", len(args), scripts.Names(scripts.Plans()))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := scripts.LoadPlan(args[0])
			if err != nil {
				return &usageError{err}
			}
			if canonical {
				if asJSON || serving != (plan.Serving{}) {
					return &usageError{errors.New("check: --canonical prints the plan, not the chances that --json, --lmtp and --tls-implicit are about (want it alone)")}
				}
				_, err := stdout.Write(plan.Encode(file.Spec))
				return err
			}
			if serving != (plan.Serving{}) && len(file.Plan.Listeners()) > 0 {
				return &usageError{errors.New("check: --lmtp and --tls-implicit are for plans without listeners of their own, which this one has")}
			}
			return render(stdout, asJSON, plan.NewExplanation(file, serving), func(w io.Writer) error {
				if err := plan.Explain(w, file, serving); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "\nwhat is remembered takes %d octets each: --state-memory (%s) has room for\n%d of them, and the oldest go first\n",
					sink.StateEntry, defaultStateMemory, sink.DefaultStateMemory/sink.StateEntry)
				groups := file.Plan.KeyGroups()
				for _, g := range groups {
					if err == nil {
						octets := sink.StandingOctets(len(g.Reactions))
						_, err = fmt.Fprintf(w, "\nstandings of each %v take %d octets and its name: --standing-memory\n(%s) has room for %d of them, and those without a standing in\nforce go first\n",
							g.Of, octets, defaultStandingMemory, sink.DefaultStandingMemory/int64(len(groups))/octets)
					}
				}
				return err
			})
		},
	}
	for _, p := range scripts.Plans() {
		cmd.ValidArgs = append(cmd.ValidArgs, p.Name+"\t"+p.Summary)
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "the plan is good, whatever the warnings say"}, cli.Exit{Status: exitUsage, Meaning: "the plan is bad, or missing"})
	cmd.Flags().BoolVar(&canonical, "canonical", false, "print the plan in its canonical form, without comments")
	cmd.Flags().BoolVar(&serving.LMTP, "lmtp", false, "the chances by LMTP, for a plan that declares no listeners")
	cmd.Flags().BoolVar(&serving.ImplicitTLS, "tls-implicit", false, "the chances within implicit TLS, for a plan that declares no listeners")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the probabilities and chances as JSON (shares from 0 to 1)")
	return cmd
}
