package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The commands of ctl that change what a sink does.

func (c *ctl) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "print the plan in force, or put another one into force",
		Example: `  smtpsink ctl plan > in-force.yaml
  smtpsink ctl plan put my-plan.yaml`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (map[string]any, error) {
				p, err := s.Plan(ctx)
				return map[string]any{"text": string(p.Text), "etag": p.ETag, "generation": p.Generation}, err
			}, func(w io.Writer, p map[string]any) { fmt.Fprint(w, p["text"]) })
		},
	}
	dry, match := false, "*"
	put := &cobra.Command{
		Use:   "put PLAN",
		Short: "put a plan into force: a file, or a built-in one by its name",
		Long: `put puts a plan into force. Transactions that are under way keep the plan that they began with. With --dry-run it only says what would happen. --if-match makes sure that the plan that is replaced is the one that you have seen; ctl plan --json prints its
etag.`,
		Example: `  smtpsink ctl plan put bounce-storm --dry-run
  smtpsink ctl plan put my-plan.yaml`,
		Args: oneArgument("a plan's file, or the name of a built-in one"),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := scripts.LoadPlan(args[0])
			if err != nil {
				return &usageError{err}
			}
			return ask(c, func(ctx context.Context, s steered) (api.PlanChange, error) {
				return s.PutPlan(ctx, file.Text, match, dry)
			}, func(w io.Writer, p api.PlanChange) { showChange(w, &p) })
		},
	}
	put.Flags().BoolVar(&dry, "dry-run", false, "say what would happen, and change nothing")
	put.Flags().StringVar(&match, "if-match", "*", "`etag` of the plan that it shall replace; * for whichever")
	check := &cobra.Command{
		Use:     "check",
		Short:   "print what the plan in force means, as JSON",
		Example: `  smtpsink ctl plan check | jq '.periods[].phase'`,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (json.RawMessage, error) { return s.CheckPlan(ctx) }, showRaw)
		},
	}
	cmd.AddCommand(c.sub(put), c.sub(check))
	return c.sub(cmd)
}

func showRaw(w io.Writer, raw json.RawMessage) {
	fmt.Fprintf(w, "%s\n", strings.TrimSpace(string(raw)))
}

func showChange(w io.Writer, p *api.PlanChange) {
	word := "is in force"
	if p.DryRun {
		word = "would come into force"
	}
	fmt.Fprintf(w, "the plan %s, as generation %d\n", word, p.Generation)
	for _, l := range []struct {
		what  string
		names []string
	}{{"limits that go on", p.LimitsKept}, {"reactions whose standings go on", p.StandingsKept}, {"listeners that open", p.Opened}, {"listeners that close", p.Closed}} {
		if len(l.names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	if p.StormRestarts {
		fmt.Fprintln(w, "the storm starts again")
	}
	for _, warning := range p.Warnings {
		fmt.Fprint(w, text.Labelled("warning: ", warning))
	}
}

func (c *ctl) stormCommand() *cobra.Command {
	var generation uint64
	move := func(m func(args []string) (api.StormMove, error)) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			in, err := m(args)
			if err != nil {
				return &usageError{err}
			}
			if cmd.Flags().Changed("generation") {
				in.Generation = &generation
			}
			return ask(c, func(ctx context.Context, s steered) (api.Storm, error) { return s.MoveStorm(ctx, in) }, showStorm)
		}
	}
	cmd := &cobra.Command{
		Use:   "storm",
		Short: "say where the storm is, or move its clock",
		Example: `  smtpsink ctl storm
  smtpsink ctl storm jump outage
  smtpsink ctl storm extend 10m`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (api.Storm, error) { return s.Storm(ctx) }, showStorm)
		},
	}
	index := -1
	start := &cobra.Command{Use: "start", Short: "begin the first phase now", Example: "  smtpsink ctl storm start", Args: noArguments, RunE: move(func([]string) (api.StormMove, error) { return api.StormMove{Action: "start"}, nil })}
	stop := &cobra.Command{Use: "stop", Short: "end the storm now", Example: "  smtpsink ctl storm stop", Args: noArguments, RunE: move(func([]string) (api.StormMove, error) { return api.StormMove{Action: "stop"}, nil })}
	jump := &cobra.Command{
		Use: "jump PHASE | --index N", Short: "begin a phase now: its next occurrence, or the N-th of all, from 0",
		Example: `  smtpsink ctl storm jump outage
  smtpsink ctl storm jump --index 0`,
		Args: func(cmd *cobra.Command, args []string) error {
			if given := cmd.Flags().Changed("index"); len(args) > 1 || given == (len(args) == 1) {
				return usageErrorf("jump: want a phase or --index")
			}
			return nil
		},
		RunE: move(func(args []string) (api.StormMove, error) {
			if len(args) == 1 {
				return api.StormMove{Action: "jump", Phase: args[0]}, nil
			}
			return api.StormMove{Action: "jump", Index: &index}, nil
		}),
	}
	jump.Flags().IntVar(&index, "index", -1, "`number` of the occurrence among all of the storm, from 0")
	extend := &cobra.Command{
		Use: "extend DURATION", Short: "have the phase in force take longer", Example: "  smtpsink ctl storm extend 10m", Args: oneArgument("a duration such as 30s or 10m"),
		RunE: move(func(args []string) (api.StormMove, error) { return api.StormMove{Action: "extend", By: args[0]}, nil }),
	}
	for _, sub := range []*cobra.Command{start, stop, jump, extend} {
		sub.Flags().Uint64Var(&generation, "generation", 0, "`number` of the plan that is meant: with another in force nothing is done")
		cmd.AddCommand(c.sub(sub))
	}
	return c.sub(cmd)
}

