package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func (c *ctl) standingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "standings",
		Short: "list whom reactions of the plan treat now, or forgive one",
		Long:  `standings lists the standings that are in force (docs/plans.md, Receivers that react): of which reaction, of which client, sender or whoever it is of, at which level, until when, and whether that one came back meanwhile. They are at most 1,000 at a time.`,
		Example: `  smtpsink ctl standings --react harvester
  smtpsink ctl standings forgive harvester 192.0.2.1`,
		Args: noArguments,
	}
	query := queryFlags(cmd, map[string]string{
		"react": "`name` of a reaction", "key": "`key`: whose standings, as the list has it", "after": "`standing` after which the list goes on, as the end of the list before says",
	})
	cmd.RunE = func(*cobra.Command, []string) error {
		return ask(c, func(ctx context.Context, s steered) (api.Standings, error) { return s.Standings(ctx, query()) }, showStandings)
	}
	forgive := &cobra.Command{
		Use:   "forgive REACT KEY",
		Short: "end a standing, and forget what was counted towards it",
		Example: `  smtpsink ctl standings forgive harvester 192.0.2.1
  smtpsink ctl standings forgive 'new domain' '192.0.2.1 example.org'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageErrorf("forgive: got %d arguments, want two: a reaction's name and a key, as ctl standings lists them", len(args))
			}
			for _, arg := range args {
				if arg == "" {
					return usageErrorf("forgive: an empty name (want a reaction's name and a key, as ctl standings lists them)")
				}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return ask(c, func(ctx context.Context, s steered) (struct{}, error) {
				return struct{}{}, s.Forgive(ctx, args[0], args[1])
			}, nil)
		},
	}
	cmd.AddCommand(c.sub(forgive))
	return c.sub(cmd)
}

func showStandings(w io.Writer, all api.Standings) {
	if len(all.Standings) == 0 {
		fmt.Fprintln(w, "no standing is in force")
		return
	}
	var t text.Table
	t.Row("reaction", "level", "since", "until", "came back", "key")
	for _, x := range all.Standings {
		until, back := "the end", "no"
		if x.Until != nil {
			until = x.Until.Local().Format("2006-01-02 15:04:05")
		}
		if x.Returned {
			back = "yes"
		}
		t.Row(printableLine(x.React), x.Level, x.Changed.Local().Format("2006-01-02 15:04:05"), until, back, printableLine(x.Key))
	}
	fmt.Fprint(w, t.String())
	if all.Next != "" {
		fmt.Fprintf(w, "there are more: --after '%s'\n", all.Next)
	}
}