func showStorm(w io.Writer, s api.Storm) {
	switch s.State {
	case "running":
		fmt.Fprintf(w, "phase %s (%d of %d), %s gone and %s left\n", s.Phase, *s.Index+1, len(s.Phases), seconds(s.Elapsed), seconds(s.Remaining))
	case "waiting":
		fmt.Fprintf(w, "the storm waits; %d %s\n", len(s.Phases), text.Plural(len(s.Phases), "phase"))
	case "over":
		fmt.Fprintln(w, "the storm is over")
	default:
		fmt.Fprintln(w, "the plan has no phases")
	}
}

func seconds(v *float64) string {
	if v == nil {
		return "an unknown time"
	}
	return strconv.FormatFloat(*v, 'f', 1, 64) + "s"
}

func (c *ctl) nextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "next",
		Short: "make the next mail fail, or list what was asked for",
		Example: `  # the next two attempts at this recipient are deferred
  smtpsink ctl next add --reply 450/4.2.1 --recipient user@example.org --times 2

  # what has become of it
  smtpsink ctl next`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) ([]api.NextStatus, error) { return s.Next(ctx) }, showNext)
		},
	}
	cmd.AddCommand(c.addCommand())
	all := false
	remove := &cobra.Command{
		Use: "remove ID | --all", Short: "take one back, or all", Example: "  smtpsink ctl next remove n1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || all == (len(args) == 1) {
				return usageErrorf("remove: want an id, or --all")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			id := strings.Join(args, "")
			return ask(c, func(ctx context.Context, s steered) (struct{}, error) { return struct{}{}, s.RemoveNext(ctx, id) }, nil)
		},
	}
	remove.Flags().BoolVar(&all, "all", false, "take all back")
	cmd.AddCommand(c.sub(remove))
	return c.sub(cmd)
}

// outcomeText is an outcome as --outcome takes it, or as --reply does where a reply is all that it has.
func outcomeText(outcome json.RawMessage) string {
	var only map[string]json.RawMessage
	var reply string
	if json.Unmarshal(outcome, &only) == nil && len(only) == 1 && json.Unmarshal(only["reply"], &reply) == nil {
		return reply
	}
	return string(outcome)
}

func showNext(w io.Writer, all []api.NextStatus) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is asked for")
		return
	}
	var t text.Table
	t.Row("id", "stage", "met", "left", "until", "outcome", "whom")
	for _, n := range all {
		t.Row(n.ID, n.Stage, n.Hits, n.Remaining, n.Expires.Local().Format("15:04:05"), outcomeText(n.Outcome), string(n.Match))
	}
	fmt.Fprint(w, t.String())
}

func (c *ctl) addCommand() *cobra.Command {
	var in api.Next
	var reply, delay, closing, outcome string
	match := map[string]*[]string{"recipient": {}, "sender": {}, "client": {}, "listener": {}, "helo": {}}
	cmd := &cobra.Command{
		Use:   "add",
		Short: "ask for the outcome of the next occurrences of a stage",
		Long: `add asks that the next occurrences of a stage that match meet an outcome. It comes after limits and before the rules of the plan, whatever plan is in force, and is forgotten when it is used up or its time is over. Rows and counts name
it next:ID.`,
		Example: `  smtpsink ctl next add --reply 450 --recipient user@example.org
  smtpsink ctl next add --stage message --reply 554/5.6.0 --sender '*@a.example'
  smtpsink ctl next add --stage data --close rst --times 3 --ttl 1m
  smtpsink ctl next add --stage rcpt \
    --outcome '{"reply": {"code": 452, "text": "Full"}, "delay": "5s"}'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			whom := map[string][]string{}
			for name, values := range match {
				if len(*values) > 0 {
					whom[name] = *values
				}
			}
			if in.Times < 1 {
				return usageErrorf("--times: invalid number %d (want 1 to 1000000)", in.Times)
			}
			what := map[string]any{}
			for name, value := range map[string]string{"reply": reply, "delay": delay, "close": closing} {
				if value != "" {
					what[name] = value
				}
			}
			var err error
			switch {
			case outcome != "" && len(what) > 0:
				return usageErrorf("--outcome: not together with --reply, --delay and --close, which are parts of one")
			case outcome != "" && !json.Valid([]byte(outcome)):
				return usageErrorf("--outcome: it is no JSON (want for example '{\"reply\": 450}')")
			case outcome != "":
				in.Outcome = json.RawMessage(outcome)
			case len(what) == 0:
				return usageErrorf("add: no outcome is given (want --reply, --delay, --close or --outcome)")
			default:
				in.Outcome, err = json.Marshal(what)
			}
			if err == nil && len(whom) > 0 {
				in.Match, err = json.Marshal(whom)
			}
			if err != nil {
				return err
			}
			return ask(c, func(ctx context.Context, s steered) (api.NextStatus, error) { return s.AddNext(ctx, in) }, func(w io.Writer, n api.NextStatus) {
				fmt.Fprintf(w, "next:%s at %s, %d %s, until %s\n", n.ID, n.Stage, n.Remaining, text.Plural(n.Remaining, "time"), n.Expires.Local().Format("15:04:05"))
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&in.Stage, "stage", "rcpt", "`stage` at which it is met")
	flags.StringVar(&reply, "reply", "", "`code`, or code/enhanced such as 550/5.1.1")
	flags.StringVar(&delay, "delay", "", "`duration` that it is delayed, such as 5s or uniform(1s,3s)")
	flags.StringVar(&closing, "close", "", "close the connection instead of a reply, by `fin|rst|half`")
	flags.StringVar(&outcome, "outcome", "", "any outcome as a plan has it, as `JSON`")
	flags.StringArrayVar(match["recipient"], "recipient", nil, "whom: `address` such as user@a.test, *@a.test or *.test; repeatable")
	flags.StringArrayVar(match["sender"], "sender", nil, "whose: `address`, <> for the null sender; repeatable")
	flags.StringArrayVar(match["client"], "client", nil, "`address` or network of the client; repeatable")
	flags.StringArrayVar(match["listener"], "listener", nil, "`name` of the listener; repeatable")
	flags.StringArrayVar(match["helo"], "helo", nil, "`name` that the client gave itself; repeatable")
	flags.IntVar(&in.Times, "times", 1, "`number` of occurrences that meet it")
	flags.StringVar(&in.TTL, "ttl", "10m", "`duration` after which it is forgotten, 24h at most")
	flags.StringVar(&in.ID, "id", "", "`name` in rows and counts (default: one that nobody has)")
	cli.Values(cmd, "stage", stageNames("")...)
	cli.Values(cmd, "close", "fin", "rst", "half")
	return c.sub(cmd)
}

func (c *ctl) resetCommand() *cobra.Command {
	parts := []string{"counts", "state", "next", "capture"}
	cmd := &cobra.Command{
		Use:   "reset PART...",
		Short: "begin an epoch: counts, state (attempts, limits, greylists, standings), next, capture",
		Long: `reset begins an epoch, in which what is named begins anew: counts, state (attempts, token buckets, quotas, greylists and standings are forgotten), next (what was asked for is taken back), capture (captured messages are thrown away). The ledger is not cut, and has a
row of it.`,
		Example:   "  smtpsink ctl reset counts next",
		ValidArgs: parts,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("reset: nothing is named (valid: %s)", strings.Join(parts, " "))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return ask(c, func(ctx context.Context, s steered) (api.Epoch, error) {
				epoch, err := s.Reset(ctx, args...)
				return api.Epoch{Epoch: epoch}, err
			}, func(w io.Writer, e api.Epoch) { fmt.Fprintf(w, "epoch %d\n", e.Epoch) })
		},
	}
	return c.sub(cmd)
}

func (c *ctl) infoCommand() *cobra.Command {
	return c.sub(&cobra.Command{
		Use: "info", Short: "say which sink it is", Example: "  smtpsink ctl info --json | jq .result.instance", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (api.Info, error) { return s.Info(ctx) }, func(w io.Writer, i api.Info) {
				var t text.Table
				t.Row("instance", i.Instance)
				t.Row("version", strings.TrimSpace(i.Version+" "+i.Commit))
				t.Row("started", i.Started.Local().Format("2006-01-02 15:04:05"))
				t.Row("plan", fmt.Sprintf("generation %d", i.Generation))
				t.Row("epoch", i.Epoch)
				for _, l := range i.Listeners {
					name := l.Name
					if name == l.Address { // a listener without a name goes by its address
						name = ""
					}
					t.Row("listener", strings.Join(strings.Fields(name+" "+l.Address+" "+l.Fault), " "))
				}
				fmt.Fprint(w, t.String())
			})
		},
	})
}

func (c *ctl) readyCommand() *cobra.Command {
	return c.sub(&cobra.Command{
		Use: "ready", Short: "say whether the sink takes mail, for health checks", Example: "  smtpsink ctl ready && echo it does", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (string, error) { return "ready", s.Ready(ctx) }, func(w io.Writer, word string) { fmt.Fprintln(w, word) })
		},
	})
}
